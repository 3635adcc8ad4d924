"""The folder of an evaluation or an audit: where it may be, and how its files come to be there all at once."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tawt.contracts.workspace import is_outside
from tawt.errors import ConfigError
from tawt.files import keep_private, made_folder, make_folder, sync, write_hashes, written_aside
from tawt.places import real, refuse_links
from tawt.seals import LIST, listed_files
from tawt.training.outputs import is_run, refuse_outside

_ELSEWHERE = "choose another with `--out DIR`"


def hold_folder(place: Path, workspace: Path, room: str) -> None:
    """Hold that a folder may be written in, whether it is there or not.

    Args:
        place: The folder.
        workspace: The workspace in use.
        room: Where such folders belong in it.

    Raises:
        ConfigError: It is a file, or among the files of a workspace or a run.
        FileError: It is, lies behind or holds a link.
    """
    if os.path.lexists(place) and not place.is_dir():
        raise ConfigError(str(place), "is no folder, expected one or nothing", _ELSEWHERE)
    refuse_outside(place, workspace, room)
    refuse_links(place, place, inner=True)
    if any(is_run(folder) for folder in (real(place), *real(place).parents)):
        raise ConfigError(str(place), f"lies in a run, expected a place in `{room}` or outside of both", _ELSEWHERE)


def hold_names(place: Path, names: Iterable[str]) -> None:
    """Hold that files of a folder of the user's would replace nothing but what such a command has listed there.

    Args:
        place: The folder.
        names: Of the files, below it.

    Raises:
        ConfigError: One of them is there and not listed.
    """
    known = {*(listed_files(place) or {}), LIST}
    if other := next((name for name in names if name not in known and os.path.lexists(place / name)), None):
        raise ConfigError(str(place / other), "is there already, and of something else, expected no file", _ELSEWHERE)


@contextmanager
def published(place: Path, last: str) -> Iterator[Path]:
    """Give the place to write files of a folder aside; they replace those that it listed before, or nothing happens.

    A kill while they do leaves a folder without its `last` file, and so none that anybody reads. Outside of every
    workspace they, and the folders that are made for them, are the owner's alone.

    Args:
        place: The folder.
        last: The file that tells of the others.

    Raises:
        ConfigError: Another process writes them.
    """
    in_use = ConfigError(
        str(place), "is being written by another process, expected to write it alone", f"wait for it, or {_ELSEWHERE}"
    )
    private = is_outside(place)
    with written_aside(place, in_use, private) as aside:
        yield aside
        write_hashes(aside)
        with made_folder(place, private):
            _publish(aside, place, last, private)


def _publish(aside: Path, place: Path, last: str, private: bool) -> None:
    new = sorted(path.relative_to(aside) for path in aside.rglob("*") if path.is_file())
    old = [Path(name) for name in listed_files(place) or {}]
    for name in new:
        if private:
            keep_private(aside / name, place / name)
        sync(aside / name)
    for name in (Path(last), *old, Path(LIST)):
        (place / name).unlink(missing_ok=True)
    for name in sorted(new, key=lambda name: (name == Path(last), name)):
        make_folder(place / name.parent, private)
        (aside / name).replace(place / name)
    for folder in {(place / name).parent for name in (*new, *old)} - {place}:
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()
    sync(place)
