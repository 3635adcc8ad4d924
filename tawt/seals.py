"""How a flipped bit is found: a file that holds the hash of its own rest, or a folder that lists those of its files."""

from __future__ import annotations

import hashlib
import json
import mmap
import re
import zlib
from collections.abc import Iterable
from pathlib import Path

from tawt.errors import FileError, TawtError
from tawt.places import leads_below

SAYS = "sha256 of the rest: "
BLANK = SAYS + "0" * 64
"""Stands once in a file, as a text of its format, until `fill` puts the hash in the place of the zeros."""
LIST = "files.json"
"""File of a folder that lists the hash of every file in it; sealed, and written last."""
UNFINISHED = "unfinished.json"
"""File of a run, beside its list or instead of it, that tells of one which is not finished; in no list."""
LATER = "plots"
"""Folder of figures, drawn at any time: in no list."""
_SUM = ', "crc32": '
_SEAL = re.compile(re.escape(SAYS).encode() + rb"([0-9a-f]{64})")


def filled(text: str) -> str:
    """Return a text with its seal filled in."""
    return text.replace(BLANK, SAYS + hashlib.sha256(text.encode()).hexdigest())


def fill(path: Path) -> None:
    """Fill in the seal of a file of any format."""
    found = _find(path)
    assert found is not None, path
    with path.open("r+b") as file:
        file.seek(found[0])
        file.write(found[2].encode())


def holds(path: Path, without: bool = False) -> bool:
    """Return whether a file has a seal, and every byte of it is as it was written; `without` is for one without."""
    found = _find(path)
    return without if found is None else found[1] == found[2]


def sealed_line(text: str) -> str:
    """Return a JSON object of one line with the checksum of what stands before it as its last key."""
    return f"{text[:-1]}{_SUM}{zlib.crc32(text[:-1].encode())}}}"


def line_without_seal(line: bytes) -> bytes | None:
    """Return a line without its checksum, as it is where it has none; None where it is not as it was written."""
    text, found, number = line.rpartition(_SUM.encode())
    if not found:
        return line
    return text + b"}" if number == b"%d}" % zlib.crc32(text) else None


def lines_hold(path: Path) -> bool:
    """Return whether every line of a file has a checksum and is as it was written; the last may be cut short."""
    *lines, last = path.read_bytes().split(b"\n")
    whole = [line_without_seal(line) not in (None, line) for line in (*lines, last[:-1])]
    return all(whole[:-1]) and not whole[-1]  # a whole line and another byte: its end was changed


def _find(path: Path) -> tuple[int, str, str] | None:
    """Return where the only seal of a file stands, what it says, and what it should say."""
    if not path.stat().st_size:
        return None
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        seals = [match.span(1) for match in _SEAL.finditer(content)]
        if len(seals) != 1:
            return None
        start, end = seals[0]
        digest = hashlib.sha256()
        with memoryview(content) as view:
            for part in (view[:start], b"0" * 64, view[end:]):
                digest.update(part)
                if isinstance(part, memoryview):
                    part.release()
        return start, content[start:end].decode(), digest.hexdigest()


def hashes_of(folder: Path) -> dict[str, str]:
    """Return the hash of every file below a folder that belongs into its list, by its path there."""
    files = sorted(path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    return {path.as_posix(): sha256_file(folder / path) for path in files if is_listed(path)}


def is_listed(path: Path) -> bool:
    """Return whether a file belongs into the list of its folder: not hidden ones, figures, and the list itself."""
    return path.parts[0] not in (LATER, LIST, UNFINISHED) and not any(part.startswith(".") for part in path.parts)


def listed_files(folder: Path) -> dict[str, str] | None:
    """Return the hashes that a folder's list tells, none where it is not as it was written; None without a list."""
    path = folder / LIST
    if not path.exists():
        return None
    try:
        listed = json.loads(path.read_bytes())["sha256"] if path.is_file() and holds(path) else None
    except (ValueError, KeyError, TypeError, RecursionError):  # sealed, and still none of ours
        listed = None
    return listed if isinstance(listed, dict) and all(map(leads_below, listed)) else {}


def changed_files(folder: Path, only: Iterable[str] | None = None) -> list[str] | None:
    """Return the files of a folder that are absent or not as they were listed; None where there is no list.

    Args:
        folder: Where.
        only: Names to look at, each of which must be listed; None = all that are.
    """
    listed = listed_files(folder)
    if not listed:
        return None if listed is None else [LIST]
    names = listed if only is None else only
    return [name for name in names if not (folder / name).is_file() or sha256_file(folder / name) != listed.get(name)]


def hold(folder: Path, names: Iterable[str], hint: str, kind: type[TawtError] = FileError) -> None:
    """Hold files of a folder to its list before they are used.

    Raises:
        TawtError: Of that kind: there is no list, or one of them is absent or not as it was written.
    """
    changed = changed_files(folder, names)
    if changed is None:
        raise kind(str(folder / LIST), "is not there, expected the hashes of the files beside it", hint)
    if changed:
        what = "is not as it was written" if (folder / changed[0]).exists() else "is not there"
        raise kind(str(folder / changed[0]), f"{what}, expected the file that was listed by its hash", hint)


def sha256_file(path: Path) -> str:
    """Return the SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
