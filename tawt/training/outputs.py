"""Where a run, a sweep or a file of embeddings may be written: nothing but tawt's own is replaced or removed."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from tawt.contracts.dataset import VOCABULARY
from tawt.contracts.workspace import is_workspace
from tawt.errors import ConfigError
from tawt.heads.task import TASK
from tawt.places import real, refuse_links, remove
from tawt.seals import LATER, SAYS, UNFINISHED
from tawt.training.checkpoint import FORMAT, STATE
from tawt.training.versions import VERSIONS

LOCK = ".lock"
"""File of a folder of a run or a sweep that the process which writes in it holds."""
RECORD = "sweep.json"
"""File of a sweep's folder that tells of its runs."""
_ELSEWHERE = {"run": "choose another with `--out DIR`", "sweep": "give the sweep's YAML another name"}
_FIRST = (UNFINISHED, "config.yaml", TASK, VOCABULARY, VERSIONS)
"""What is written in a run folder up to the file that marks it."""
_ASIDE = {
    "": r"(config|task|packages|versions|vocabulary|files|unfinished|metrics|model|teacher|README)\.[a-z]+",
    "best": r"best\.json|step-[0-9]+\.safetensors",
    "checkpoints": r"latest|step-[0-9]+",
}
"""Folder of a run -> what is written aside in it; what is drawn in plots may be at work."""


def is_run(folder: Path) -> bool:
    """Return whether a folder is a run's: versions, packages or a checkpoint say so; some may be lost."""
    sealed = any(_says(folder / name, SAYS) for name in (VERSIONS, "packages.txt"))
    states = (folder / "checkpoints").glob(f"step-*/{STATE}")
    return sealed or any(_says(state, FORMAT) for state in states)


def refuse_no_run(run: Path, workspace: Path) -> None:
    """Refuse to train where anything could be replaced that is no run's.

    A run that was broken off before it was marked as one holds nothing but what is written until then.

    Raises:
        ConfigError: It is a file, holds something else, or lies among a workspace's own files or in another run.
    """
    _refuse_place(run, workspace, "run")
    if not (_begun(run) or is_run(run)):
        raise _foreign(run, "run")


def refuse_no_sweep(folder: Path, workspace: Path) -> None:
    """Refuse to sweep where anything could be replaced that is no sweep's; one that has just begun holds runs alone.

    Raises:
        ConfigError: It is a file, holds something else, or lies in a run.
    """
    _refuse_place(folder, workspace, "sweep")
    marked = not is_run(folder) and _says(folder / RECORD, SAYS)
    if not marked and not all(path.is_dir() and (_begun(path) or is_run(path)) for path in _in(folder, (RECORD,))):
        raise _foreign(folder, "sweep")


def remove_leftovers(run: Path) -> None:
    """Remove what a killed process left in the folder of a run: what was written or taken aside, and nothing else.

    A checkpoint that lacks a file was none that tawt left so: who resumes it is told.
    """
    for folder, names in _ASIDE.items():
        for path in (run / folder).glob(".*.tmp*"):
            if re.fullmatch(rf"\.({names})\.tmp(\.old)?", path.name):
                remove(path)


def refuse_outside(place: Path, workspace: Path, folder: str) -> None:
    """Refuse a place in a workspace, this one or another, that is not below one of its folders.

    Args:
        place: What is to be written, whether it is there or not.
        workspace: The workspace in use, whatever it holds.
        folder: Where such things belong: `runs` or `embeddings`.

    Raises:
        ConfigError: It is one.
        FileError: It is, or lies behind, a link in the workspace.
    """
    refuse_links(workspace, place)
    at, own = real(place), real(workspace)
    for root in (at, *at.parents):
        parts = at.relative_to(root).parts
        if (len(parts) < 2 or parts[0] != folder) and (root == own or is_workspace(root)):
            raise ConfigError(
                str(place), f"lies in a workspace, expected a place in its `{folder}` or outside of it",
                "choose another with `--out`",
            )  # fmt: skip


def refuse_among(place: Path, workspace: Path, runs: Iterable[Path], option: str) -> None:
    """Refuse a place for figures among the files of a workspace or a run, but for the folder of a run that is theirs.

    Args:
        place: A folder or a file, whether it is there or not.
        workspace: The workspace in use, whatever it holds.
        runs: Those that are drawn, whatever they lack.
        option: Which names the place.

    Raises:
        ConfigError: It is one.
    """
    at, own, named = real(place), real(workspace), {real(run) for run in runs}
    around = (at, *at.parents)
    run = next((root for root in around if root in named or is_run(root)), None)
    if run is None and not any(root == own or is_workspace(root) for root in around):
        return
    if run is None or at.relative_to(run).parts[:1] != (LATER,):
        raise ConfigError(
            str(place), f"lies in a {'workspace' if run is None else 'run'}, expected `{LATER}` of a run or a place "
            "outside of both", f"choose another with `{option}`",
        )  # fmt: skip


def _refuse_place(folder: Path, workspace: Path, what: str) -> None:
    refuse_outside(folder, workspace, "runs")
    if folder.exists() and not folder.is_dir():
        raise ConfigError(str(folder), f"is a file, expected a {what} folder", _ELSEWHERE[what])
    if any(is_run(parent) for parent in real(folder).parents):
        raise ConfigError(str(folder), f"lies in a run, expected a {what} folder of its own", _ELSEWHERE[what])


def _in(folder: Path, names: tuple[str, ...]) -> Iterator[Path]:
    """What is in a folder but for its lock, those names, and the same written aside."""
    known = {LOCK, *names, *(f".{name}.tmp" for name in names)}
    return (path for path in folder.iterdir() if path.name not in known) if folder.is_dir() else iter(())


def _begun(run: Path) -> bool:
    """Return whether a folder holds no more than a run that was broken off as it was being described."""
    marks = [mark for name in _FIRST[:2] if (mark := run / name).exists()]
    return not any(_in(run, _FIRST)) and all(_says(mark, SAYS) for mark in marks)


def _says(path: Path, text: str) -> bool:
    return path.is_file() and text.encode() in path.read_bytes()


def _foreign(folder: Path, what: str) -> ConfigError:
    return ConfigError(
        str(folder), f"holds files and is no {what} of tawt, expected a new folder, an empty one or a {what}",
        _ELSEWHERE[what],
    )  # fmt: skip
