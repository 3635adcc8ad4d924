"""How a raw file is written, told from the end of its name, in any case."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

TABLES = (".csv", ".csv.gz", ".tsv", ".tsv.gz", ".txt", ".txt.gz", ".parquet")
"""Ends of the names of tables."""
ARCHIVES = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")
"""Ends of the names of archives of small files."""
PACKED = (
    ".zip", ".bz2", ".zst", ".zstd", ".xz", ".lzma", ".lz4", ".br", ".z", ".7z", ".rar", ".tar", ".tgz", ".tbz2",
    ".txz", ".gz", ".gpg",
)  # fmt: skip
"""Ends of the names of what holds something in a form that is read only where another one says so."""
_TEXT_PER_BYTE = {"gz": 8, "tgz": 8, "xz": 12, "txz": 12, "bz2": 12, "tbz2": 12, "parquet": 6}


@dataclass(frozen=True)
class Format:
    """What the end of a file's name says."""

    suffix: str
    """One of `TABLES` or `ARCHIVES`; empty = none of them."""

    @property
    def is_table(self) -> bool:
        """Whether it is a table or a part of one."""
        return self.suffix in TABLES

    @property
    def is_archive(self) -> bool:
        """Whether it holds small files."""
        return self.suffix in ARCHIVES

    @property
    def is_parquet(self) -> bool:
        """Whether its columns have types."""
        return self.suffix == ".parquet"

    @property
    def is_tabbed(self) -> bool:
        """Whether tabs stand between its cells, whatever the pipeline says."""
        return self.suffix.startswith(".tsv")

    @property
    def is_gzip(self) -> bool:
        """Whether it is a packed table."""
        return self.is_table and self.suffix.endswith(".gz")

    @property
    def text_per_byte(self) -> int:
        """About how much text one byte of it stands for."""
        return _TEXT_PER_BYTE.get(self.suffix.rpartition(".")[2], 1)


def format_of(path: Path) -> Format:
    """Return how a file is written."""
    name = path.name.lower()
    return Format(max((end for end in (*TABLES, *ARCHIVES) if name.endswith(end)), key=len, default=""))


def is_hidden(*names: str) -> bool:
    """Return whether one of some names of files or folders says that it is no data, but what a system or a program put
    there for itself: `.DS_Store`, `._labs.csv`, `_SUCCESS`, `__MACOSX`, `~$labs.csv`."""
    return any(name.startswith((".", "_", "~")) and name not in (".", "..") for name in names)


def bare_name(path: Path) -> str:
    """Return the name of a table, in lower case, less what says how it is written."""
    return path.name.lower().removesuffix(format_of(path).suffix)


def unpacked_name(path: Path) -> str:
    """Return the name that the folder has which a packed file is unpacked to."""
    while path.suffix.lower() in PACKED:
        path = path.with_suffix("")
    return path.name


MOST_NAMED = 3
"""Files of one table in one folder that are named: the names of more can be those of people."""


def places_of(root: Path, paths: Collection[Path]) -> dict[Path, str]:
    """Return what is said of each file of a table: its path below the root, or its number where many lie in a folder.

    Args:
        root: The raw root.
        paths: The files.
    """
    by_folder: dict[Path, list[Path]] = {}
    for path in sorted({*paths}):
        by_folder.setdefault(path.parent, []).append(path)
    return {
        path: path.relative_to(root).as_posix()
        if len(files) <= MOST_NAMED
        else f"{folder.relative_to(root).as_posix()}/ (file {i})"
        for folder, files in by_folder.items()
        for i, path in enumerate(files, start=1)
    }
