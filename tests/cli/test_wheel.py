"""The wheel: it carries `sql/`, `schemas/` and `pipelines/`, and works from any folder."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PARTS = ("tawt", "sql", "schemas", "pipelines", "pyproject.toml", "README.md", "LICENSE")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """A wheel built from a copy of the source, without the network."""
    if importlib.util.find_spec("hatchling") is None:
        pytest.skip("hatchling is not installed: pip install hatchling")
    folder = tmp_path_factory.mktemp("wheel")
    for part in PARTS:
        source = ROOT / part
        if source.is_dir():
            shutil.copytree(source, folder / "source" / part, ignore=shutil.ignore_patterns("__pycache__", "_assets"))
        else:
            shutil.copy(source, folder / "source" / part)
    text = "import sys; from hatchling.build import build_wheel; build_wheel(sys.argv[1])"
    (folder / "dist").mkdir()
    subprocess.run(
        [sys.executable, "-c", text, folder / "dist"], cwd=folder / "source", check=True, capture_output=True
    )
    (built,) = (folder / "dist").glob("*.whl")
    return built


def test_the_wheel_holds_every_asset(wheel: Path) -> None:
    """Each SQL stage, seed, contract and pipeline of the checkout is in the wheel, below the package."""
    names = set(zipfile.ZipFile(wheel).namelist())
    for folder in ("sql", "schemas", "pipelines"):
        wanted = {f"tawt/_assets/{p.relative_to(ROOT).as_posix()}" for p in (ROOT / folder).rglob("*") if p.is_file()}
        assert wanted and wanted <= names
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert not [name for name in names if name.startswith(("tests/", "docs/"))]


def test_an_installed_wheel_works_from_any_folder(wheel: Path, tmp_path: Path) -> None:
    """In a fresh environment, `tawt stages --pipeline demo` finds its stages inside the installed package."""
    venv.create(tmp_path / "venv", with_pip=False, symlinks=True)
    (site,) = (tmp_path / "venv" / "lib").glob("python*/site-packages")
    zipfile.ZipFile(wheel).extractall(site)
    # the other packages come from this environment, whose own tawt stands behind the new one
    (site / "others.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    text = "import tawt; print(tawt.__file__); from tawt.cli.app import main; main()"
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    ended = subprocess.run(
        [tmp_path / "venv" / "bin" / "python", "-c", text, "stages", "--pipeline", "demo", "--format", "json"],
        cwd=tmp_path, capture_output=True, text=True, env=environment,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    place, _, rows = ended.stdout.partition("\n")
    assert Path(place).is_relative_to(site)
    assert "staging.labevents" in {row["stage"] for row in json.loads(rows)}
