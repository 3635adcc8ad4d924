"""`scripts/setup.sh` with stand-ins for Python and apt-get: which Python it takes, and what it does where venv is missing;
`scripts/test.sh` with stand-ins for the checks."""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TOOLS = ("bash", "cat", "chmod", "cp", "dirname", "env", "grep", "id", "mkdir", "mktemp", "rm", "sed", "touch")

PYTHON = """#!/usr/bin/env bash
# A stand-in: answers what the script asks of a Python, and writes down what it is told to do.
me="$BIN/{name}"
case "$*" in
    *version_info*"< (3, 11)"*) exit {old} ;;
    *"print(sys.executable)"*) echo "$me" ;;
    *"torch.version.cuda"*) exit {no_cuda} ;;
    *"python%d.%d"*) echo python3.11 ;;
    *"for p in sys.path"*) echo /the/site-packages ;;
    *sysconfig*) mkdir -p "$CHECKOUT/.venv/lib"; echo "$CHECKOUT/.venv/lib" ;;
    "-m venv .venv")
        echo "{name}: venv" >>"$LOG"
        [ {venv} = works ] || [ -e "$CHECKOUT/venv-is-there" ] || exit 1
        mkdir -p .venv/bin && cp "$me" .venv/bin/python ;;
    "-m pip --version") ;;
    "-m pip install"*) echo "{name}: $*" >>"$LOG" ;;
esac
"""
APT = '#!/usr/bin/env bash\necho "apt-get: $*" >>"$LOG"\ncase "$*" in *python3.11-venv*) touch "$CHECKOUT/venv-is-there" ;; esac\n'


@dataclass
class Ended:
    code: int
    err: str
    log: list[str]


class Machine:
    """A PATH with nothing on it but what the script needs and the stand-ins of a test."""

    def __init__(self, folder: Path) -> None:
        self.bin, self.checkout = folder / "bin", folder / "checkout"
        self.bin.mkdir()
        for name in TOOLS:
            found = shutil.which(name)
            assert found is not None
            (self.bin / name).symlink_to(found)
        (self.checkout / "scripts").mkdir(parents=True)
        shutil.copy(ROOT / "scripts" / "setup.sh", self.checkout / "scripts")
        shutil.copy(ROOT / "constraints.txt", self.checkout)

    def put(self, name: str, text: str) -> Path:
        path = self.bin / name
        path.write_text(text)
        path.chmod(0o755)
        return path

    def python(self, name: str, *, old: bool = False, cuda: bool = False, venv: str = "works") -> Path:
        text = PYTHON
        for key, value in {"old": int(old), "no_cuda": int(not cuda), "venv": venv, "name": name}.items():
            text = text.replace("{" + key + "}", str(value))
        return self.put(name, text)

    def setup(self, *words: str, **environment: str) -> Ended:
        log = self.checkout / "log"
        log.write_text("")
        ended = subprocess.run(
            ["bash", "scripts/setup.sh", *words], cwd=self.checkout, capture_output=True, text=True,
            env={"PATH": str(self.bin), "BIN": str(self.bin), "LOG": str(log), "CHECKOUT": str(self.checkout), "TMPDIR": str(self.checkout), **environment},
        )  # fmt: skip
        return Ended(ended.returncode, ended.stderr, log.read_text().splitlines())


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """A machine without any Python."""
    return Machine(tmp_path)


def _pinned() -> str:
    return next(line for line in (ROOT / "constraints.txt").read_text().splitlines() if line.startswith("torch=="))


def test_the_first_python_that_is_new_enough_makes_the_environment(machine: Machine) -> None:
    """An old one is passed over; torch comes by its exact name before all else, and the extra is asked for."""
    machine.python("python3.11", old=True)
    machine.python("python3")
    machine.python("python")
    ended = machine.setup("dev")
    assert ended.code == 0, ended.err
    assert ended.log == [
        "python3: venv",
        f"python3: -m pip install -q -c constraints.txt {_pinned()}",
        "python3: -m pip install -q -c constraints.txt -e .[dev]",
    ]
    assert machine.setup().log == [line.replace(".[dev]", ".") for line in ended.log[1:]]  # the environment is kept


def test_a_python_with_cuda_comes_before_the_first(machine: Machine) -> None:
    """Its torch is used: it is put on the path of the environment, and no other torch is installed."""
    machine.python("python3.11")
    machine.python("python3.12", cuda=True)
    ended = machine.setup()
    assert ended.code == 0 and "torch: the CUDA build that is there" in ended.err, ended.err
    assert ended.log[0] == "python3.12: venv" and len(ended.log) == 2
    constraints = ended.log[1].split(" -c ")[1].split()[0]
    assert constraints != "constraints.txt" and not Path(constraints).exists()
    assert (machine.checkout / ".venv/lib/torch_of_this_machine.pth").read_text() == "/the/site-packages\n"


def test_the_python_that_is_named_is_taken(machine: Machine) -> None:
    """`TAWT_PYTHON` wins over every other one, by name or by path, even over one with CUDA."""
    machine.python("python3.11", cuda=True)
    for named in ("mine", str(machine.bin / "mine")):
        shutil.rmtree(machine.checkout / ".venv", ignore_errors=True)
        machine.python("mine")
        assert machine.setup(TAWT_PYTHON=named).log[0] == "mine: venv"


def test_a_machine_without_a_python_is_told_what_to_name(machine: Machine) -> None:
    """None, one that is too old, or a name of nothing: one line, a hint with `TAWT_PYTHON`, and nothing is made."""
    for environment in ({}, {"TAWT_PYTHON": "python3"}, {"TAWT_PYTHON": "nothing"}):
        ended = machine.setup(**environment)
        assert (
            ended.code == 1
            and ended.err.startswith("error: python3: none from 3.11 on")
            and "TAWT_PYTHON=" in ended.err
        )
        assert ended.log == [] and not (machine.checkout / ".venv").exists()
        machine.python("python3", old=True)


def test_a_missing_venv_is_installed(machine: Machine) -> None:
    """Where the system keeps venv in a package of its own, that of this very version is installed, and tried again."""
    machine.python("python3", venv="missing")
    machine.put("apt-get", APT)
    machine.put("sudo", '#!/usr/bin/env bash\nexec "$@"\n')
    ended = machine.setup()
    assert ended.code == 0 and "installing python3.11-venv with apt-get" in ended.err
    assert ended.log[:4] == [
        "python3: venv",
        "apt-get: update -qq",
        "apt-get: install -y -qq python3.11-venv",
        "python3: venv",
    ]
    assert len(ended.log) == 6


def test_a_missing_venv_that_cannot_be_installed_is_said(machine: Machine) -> None:
    """Without apt-get the script ends with one line that names the Python and what to install."""
    python = machine.python("python3", venv="missing")
    ended = machine.setup()
    assert ended.code == 1 and f"error: {python}: has no working venv module" in ended.err and "python3.11" in ended.err
    assert ended.log == ["python3: venv"]


def test_every_check_runs_and_the_tests_are_shared_out(machine: Machine) -> None:
    """After a check that failed the others run all the same, and are named in the end; pytest has a worker for each core
    that it may use, with a GB at least, and one's own options come last."""
    for name in ("setup.sh", "test.sh"):
        shutil.copy(ROOT / "scripts" / name, machine.checkout / "scripts")
    (machine.checkout / "scripts" / "setup.sh").write_text("")
    (machine.checkout / "tawt").mkdir()
    (machine.checkout / "tawt" / "__init__.py").touch()
    (machine.checkout / "tawt" / "machine.py").write_text(
        "def available_bytes(): return 3 << 30\ndef usable_cpus(): return 8\n"
    )
    machine.bin = machine.checkout / ".venv" / "bin"
    machine.bin.mkdir(parents=True)
    (machine.bin / "python").symlink_to(sys.executable)
    for name, code in (("ruff", 1), ("mypy", 0), ("pytest", 0)):
        machine.put(name, f'#!/bin/sh\necho "{name} $*"\nexit {code}\n')
    words = ["bash", machine.checkout / "scripts" / "test.sh", "tests/sql", "-n", "0"]
    ended = subprocess.run(words, capture_output=True, text=True)
    shared_out = "pytest -n 3 --dist worksteal tests/sql -n 0"
    assert ended.stdout.splitlines() == ["ruff check .", "ruff format --check .", "mypy ", shared_out]
    assert ended.returncode == 1 and "failed: ruff check, ruff format" in ended.stderr
