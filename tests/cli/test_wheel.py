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

from tests.unit.clinic import FILES, RECORDS, write
from tests.unit.commands.test_cases import CASES

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
    """Each SQL stage, seed, contract and pipeline of the checkout is in the wheel, below the package, and parts of a page."""
    names = set(zipfile.ZipFile(wheel).namelist())
    for folder in ("sql", "schemas", "pipelines"):
        wanted = {f"tawt/_assets/{p.relative_to(ROOT).as_posix()}" for p in (ROOT / folder).rglob("*") if p.is_file()}
        assert wanted and wanted <= names
    parts = {p.relative_to(ROOT).as_posix() for p in (ROOT / "tawt" / "reviews").glob("page.*")}
    assert len(parts) == 4 and parts <= names, "the page of a review is put together from them"
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert not [name for name in names if name.startswith(("tests/", "docs/"))]


@pytest.fixture(scope="module")
def site(wheel: Path, tmp_path_factory) -> Path:
    """The packages of a fresh environment with the wheel in it, the wheel's own not to be written in."""
    folder = tmp_path_factory.mktemp("installed")
    venv.create(folder / "venv", with_pip=False, symlinks=True)
    (site,) = (folder / "venv" / "lib").glob("python*/site-packages")
    zipfile.ZipFile(wheel).extractall(site)
    # the other packages come from this environment, whose own tawt stands behind the new one
    (site / "others.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    for path in (site / "tawt").rglob("*"):
        path.chmod(0o555 if path.is_dir() else 0o444)
    return site


def _python(site: Path, folder: Path, text: str, *words: str) -> str:
    """Run Python of the fresh environment in a folder, and return what it prints after the place of its tawt."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    ended = subprocess.run(
        [site.parents[2] / "bin" / "python", "-B", "-c", f"import tawt; print(tawt.__file__); {text}", *words],
        cwd=folder, capture_output=True, text=True, env=environment,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    place, _, printed = ended.stdout.partition("\n")
    assert Path(place).is_relative_to(site)
    return printed


def test_an_installed_wheel_works_from_any_folder(site: Path, tmp_path: Path) -> None:
    """In a fresh environment, `tawt stages --pipeline demo` finds its stages inside the installed package."""
    words = ("stages", "--pipeline", "demo", "--format", "json")
    rows = json.loads(_python(site, tmp_path, "from tawt.cli.app import main; main()", *words))
    assert "staging.labevents" in {row["stage"] for row in rows}


def test_a_project_works_from_an_installed_wheel(site: Path, tmp_path: Path) -> None:
    """Its own source is tested and ingested, and a stage of `mimic_iv` becomes its own; the package stays as it is."""
    project = write(tmp_path / "mein Prüf-Projekt", {**FILES, **CASES})
    write(tmp_path / "raw", {"readings.csv": RECORDS})
    before = sorted((path, path.stat().st_mtime_ns) for path in (site / "tawt").rglob("*"))
    text = (
        "print(len(tawt.test().results), tawt.test().ok, "
        "tawt.ingest('../raw', 'clinic', '../w', threads=1).n_run, "
        "tawt.write_sql('staging.labevents', pipeline='mimic_iv').name, "
        "[row['stage'] for row in tawt.stages(pipeline='mimic_iv').to_pylist() if row['of'] == 'project'])"
    )
    assert _python(site, project, text) == "2 True 3 labevents.sql ['staging.labevents']\n"
    assert sorted((path, path.stat().st_mtime_ns) for path in (site / "tawt").rglob("*")) == before
