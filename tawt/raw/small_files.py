"""Which files of a folder hold one subject each, told by their first lines and their names."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Sequence
from itertools import takewhile
from pathlib import Path

from tawt.raw.formats import format_of
from tawt.raw.sniff import DELIMITERS

OfOne = Callable[[Sequence[str]], bool]
"""Whether files of a header may hold one subject each."""
_SAMPLE = 1 << 16
_FEW_FILES = 20
"""Up to this many alike files are parts of a table, as a rule; more are one per subject."""
_MOSTLY = 0.9
"""Share of the files of one kind that begin alike where they hold one subject each, whatever their names."""
_NUMBERED = re.compile(r"(\D*)(\d+)\D*", re.ASCII)
_FOLDERS = re.compile(r"((?:.*/)?(?:p|pat|patient|person|subj|subject|case|record|id)?[-_. ]?)\d+/([^/]+)", re.ASCII)


def small_files(files: Sequence[Path], is_of_one: OfOne) -> list[Path]:
    """Return which files of one kind hold one subject each.

    They begin alike, and are many, or of a kind that is no table, or have numbers for names and no column that says
    whose a record is.
    """
    kind = format_of(files[0])
    if len(files) < 2 or kind.is_archive or kind.is_parquet or kind.is_gzip:
        return []
    by_line: dict[bytes, list[Path]] = defaultdict(list)
    for file in files:
        by_line[_first_line(file)].append(file)
    line, alike = max(by_line.items(), key=lambda one: len(one[1]))
    sign = next((sign for sign in DELIMITERS if sign.encode() in line), None)
    numbers = [found for file in alike if (found := _NUMBERED.fullmatch(file.stem))]
    are_numbered = len(numbers) == len(alike) and len({found[1] for found in numbers}) == 1
    if sign is None or len(alike) < 2:
        return []
    is_most = len(alike) >= _MOSTLY * len(files)
    if is_most and (len(alike) > _FEW_FILES or not kind.is_table):
        return alike if names_of(alike, [file for file in files if file not in set(alike)])[1] else []
    bare = [found[2] for found in numbers]
    are_days = all(1900 <= int(one[:4]) <= 2100 and len(one) in (4, 6, 8) for one in bare)
    are_counted = max(map(int, bare), default=0) <= len(bare)
    header = [name.strip(' "') for name in line.decode("utf-8", "replace").removeprefix("\ufeff").split(sign)]
    fits = are_numbered and not are_days and not are_counted and (len(alike) > _FEW_FILES or is_of_one(header))
    return alike if fits and names_of(alike, [file for file in files if file not in set(alike)])[1] else []


def names_of(alike: Sequence[Path], others: Sequence[Path]) -> tuple[str, str]:
    """Return what the names of some files of a folder begin with, and a pattern that means no others there."""
    stem = re.sub(r"\d+$", "", _begin([file.stem for file in alike]), flags=re.ASCII)
    literal = re.sub(r"([*?\[])", r"[\1]", stem)
    for pattern in (f"{literal}*{alike[0].suffix}", f"{literal}[0-9]*{alike[0].suffix}"):
        if all(file.match(pattern) for file in alike) and not any(file.match(pattern) for file in others):
            return stem, pattern
    return stem, ""


def numbered_folder(place: str) -> str | None:
    """Return the pattern of a table's place in a folder that is a number, as of a subject; None = it is none."""
    found = _FOLDERS.fullmatch(place)
    return f"{found[1]}[0-9]*/{found[2]}" if found is not None else None


def _begin(names: Sequence[str]) -> str:
    return "".join(one[0] for one in takewhile(lambda one: len(set(one)) == 1, zip(*names, strict=False)))


def _first_line(file: Path) -> bytes:
    try:
        with file.open("rb") as stream:
            return stream.readline(_SAMPLE).strip()
    except OSError:
        return b""
