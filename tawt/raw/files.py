"""The files of a raw table as they lie below the raw root, told from their names alone."""

from __future__ import annotations

import fnmatch
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from tawt.config.pipeline import Members
from tawt.errors import SourceError
from tawt.raw.formats import PACKED, TABLES, bare_name, format_of, is_hidden, places_of, unpacked_name
from tawt.raw.members import find_members

_BESIDE = (
    ".md5", ".sha1", ".sha256", ".sha512", ".asc", ".sig", ".md", ".html", ".pdf", ".sql", ".json", ".yaml", ".yml",
    ".doc", ".docx", ".rtf", ".png", ".log", ".py", ".r", ".sh", ".ini",
)  # fmt: skip
"""Ends of the names of what lies beside tables and is none."""
_PAPERS = (
    "readme", "license", "copying", "notice", "changelog", "changes", "version", "manifest", "md5sum", "md5sums",
    "sha256sum", "sha256sums", "checksums", "thumbs.db",
)  # fmt: skip
"""The same, of whole names."""


def files_of(
    root: Path, places: Sequence[str], members: Members | None, name: str, n_hidden: Counter[str] | None = None
) -> list[Path]:
    """Return the files of a raw table as they lie below the raw root now, from their names alone.

    Args:
        root: The raw root.
        places: Of its contract: it lies in one of them; names match in any case, a folder gives all its parts.
        members: How the table is spread over small files instead, if it is.
        name: Of its contract.
        n_hidden: Counts, under the name, files that lie there and whose names say that they are no data.

    Raises:
        SourceError: It lies there twice, or in two of the places, or in a form that is not read.
    """
    if members is not None:
        return find_members(root, members)
    n_hidden = n_hidden if n_hidden is not None else Counter()
    found: list[Path] = []
    for place in places:
        hidden: set[Path] = set()
        hits = _glob(root, place, hidden)
        unread = _glob(root, place, hidden, unread=True)
        within = [part for hit in hits for part in (_parts(hit, hidden) if hit.is_dir() else [hit])]
        files = [part for part in within if format_of(part).is_table]
        stems: dict[Path, Path] = {}
        for hit in (*hits, *files, *(odd for odd in unread if odd.suffix.lower() in PACKED)):
            twin = stems.setdefault(hit.with_name(bare_name(Path(unpacked_name(hit)))), hit)
            if twin != hit:
                said = places_of(root, [*hits, *within, *unread])
                one, other = said[twin], said[hit]
                raise SourceError(
                    name,
                    f"lies there twice: {one} and {other}, expected one of them",
                    f"move one of the two out of {hit.parent.relative_to(root).as_posix()}/",
                )
        # of what may hold more of the table all is read: a pattern means all that fits, a folder all that is in it
        for odd in (*within, *unread) if files and _is_pattern(place) else within:
            if not _is_told(odd, stems):
                raise _unreadable(root, odd, [*within, *unread])
        n_hidden[name] += sum(map(_n_files, hidden)) if not found else 0
        if not found:
            for odd in (*hits, *unread) if not files else ():
                raise _unreadable(root, odd, [*hits, *unread])
            found = files
        elif more := sorted(set(files) - set(found)):
            said = places_of(root, [*found, *files])
            here, there = said[found[0]], said[more[0]]
            raise SourceError(
                name, f"lies there in two of its `paths`: {here} and {there}, expected it in one of them",
                "a pattern such as `obs*` means all files of such names; else move one of the two out",
            )  # fmt: skip
    return found


def _unreadable(root: Path, path: Path, beside: Sequence[Path]) -> SourceError:
    place = places_of(root, beside)[path]
    if path.is_dir():
        return SourceError(
            place, "is a folder without a table in it, expected its files", "copy it again, or remove it"
        )
    packed = path.suffix.lower() in PACKED
    return SourceError(
        place, f"is of a kind that is not read, expected {', '.join(TABLES)}",
        "unpack it, or pack it with gzip" if packed else "write it as CSV, or move it away if it is no part of it",
    )  # fmt: skip


def _is_pattern(place: str) -> bool:
    """Return whether a place may mean several files."""
    return any(sign in place for sign in "*?[")


def _is_told(path: Path, stems: Mapping[Path, Path]) -> bool:
    """Return whether a file is read, or is another form of one that is, such as `labs-1.xlsx` beside `labs-1.csv`."""
    if format_of(path).is_table:
        return True
    name = path.name.lower()
    bare = [name, *(name[:i] for i, letter in enumerate(name) if letter == ".")]
    return path.suffix.lower() not in PACKED and any(path.with_name(one) in stems for one in bare)


def _glob(root: Path, place: str, hidden: set[Path], unread: bool = False) -> list[Path]:
    """Match `place` below root part by part, in any case, with any known suffix on the last part.

    With `unread`, return what has the name with a suffix that nothing reads. What fits but for a name that says that it
    is no data is added to `hidden`: a place means such a name only where it writes one.
    """
    here = [root]
    *folders, last = place.lower().split("/")

    def meant(path: Path, name: str, pattern: str) -> bool:
        passed = is_hidden(path.name) and not is_hidden(pattern)
        if passed and (fnmatch.fnmatch(name, pattern) or fnmatch.fnmatch(name.lstrip("._"), pattern)):
            hidden.add(path)
        return not passed and fnmatch.fnmatch(name, pattern)

    for folder in folders:
        here = [c for h in here for c in sorted(h.iterdir()) if c.is_dir() and meant(c, c.name.lower(), folder)]
    children = [child for folder_path in here for child in sorted(folder_path.iterdir())]
    if unread:
        files = [child for child in children if not child.is_dir() and not _is_beside(child)]
        names = [f"{last}.*", last] if _is_pattern(place) else [f"{last}.*"]
        return [file for file in files if any(meant(file, file.name.lower(), name) for name in names)]
    tables = [child for child in children if child.is_dir() or format_of(child).is_table]
    return [child for child in tables if meant(child, bare_name(child), last)]


def _n_files(path: Path) -> int:
    return sum(below.is_file() for below in path.rglob("*")) if path.is_dir() else 1


def _parts(folder: Path, hidden: set[Path]) -> list[Path]:
    """Return all files of a folder that may be parts of a table."""
    found = sorted(path for path in folder.rglob("*") if path.is_file())
    files = [path for path in found if not is_hidden(*path.relative_to(folder).parts)]
    hidden.update({*found} - {*files})
    return [path for path in files if not _is_beside(path)]


def _is_beside(path: Path) -> bool:
    return path.suffix.lower() in _BESIDE or path.name.lower() in _PAPERS
