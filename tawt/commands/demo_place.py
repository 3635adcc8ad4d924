"""Where a demo is made: a new folder, or that of an earlier one, which it replaces."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, replace
from pathlib import Path

from tawt.commands.build_vocab import build_vocab
from tawt.commands.ingest import ingest
from tawt.contracts.embeddings import PARTS
from tawt.contracts.workspace import HOSPITAL
from tawt.errors import ConfigError
from tawt.files import alone, write_sealed
from tawt.hospital.invent import HospitalSummary
from tawt.pipeline.run import Report, RunResult
from tawt.pipeline.workspace import LOCK
from tawt.places import remove

RUN = "demo"
CONFIG = "pretrain_demo"


def hold_demo(root: Path) -> bool:
    """Return whether an earlier demo stands there.

    Raises:
        ConfigError: Something else does.
    """
    taken = root.exists() and (not root.is_dir() or any(path.name != LOCK for path in root.iterdir()))
    if taken and not (root / HOSPITAL).is_file():
        raise ConfigError(str(root), "is there and is not a demo's, expected a new folder", "tawt demo -w OTHER")
    return taken


def cleared(root: Path) -> None:
    """Remove an earlier demo, and mark a folder as one.

    Raises:
        ConfigError: Somebody writes in it.
    """
    if hold_demo(root):
        _clear(root)
    # the mark comes first: a demo that was stopped anywhere can be replaced by the next one
    write_sealed(root / HOSPITAL, {})


def invented(
    root: Path, write: Callable[..., HospitalSummary], pipeline: str, n_subjects: int, seed: int,
    threads: int | None, report: Report,
) -> tuple[HospitalSummary, RunResult]:  # fmt: skip
    """Invent a hospital in place of an earlier demo, and make its dataset: what ingest and build-vocab did together.

    Args:
        root: The workspace, which is held.
        write: Writes the raw tables of a hospital.
        pipeline: That reads them.
        n_subjects: As of `tawt demo`, as are those that follow.
        seed: Of the hospital.
        threads: Of the stages.
        report: Hears the stages.
    """
    cleared(root)
    report({"event": "note", "text": f"inventing {n_subjects:,} subjects"})
    hospital = write(root / "raw", n_subjects=n_subjects, seed=seed)
    write_sealed(root / HOSPITAL, asdict(hospital))
    first = ingest(root / "raw", pipeline, root, threads=threads, report=report)
    second = build_vocab(root, threads=threads, report=report)
    return hospital, replace(first, stages=first.stages + second.stages, notes=first.notes + second.notes)


def _clear(root: Path) -> None:
    """Remove an earlier demo, unless anybody writes in its runs and embeddings.

    Those go first, all that is there under the locks that who writes it would hold, and by name: what came there after
    they were looked at is somebody's, is in the way of its folder's removal, and ends this.
    """
    folders: list[Path] = []
    files: list[Path] = []
    locks: set[Path] = set()
    for name in ("runs", "embeddings"):
        for at, inner, names in os.walk(root / name):
            place = Path(at)
            own = [place / file for file in (*names, *inner) if (place / file).is_symlink() or file in names]
            folders, files = [*folders, place], files + own
            locks |= {place / LOCK} if name == "runs" else {_lock_of(path) for path in own}
    with ExitStack() as held:
        for lock in sorted(locks):
            held.enter_context(_taken(lock))
        for path in (*files, *locks):
            path.unlink(missing_ok=True)
        for place in reversed(folders):
            try:
                place.rmdir()
            except OSError:
                raise _in_use(place) from None
        for path in root.iterdir():
            if path.name != LOCK:
                remove(path)


def _lock_of(path: Path) -> Path:
    """The lock of who writes a file of embeddings; what lies hidden beside one, its lock too, is of it."""
    path = path.parent if path.parent.name.endswith(PARTS) else path
    name = path.stem[1:] if path.name.startswith(".") else path.name
    return path.with_name(f".{name}.lock")


@contextmanager
def _taken(lock: Path) -> Iterator[None]:
    """Hold a lock, and leave none where there was none."""
    made = not lock.exists()
    with alone(lock, _in_use(lock.parent)):
        try:
            yield
        finally:
            if made:
                lock.unlink(missing_ok=True)


def _in_use(place: Path) -> ConfigError:
    return ConfigError(
        str(place), "is in use by another tawt command, expected a demo that is at rest",
        "wait for it to end, or `tawt demo -w OTHER`",
    )  # fmt: skip
