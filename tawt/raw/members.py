"""A raw table spread over thousands of small text files, in folders or tar archives -> one stream of Arrow batches.

Archives are read as a stream and never unpacked to the disk. `_row` numbers the records in the order of the archives
and of the files in each. The name of a file can be a person's id: it is a cell, and no message holds it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa

from tawt.config.pipeline import Members
from tawt.errors import ConfigError, SourceError
from tawt.places import real
from tawt.raw.archives import Alike, Member, members_of, passed_over
from tawt.raw.formats import PACKED, format_of, is_hidden, unpacked_name
from tawt.raw.identity import named

_BATCH_RECORDS = 100_000
_BATCH_BYTES = 32 << 20


def find_members(root: Path, members: Members) -> list[Path]:
    """Return the archives, files and files of folders that match; an archive beside its unpacked folder is left out.

    Raises:
        ConfigError: A pattern leaves the raw root.
        SourceError: A link leaves it.
    """
    for pattern in members.folders:
        if pattern.startswith(("/", "~")) or ".." in Path(pattern).parts:
            raise ConfigError(
                "members.folders", "has a pattern that leaves the raw root, expected patterns below it",
                "without `..`, and without `/` at the front",
            )  # fmt: skip
    patterns = [pattern for pattern in members.folders if pattern]
    hits = {hit for pattern in patterns for hit in _asked(root, pattern)}
    beside = {hit for pattern in patterns for hit in _asked(root, f"{pattern}.*") if not hit.is_dir()}
    folders = {folder.name for hit in hits for folder in ([hit] if hit.is_dir() else _within(root, hit, members))}
    found: list[Path] = []
    for hit in sorted(hits | beside):
        if hit.is_dir():
            files = sorted(file for file in hit.iterdir() if not passed_over(file.name, members) and not file.is_dir())
            if not files:
                raise SourceError(
                    hit.relative_to(root).as_posix(), f"holds no {members.named} file, expected one per subject",
                    "fill the folder, or remove it and keep its archive",
                )  # fmt: skip
            found += files
        elif unpacked_name(hit) in folders:
            continue
        elif hit in hits and format_of(hit).is_archive:
            found.append(hit)
        elif hit.suffix.lower() in PACKED:
            raise SourceError(
                hit.relative_to(root).as_posix(), "is of a kind that is not read, expected a folder or a tar archive",
                "unpack it",
            )  # fmt: skip
        elif hit in hits and passed_over(hit.name, members) is None:
            found.append(hit)
    inside = real(root)
    for path in found:
        if not real(path).is_relative_to(inside):
            place = path if format_of(path).is_archive else path.parent
            raise SourceError(
                place.relative_to(root).as_posix(), "is or holds a link out of the raw root, expected files below it",
                "put the files there themselves",
            )  # fmt: skip
    return found


def _within(root: Path, file: Path, members: Members) -> list[Path]:
    """Return the folders below the root that a small file lies in."""
    small = not format_of(file).is_archive and passed_over(file.name, members) is None
    return [folder for folder in file.parents if folder.is_relative_to(root) and folder != root] if small else []


def _asked(root: Path, pattern: str) -> Iterator[Path]:
    """Yield what fits a pattern; what is no data by its name only where the pattern writes such a name."""
    if pattern in (".", "..*"):  # the raw folder itself holds the small files, and no archive of it lies there
        return iter([root] if pattern == "." else [])
    asks = is_hidden(*Path(pattern).parts)
    return (hit for hit in root.glob(pattern) if asks or not is_hidden(*hit.relative_to(root).parts))


@dataclass
class MemberReader:
    """Reads the small files one after another; can be read once."""

    members: Members
    paths: list[tuple[Path, str]]
    """Every archive or file, and what is said of it."""
    encoding: str = "utf-8"
    rejected: list[tuple[str, int, str]] = field(default_factory=list)
    """Place, line and kind of every line with another number of fields than the header; lines are counted through
    all files of the place."""

    failed: SourceError | None = None
    """Why the reading stopped, where it did: the engine, which reads, does not hand the error on."""

    def header(self) -> tuple[str, ...]:
        """Return the header of the first file.

        Raises:
            SourceError: There is no file, or it is empty.
        """
        alike = Alike(self.members, self.encoding)
        for member in self._files():
            alike.lines(member)
            return alike.header
        raise SourceError(
            self.paths[0][1], f"holds no {self.members.named} file, expected one per subject",
            "`members:` of the pipeline says where they are",
        )  # fmt: skip

    def batches(self) -> pa.RecordBatchReader:
        """Return the records as text columns `_member`, the header's columns, and `_row` int64."""
        header = self.header()
        schema = pa.schema([(name, pa.string()) for name in ("_member", *header)] + [("_row", pa.int64())])
        return pa.RecordBatchReader.from_batches(schema, self._remembering(self._batches(header, schema)))

    def _remembering(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        try:
            yield from batches
        except SourceError as error:
            self.failed = error
            raise

    def _batches(self, header: tuple[str, ...], schema: pa.Schema) -> Iterator[pa.RecordBatch]:
        rows: list[list[str]] = []
        number, n_bytes = 0, 0
        n_lines: Counter[str] = Counter()
        alike = Alike(self.members, self.encoding)

        def batch() -> pa.RecordBatch:
            columns = [list(column) for column in zip(*rows, strict=True)] if rows else [[] for _ in schema.names[:-1]]
            # an empty cell is a null, as in every other text source
            arrays = [pa.array([cell or None for cell in column], pa.string()) for column in columns]
            numbers = pa.array(range(number - len(rows) + 1, number + 1), pa.int64())
            return pa.record_batch([*arrays, numbers], schema=schema)

        for member in self._files():
            n_lines[member.place] += 1
            for line in alike.lines(member):
                n_lines[member.place] += 1
                cells = line.split(self.members.delimiter)
                if not line:
                    continue
                if len(cells) != len(header):
                    self.rejected.append((member.place, n_lines[member.place], "wrong_number_of_fields"))
                    continue
                rows.append([member.stem, *cells])
                number += 1
                n_bytes += len(line)
                if len(rows) >= _BATCH_RECORDS or n_bytes >= _BATCH_BYTES:
                    yield batch()
                    rows, n_bytes = [], 0
        yield batch()

    def _files(self) -> Iterator[Member]:
        numbers: Counter[str] = Counter()
        for path, place in self.paths:
            numbers[place] += 1
            with named(f"{place} (file {numbers[place]})"), path.open("rb") as stream:
                files = members_of(path, place, numbers[place], stream, self.members)
                yield from (member for member in files if isinstance(member, Member))
