"""The table that many small files make up, in a folder or an archive."""

from __future__ import annotations

import tarfile
from itertools import islice
from pathlib import Path
from typing import cast

from tawt.config.pipeline import Encoding, Members
from tawt.errors import SourceError
from tawt.raw.encoding import encoding_of
from tawt.raw.formats import ARCHIVES, PACKED, format_of, is_hidden
from tawt.raw.found import FoundTable, PassedOver
from tawt.raw.identity import open_packed
from tawt.raw.members import MemberReader
from tawt.raw.sniff import DELIMITERS

CASELESS_GLOB = str.maketrans({c: f"[{c}]" for c in "*?["})
"""What a name is written with, so that it means itself in a pattern."""


def encoding_in(file: Path) -> str | None:
    """Return how the letters of a file are written, packed or not."""
    with open_packed(file, file.name) as stream:
        return encoding_of(stream)


def of_archive(root: Path, file: Path) -> FoundTable | PassedOver:
    """Return the table that the small files in an archive make up, told from its first two."""
    place = file.relative_to(root).as_posix()
    try:
        with tarfile.open(file, mode="r|*") as archive:
            names = [Path(entry.name).name for entry in islice(archive, 50) if entry.isreg()]
    except (tarfile.TarError, OSError, EOFError):
        return PassedOver(place, "is damaged or no archive")
    names = [name for name in names if not is_hidden(name)]
    suffixes = {Path(name).suffix for name in names}
    if len(names) < 2 or len(suffixes) != 1 or not (suffix := suffixes.pop()) or suffix.lower() in PACKED:
        return PassedOver(place, "holds no small text files of one kind: unpack it")
    return of_members([file], place, suffix)


def of_members(files: list[Path], place: str, suffix: str, pattern: str = "") -> FoundTable | PassedOver:
    """Return the table that small files make up, in an archive or a folder, or those of a pattern in one."""
    said = {encoding_in(file) for file in files if not format_of(file).is_archive} - {None}
    encoding = cast(Encoding | None, said.pop() if len(said) == 1 else None)
    for delimiter in DELIMITERS:
        folders = (pattern or place.translate(CASELESS_GLOB),)
        members = Members(table="records", folders=folders, suffix=suffix, delimiter=delimiter)
        try:
            header = MemberReader(members, [(file, place) for file in files], encoding or "utf-8").header()
        except SourceError as error:
            return PassedOver(place, error.what)
        if len(header) > 1:
            bare = place
            for end in (*ARCHIVES, *PACKED):
                bare = bare.removesuffix(end)
            return FoundTable(bare.lower(), tuple(files), ("_member", *header), delimiter, encoding, members)
    return PassedOver(place, "holds small files without columns")
