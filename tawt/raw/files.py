"""The files of a raw table as they lie below the raw root, told from their names alone."""

from __future__ import annotations

import fnmatch
from collections import Counter
from collections.abc import Collection, Sequence
from pathlib import Path

from tawt.config.pipeline import Members
from tawt.errors import SourceError
from tawt.raw.formats import PACKED, TABLES, bare_name, format_of, is_hidden, places_of, unpacked_name
from tawt.raw.members import find_members

_BESIDE = (
    ".md5", ".sha1", ".sha256", ".sha512", ".asc", ".sig", ".md", ".html", ".pdf", ".doc", ".docx", ".rtf", ".png",
    ".yaml", ".yml", ".ini", ".py", ".r", ".sh",
)  # fmt: skip
"""Ends of the names of what lies beside tables and can hold no records."""
_PAPERS = (
    "readme", "license", "licence", "copying", "notice", "authors", "changelog", "version", "md5sum", "md5sums",
    "sha1sums", "sha256sum", "sha256sums", "sha512sums", "checksum", "checksums", "thumbs.db",
)  # fmt: skip
"""The same, of whole names, with or without `.txt`."""


def files_of(
    root: Path, places: Sequence[str], members: Members | None, name: str, n_hidden: Counter[str] | None = None
) -> list[Path]:
    """Return the files of a raw table as they lie below the raw root now, from their names alone.

    Args:
        root: The raw root.
        places: Of its contract, in any order: it lies in one of them, or is all that patterns among them mean; names
            match in any case, a folder gives all its parts.
        members: How the table is spread over small files instead, if it is.
        name: Of its contract.
        n_hidden: Counts, under the name, files that lie there and whose names say that they are no data.

    Raises:
        SourceError: It lies there twice, or whole in two of the places, or in a form that is not read.
    """
    if members is not None:
        return find_members(root, members)
    hidden: set[Path] = set()
    there: set[Path] = set()
    found: set[Path] = set()
    alike: set[Path] = set()
    odd: set[Path] = set()
    fits: set[Path] = set()
    whole: list[set[Path]] = []
    for place in places:
        hits, unread = (_glob(root, place, hidden, unread=unread) for unread in (False, True))
        within = [part for hit in hits for part in (_parts(hit, hidden) if hit.is_dir() else [hit])]
        files = {part for part in within if format_of(part).is_table}
        found |= files
        there |= {*hits, *within, *unread}
        alike |= {*hits, *files, *(one for one in unread if one.suffix.lower() in PACKED)}
        # of what may hold more of the table all is read: a pattern means all that fits, a folder all that is in it
        odd |= {*within} | ({*unread} if _is_pattern(place) or not files else set()) | (set() if files else {*hits})
        if _is_pattern(place):
            fits |= files
        else:
            whole.append(files)
    _hold_apart(root, name, there, alike, [one for files in whole if (one := files - fits)])
    forms = {file.with_name(bare_name(file)) for file in found}
    for other in sorted(odd - found):
        if not _is_form(other, forms):
            raise _unreadable(root, other, there)
    if n_hidden is not None:
        n_hidden[name] += len({file for one in hidden for file in _files_in(one)} - found)
    return sorted(found)


def _hold_apart(root: Path, name: str, there: set[Path], alike: set[Path], whole: list[set[Path]]) -> None:
    """Refuse a table of which a part lies there in two forms, or which lies whole in two of its places."""
    stems: dict[Path, Path] = {}
    for hit in sorted(alike):
        twin = stems.setdefault(hit.with_name(bare_name(Path(unpacked_name(hit)))), hit)
        if twin != hit:
            said = places_of(root, there)
            raise SourceError(
                name,
                f"lies there twice: {said[twin]} and {said[hit]}, expected one of them",
                f"move one of the two out of {hit.parent.relative_to(root).as_posix()}/",
            )
    largest = max(whole, key=len, default=set())
    if more := set().union(*whole) - largest:
        here, other = sorted(places_of(root, largest | more)[min(files)] for files in (largest, more))
        raise SourceError(
            name, f"lies there in two of its `paths`: {here} and {other}, expected it in one of them",
            "a pattern such as `obs*` means all files of such names; else move one of the two out",
        )  # fmt: skip


def _unreadable(root: Path, path: Path, beside: Collection[Path]) -> SourceError:
    place = places_of(root, beside)[path]
    if path.is_dir():
        return SourceError(
            place, "is a folder without a table in it, expected its files", "copy it again, or remove it"
        )
    if not place.endswith(path.name) and path.suffix[1:].isalpha():  # of many, whose names are not said
        place = f"{path.parent.relative_to(root).as_posix()}/*{path.suffix}"
    if format_of(path).is_table:
        return SourceError(
            place, "has a name that the contract does not mean, expected one of its `paths` and one suffix",
            "say its name in `paths`, without the suffix, or with a `*`; or move it away if it is no part of it",
        )  # fmt: skip
    packed = path.suffix.lower() in PACKED
    return SourceError(
        place, f"is of a kind that is not read, expected {', '.join(TABLES)}",
        "unpack it, or pack it with gzip" if packed else "write it as CSV, or move it away if it is no part of it",
    )  # fmt: skip


def _is_pattern(place: str) -> bool:
    """Return whether a place may mean several files."""
    return any(sign in place for sign in "*?[")


def _is_form(path: Path, forms: Collection[Path]) -> bool:
    """Return whether a file is another form of one that is read, such as `labs-1.xlsx` beside `labs-1.csv`."""
    end = path.suffix.lower()
    return end[1:].isalpha() and end not in PACKED and path.with_name(bare_name(Path(path.stem))) in forms


def _glob(root: Path, place: str, hidden: set[Path], unread: bool = False) -> list[Path]:
    """Match `place` below root part by part, in any case, with any known suffix on the last part.

    With `unread`, return what has the name with a suffix that nothing reads. What fits but for a name that says that it
    is no data is added to `hidden`: a place means such a name only where it writes one.
    """
    here = [root]
    *folders, last = place.lower().split("/")

    def meant(path: Path, name: str, pattern: str) -> bool:
        passed = is_hidden(path.name) and not is_hidden(pattern)
        if passed and (fnmatch.fnmatch(name, pattern) or fnmatch.fnmatch(name.lstrip("._~$"), pattern)):
            hidden.add(path)
        return not passed and fnmatch.fnmatch(name, pattern)

    for folder in folders:
        here = [c for h in here for c in sorted(h.iterdir()) if c.is_dir() and meant(c, c.name.lower(), folder)]
    several = _is_pattern(place)
    children = [child for folder_path in here for child in sorted(folder_path.iterdir())]
    if unread:
        files = [child for child in children if not child.is_dir() and not _is_beside(child)]
        names = [f"{last}.*", last] if several else [f"{last}.*"]
        return [file for file in files if any(meant(file, file.name.lower(), name) for name in names)]
    tables = [c for c in children if c.is_dir() or (format_of(c).is_table and not (several and _is_beside(c)))]
    return [child for child in tables if meant(child, bare_name(child), last)]


def _files_in(path: Path) -> list[Path]:
    return [below for below in path.rglob("*") if below.is_file()] if path.is_dir() else [path]


def _parts(folder: Path, hidden: set[Path]) -> list[Path]:
    """Return all files of a folder that may be parts of a table."""
    found = sorted(path for path in folder.rglob("*") if path.is_file())
    files = [path for path in found if not is_hidden(*path.relative_to(folder).parts)]
    hidden.update({*found} - {*files})
    return [path for path in files if not _is_beside(path)]


def _is_beside(path: Path) -> bool:
    name = path.name.lower()
    return name.endswith((*_BESIDE, "-readme.txt", "_readme.txt")) or name.removesuffix(".txt") in _PAPERS
