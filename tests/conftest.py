"""Fixtures that several folders of tests share."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import pytest

WORKER = "PYTEST_XDIST_WORKER" in os.environ
if WORKER:  # one of as many as there are cores; told before torch and polars are imported
    os.environ.update(OMP_NUM_THREADS="1", POLARS_MAX_THREADS="1")


@pytest.fixture(scope="session", autouse=WORKER)
def _no_waiting_for_the_disk() -> Iterator[None]:
    """A worker does not wait until files are on the disk: no test cuts the power, and those of the order patch it anew."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("os.fsync", lambda handle: None)
        yield


@pytest.fixture(scope="session", autouse=WORKER and importlib.util.find_spec("duckdb") is not None)
def _one_thread_each() -> Iterator[None]:
    """A worker's engine has one thread where a test does not say how many."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tawt.database.limits.usable_cpus", lambda: 1)
        yield


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """`pytest -m gpu` looks into tests/gpu alone: a GPU machine may lack what the other tests import."""
    if config.getoption("markexpr") != "gpu" or collection_path.parent != Path(__file__).parent:
        return None
    return True if collection_path.is_dir() and collection_path.name != "gpu" else None


@pytest.fixture(scope="session")
def exposed() -> Callable[[Path], list[str]]:
    """Return what others than its owner may see of a folder: itself, and what lies below it, by name."""

    def found(folder: Path) -> list[str]:
        return [path.name for path in (folder, *folder.rglob("*")) if path.stat().st_mode & 0o077]

    return found


@pytest.fixture(scope="session")
def shards() -> ModuleType:
    """The module `tests/shards.py`, which invents datasets in the trainer's format."""
    path = Path(__file__).with_name("shards.py")
    spec = importlib.util.spec_from_file_location("tawt_tests_shards", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def write_dataset(shards: ModuleType):
    """`write_dataset(workspace, splits={"train": [30, 20], ...}, ...)`: see `tests/shards.py`."""
    return shards.write_dataset


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def error(self) -> str:
        """The error line and the hint, without what was said before."""
        return self.err[self.err.index("error: ") :] if "error: " in self.err else ""


@pytest.fixture(scope="session")
def tawt() -> Callable[..., Ended]:
    """`tawt("ingest", raw, "-p", "demo", ...)`: a command line, run in this process as the program runs it."""
    from tawt.cli.app import main

    def run(*words: object) -> Ended:
        out, err, argv = io.StringIO(), io.StringIO(), sys.argv
        sys.argv = ["tawt", *map(str, words)]
        code = 0
        try:
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
                main()
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else int(end.code is not None)
        finally:
            sys.argv = argv
        return Ended(code, out.getvalue(), err.getvalue())

    return run


@pytest.fixture(scope="session")
def hospital(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The raw tables of an invented hospital of 40 subjects; not to be changed."""
    from tawt.hospital.invent import write_hospital

    raw = tmp_path_factory.mktemp("hospital") / "raw"
    write_hospital(raw, n_subjects=40, seed=1)
    return raw


@pytest.fixture(scope="session")
def finished(hospital: Path, tawt: Callable[..., Ended]) -> Path:
    """A workspace of that hospital with a dataset and a tiny run `tiny`; not to be changed."""
    workspace = hospital.parent / "work"
    threads = ("--threads", 1)
    assert tawt("ingest", hospital, "-p", "demo", "-w", workspace, *threads).code == 0
    assert tawt("build-vocab", "-w", workspace, *threads).code == 0
    ended = tawt("pretrain", "-w", workspace, "--device", "cpu", "--out", workspace / "runs" / "tiny", *TINY)
    assert ended.code == 0, ended.err
    return workspace


TINY = [
    word
    for setting in (
        "train.max_steps=4", "train.threads=1", "train.checkpoint_every=2", "train.validate_every=2", "model.d_model=16",
        "model.n_heads=2", "model.n_layers=1", "model.d_ffn=32", "batching.tokens_per_batch=1024", "batching.max_length=256",
    )
    for word in ("--set", setting)
]  # fmt: skip
"""A model small enough to train in a second."""


@pytest.fixture(scope="session")
def tiny() -> list[str]:
    """Options of `tawt pretrain` for a model small enough to train in a second."""
    return TINY


@pytest.fixture
def tree() -> Callable[[Path], dict[str, bytes]]:
    """`tree(folder)`: every file below it, by its path, with its bytes; folders end in a slash."""

    def read(folder: Path) -> dict[str, bytes]:
        return {
            str(path.relative_to(folder)) + ("/" if path.is_dir() else ""): b"" if path.is_dir() else path.read_bytes()
            for path in sorted(folder.rglob("*"))
        }

    return read
