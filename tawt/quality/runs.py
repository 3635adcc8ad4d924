"""Runs, sweeps and embeddings of a workspace: each file to its hash, and what lies beside them."""

from __future__ import annotations

import errno
import fcntl
import os
import re
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

from tawt.contracts.dataset import DATASET, VOCABULARY, DatasetManifest
from tawt.contracts.embeddings import PARTS, PER, SPLITS, TASK, about_embeddings
from tawt.contracts.workspace import CARRIED
from tawt.errors import FileError
from tawt.pipeline.workspace import LOCK
from tawt.quality.strangers import Known
from tawt.quality.unfinished import changed_unlisted
from tawt.readers import read_record
from tawt.seals import LATER, LIST, UNFINISHED, holds, listed_files, sha256_file
from tawt.shell import command

_WEIGHTS = "model.safetensors"
_OF_RUN = (
    UNFINISHED, "config.yaml", "versions.json", "packages.txt", "README.md", VOCABULARY, "metrics.jsonl",
    "task.json", "teacher.parquet", _WEIGHTS,
)  # fmt: skip
_OF_CHECKPOINT = (_WEIGHTS, "optimizer.safetensors", "state.json", LIST)
_OF_SWEEP = ("sweep.json", "sweep.csv")
_STEP_ASIDE = re.compile(r"\.step-[0-9]+\.tmp(\.old)?")
_BEST_ASIDE = re.compile(r"\.step-[0-9]+\.safetensors\.tmp")
_ASIDE, _ALONE = re.compile(r"\..+\.tmp"), re.compile(r"\..+\.lock")
"""A run that is written aside until it is whole, or was as its command was killed; and the lock of who writes it."""
_LOGS = ("tensorboard", "wandb")
"""Folders that loggers write in a run."""


def fault_of(path: Path, holds_still: Callable[[Path], bool]) -> str | None:
    """Return what is wrong with a file that was written, None if nothing is."""
    try:
        return None if path.is_file() and holds_still(path) else "is missing or changed"
    except OSError as error:
        return _unreadable(error)


def _unreadable(error: OSError) -> str:
    return f"cannot be read ({os.strerror(error.errno or errno.EIO)})"


class Runs:
    """The runs of a workspace, those of sweeps too: what is wrong with their files, and which are known."""

    def __init__(self, root: Path, known: Known) -> None:
        """Look at all of them.

        Args:
            root: The workspace.
            known: Learns of their files.
        """
        self.known = known
        self.n, self.n_unfinished = 0, 0
        self.wrong: dict[Path, str] = {}
        for at, names, files in os.walk(root / "runs"):
            folder = Path(at)
            known.locks |= {folder / LOCK} if LOCK in files else set()
            known.locks |= {folder / name for name in files if _ALONE.fullmatch(name)}
            if asides := [name for name in names if _ASIDE.fullmatch(name)]:
                known.loose |= {folder / name for name in asides}
                names[:] = [name for name in names if name not in asides]
            if {*_OF_SWEEP} & {*files} or (LIST in files and not {*_OF_RUN} & {*files} and "checkpoints" not in names):
                self._sweep(folder)
            elif {*_OF_RUN, LIST} & {*files} or "checkpoints" in names:
                self.n += 1
                self._run(folder)
                names.clear()

    def _hold(self, folder: Path, listed: Iterable[tuple[str, str]]) -> None:
        for name, sha256 in listed:
            if fault := fault_of(folder / name, lambda path, sha256=sha256: sha256_file(path) == sha256):  # type: ignore[misc]
                self.wrong[folder / name] = fault

    def _list(self, folder: Path) -> dict[str, str] | None:
        """Return the list of a folder, none that does not hold; None where there is none."""
        try:
            listed = listed_files(folder)
        except OSError as error:
            self.wrong[folder / LIST] = _unreadable(error)
            return {}
        if listed == {}:
            self.wrong[folder / LIST] = "is missing or changed"
        return listed

    def _sweep(self, folder: Path) -> None:
        listed = self._list(folder)
        self.known.add(folder / name for name in (*_OF_SWEEP, LIST))
        if listed is None and not at_work(folder / LOCK):
            self.wrong[folder / LIST] = "is missing or changed"
        if listed is not None and not at_work(folder / LOCK):
            self._hold(folder, listed.items())

    def _run(self, run: Path) -> None:
        listed = self._list(run)
        known, checkpoints = self.known, run / "checkpoints"
        steps = {path for path in checkpoints.glob("step-*") if path.is_dir() and not path.is_symlink()}
        known.add(run / name for name in (*_OF_RUN, LIST, "checkpoints/latest", "best/best.json"))
        known.folders |= {run / name for name in ("checkpoints", "best")}
        known.others.add(run / LATER)  # figures are the user's
        for step in steps:
            own = self._list(step)
            if own is None:
                self.wrong[step / LIST] = "is missing or changed"
            self._hold(step, (own or {}).items())
            known.add(step / name for name in {*(own or {}), LIST})
        for aside in (path for path in checkpoints.glob(".*") if _STEP_ASIDE.fullmatch(path.name)):
            known.add(aside / name for name in _OF_CHECKPOINT)
            known.folders.add(aside)
        known.files |= {path for path in (run / "best").glob(".*") if _BEST_ASIDE.fullmatch(path.name)}
        if listed is not None:
            self._hold(run, listed.items())
            known.files |= {run / name for name in listed if not (run / name).is_relative_to(checkpoints)}
            return
        self.n_unfinished += 1
        known.add(run.glob("best/step-*.safetensors"))
        known.loose |= {run / name for name in _LOGS}
        try:
            self.wrong |= dict.fromkeys(changed_unlisted(run), "is missing or changed")
        except OSError as error:
            self.wrong[Path(error.filename or run)] = _unreadable(error)


def at_work(lock: Path) -> bool:
    """Return whether another process holds the lock of a run, a sweep or a folder."""
    try:
        handle = os.open(lock, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return False
    with os.fdopen(handle, "rb") as held:
        try:
            fcntl.flock(held, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return True
    return False


def check_embeddings(root: Path, known: Known) -> list[tuple[Path, str]]:
    """Hold every file of embeddings to its seal, to the weights of the run that it is named like, and to the dataset.

    Args:
        root: The workspace.
        known: Learns of them.

    Returns:
        Files, and what is wrong with each.
    """
    wrong = []
    folder, datasets = root / "embeddings", {}
    for place in (*(root / CARRIED).glob("*"), root):
        with suppress(FileError):  # which is told for itself
            dataset = read_record(place / "dataset" / DATASET, DatasetManifest, sealed=True)
            datasets[dataset.vocabulary] = dataset
    for path in sorted(folder.rglob("*")):
        run = _run_of(root, path)
        if path.name.endswith(PARTS) and path.is_dir():  # of one that goes on from there
            known.loose.add(path)
            known.locks.add(path.with_suffix(".lock"))
            known.files.add(path.with_suffix(".tmp"))
        if path.is_dir() and (root / "runs" / path.relative_to(folder)).is_dir():
            known.folders.add(path)
        if path.suffix != ".parquet" or path.name.startswith(".") or not path.is_file():
            continue
        known.files.add(path)
        lock = path.with_name(f".{path.name}.lock")
        known.locks.add(lock)
        known.files |= {path.with_name(f".{path.name}.tmp")} if lock.exists() else set()
        if fault := fault_of(path, holds):
            wrong.append((path, "is not as it was written" if "changed" in fault else fault))
        elif (about := about_embeddings(path)) is None:
            wrong.append((path, "holds no embeddings"))
        elif run is not None and (now := (listed_files(run) or {}).get(_WEIGHTS)) and about.get("weights") != now:
            wrong.append((path, f"is not of the weights of {run.relative_to(root).as_posix()}"))
        elif datasets and about["dataset"] != _fingerprint(datasets, about):
            wrong.append((path, "is of another dataset than is there now"))
    return wrong


def _fingerprint(datasets: dict[str, DatasetManifest], about: dict[str, str]) -> str:
    """Return what the dataset of the vocabulary of embeddings is known by; nothing where it is not there."""
    dataset = datasets.get(about.get("vocabulary", ""))
    return dataset.fingerprint(*about.get(SPLITS, "").split(",")) if dataset is not None else ""


def made_by(root: Path, path: Path) -> str:
    """Return the command that makes a file of embeddings again, none where no run has its name."""
    run, about = _run_of(root, path), about_embeddings(path) or {}
    if run is None:
        return ""
    per = "event" if about.get(PER) == "event" else None
    name = run.relative_to(root / "runs").as_posix()
    return command("embed", workspace=root, run=name, labels=about.get(TASK), per=per)


def _run_of(root: Path, path: Path) -> Path | None:
    """Return the run that a file of embeddings is named like, or whose name its folder has."""
    name = path.relative_to(root / "embeddings").with_suffix("")
    return next(
        (run for run in (root / "runs" / name, root / "runs" / name.parent) if (run / "config.yaml").is_file()), None
    )
