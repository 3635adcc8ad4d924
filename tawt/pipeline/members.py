"""A raw table spread over thousands of small text files, in folders or tar archives -> one stream of Arrow batches.

Archives are read as a stream and never unpacked to the disk. `_row` numbers the records in the order of the archives
and of the files in each. The name of a file can be a person's id: it is a cell, and no message holds it.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import re
import tarfile
import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, cast

import pyarrow as pa

from tawt.config.data import Members
from tawt.errors import ConfigError, SourceError
from tawt.pipeline.records import RecordCounter

_BATCH_RECORDS = 100_000
_BATCH_BYTES = 32 << 20
MEMBER_BYTES = 64 << 20
"""Largest file of one subject: it is held in memory."""
_UNPACKED_PER_BYTE, _UNPACKED_AT_LEAST = 200, 256 << 20
"""What an archive may unpack to; dense text packs to a twentieth."""
_HEADER_BYTES = 1 << 20
"""Longest name or comment of a file in an archive: it is held in memory."""
_WHOLE_NUMBER = re.compile(r"\s*([+-]?)0*(\d+)\s*", re.ASCII)


def find_members(root: Path, members: Members) -> list[Path]:
    """Return the archives and the files of folders that match; an archive beside its unpacked folder is left out.

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
    hits = sorted({hit for pattern in members.folders if pattern for hit in root.glob(pattern)})
    folders = {hit.name for hit in hits if hit.is_dir()}
    found: list[Path] = []
    for hit in hits:
        if hit.is_dir():
            found += sorted(file for file in hit.iterdir() if file.name.endswith(members.suffix) and not file.is_dir())
        elif ".tar" in hit.name and hit.name.partition(".tar")[0] not in folders:
            found.append(hit)
    inside = root.resolve()
    for path in found:
        if not path.resolve().is_relative_to(inside):
            place = path if ".tar" in path.name else path.parent
            raise SourceError(
                place.relative_to(root).as_posix(), "is or holds a link out of the raw root, expected files below it",
                "put the files there themselves",
            )  # fmt: skip
    return found


class _Entry(tarfile.TarInfo):
    """An entry whose own description must be short."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Any:
        entry = super().frombuf(buf, encoding, errors)
        if entry.type not in tarfile.REGULAR_TYPES and entry.size > _HEADER_BYTES:
            raise _Refused("describes a file with more than 1 MB")
        return entry


class _Refused(Exception):
    """What an archive does that none should; a sentence of ours."""


class _Bounded:
    """A stream that ends in an error where an archive unpacks to far more than it is, and knows its last bytes: an
    archive that was cut off reads like a shorter one otherwise."""

    def __init__(self, stream: IO[bytes], n_packed: int) -> None:
        self.stream, self.last = stream, b""
        self.left = max(n_packed * _UNPACKED_PER_BYTE, _UNPACKED_AT_LEAST)

    def read(self, size: int = -1) -> bytes:
        # never more at once than a block: what is packed may stand for any size
        block = self.stream.read(min(size, 1 << 20) if size >= 0 else 1 << 20)
        self.left -= len(block)
        if self.left < 0:
            raise _Refused(f"unpacks to more than {_UNPACKED_PER_BYTE} times its size")
        self.last = (self.last + block[-512:])[-512:]
        return block

    def hold_to_end(self) -> None:
        """Read what is left, so that checksums are verified, and demand the zeros that end every archive."""
        while self.read():
            pass
        if self.last.strip(b"\0"):
            raise EOFError


def _unpacked(stream: IO[bytes]) -> IO[bytes]:
    opened = io.BufferedReader(cast(io.RawIOBase, stream))
    magic = opened.peek(6)[:6]
    if magic.startswith(b"\xfd7zXZ"):
        return lzma.open(opened)
    if magic.startswith(b"BZh"):
        return bz2.open(opened)
    return cast(IO[bytes], gzip.open(opened)) if magic.startswith(b"\x1f\x8b") else opened


@dataclass(frozen=True)
class _Member:
    """One small file; what a message may say of it is its number."""

    place: str
    number: int
    finder: str
    """Lists the names by number."""
    stem: str
    data: bytes

    @property
    def where(self) -> str:
        return f"{self.place} (file {self.number})"

    @property
    def hint(self) -> str:
        return f"`{self.finder} | sed -n {self.number}p` names the file"


def _of_archive(path: Path, place: str, stream: IO[bytes], members: Members) -> Iterator[_Member]:
    hint = "pack the files again, each once, as plain files"
    number = 0
    try:
        source = _Bounded(_unpacked(stream), path.stat().st_size)
        with tarfile.open(fileobj=source, mode="r|", tarinfo=_Entry) as archive:  # type: ignore[call-overload]
            for number, entry in enumerate(archive, start=1):
                if entry.isdir() or not entry.name.endswith(members.suffix):
                    continue
                if not entry.isreg() or entry.issparse():
                    raise _Refused("is a link or a sparse file")
                if entry.size > MEMBER_BYTES:
                    raise _Refused(f"is larger than {MEMBER_BYTES >> 20} MB")
                content = archive.extractfile(entry)
                assert content is not None
                yield _Member(place, number, f"tar -tf {path.name}", _stem(entry.name, members), content.read())
        source.hold_to_end()
    except _Refused as refused:
        where = f"{place} (file {number})" if str(refused).startswith("is ") else place
        raise SourceError(where, f"{refused}, expected plain small files", hint) from None
    except (tarfile.TarError, lzma.LZMAError, EOFError, OSError, ValueError, zlib.error) as error:
        raise SourceError(
            place, f"is a damaged archive ({type(error).__name__}), expected a whole one", "copy it again"
        ) from None


def _stem(name: str, members: Members) -> str:
    return name.rpartition("/")[2].removesuffix(members.suffix)


def _members_of(path: Path, place: str, number: int, stream: IO[bytes], members: Members) -> Iterator[_Member]:
    if ".tar" in path.name:
        yield from _of_archive(path, place, stream, members)
        return
    if path.stat().st_size > MEMBER_BYTES:
        raise SourceError(
            f"{place} (file {number})", f"is larger than {MEMBER_BYTES >> 20} MB, expected small files",
            "is it one per subject?",
        )  # fmt: skip
    finder = f"ls {place} | grep '{re.escape(members.suffix)}$'"
    yield _Member(place, number, finder, _stem(path.name, members), stream.read())


def count_members(path: Path, place: str, number: int, stream: IO[bytes], members: Members) -> int:
    """Count the records of an archive, or of one small file, by their line ends alone.

    Args:
        path: The archive or file.
        place: What is said of it.
        number: Which file of its folder it is, from 1.
        stream: Its bytes.
        members: How the table is spread.

    Raises:
        SourceError: An archive is damaged, or holds what is no small text file.
    """
    total = 0
    for member in _members_of(path, place, number, stream, members):
        counter = RecordCounter(members.delimiter, quote=None)
        counter.add(member.data)
        total += counter.end().n_records
    return total


@dataclass
class MemberReader:
    """Reads the small files one after another; can be read once."""

    members: Members
    paths: list[tuple[Path, str]]
    """Every archive or file, and what is said of it."""
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
        for member in self._files():
            names = self._names(next(self._lines(member), ""))
            if not any(names):
                raise SourceError(member.where, "is empty, expected a header line", member.hint)
            return names
        raise SourceError(
            self.paths[0][1], f"holds no *{self.members.suffix} file, expected one per subject",
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
        stems: set[str] = set()

        def batch() -> pa.RecordBatch:
            columns = [list(column) for column in zip(*rows, strict=True)] if rows else [[] for _ in schema.names[:-1]]
            # an empty cell is a null, as in every other text source
            arrays = [pa.array([cell or None for cell in column], pa.string()) for column in columns]
            numbers = pa.array(range(number - len(rows) + 1, number + 1), pa.int64())
            return pa.record_batch([*arrays, numbers], schema=schema)

        for member in self._files():
            lines = self._lines(member)
            if self._names(next(lines, "")) != header:
                raise SourceError(
                    member.where, "has another header than the first file, expected the same columns", member.hint
                )
            whole = _WHOLE_NUMBER.fullmatch(member.stem)
            # 7 and 007 are one id to whoever reads them as numbers
            same = f"{whole[1].strip('+')}{whole[2]}" if whole else member.stem
            if same in stems:
                raise SourceError(
                    member.where, "has the name of an earlier file, expected one file per subject", member.hint
                )
            stems.add(same)
            n_lines[member.place] += 1
            for line in lines:
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

    def _names(self, line: str) -> tuple[str, ...]:
        return tuple(name.strip() for name in line.split(self.members.delimiter))

    def _lines(self, member: _Member) -> Iterator[str]:
        """Yield the lines of a file; only carriage returns and line feeds end them."""
        try:
            text = member.data.decode("utf-8-sig")
        except UnicodeDecodeError:
            raise SourceError(member.where, "is not UTF-8 text, expected UTF-8", member.hint) from None
        return (line.removesuffix("\n") for line in io.StringIO(text, newline=None))

    def _files(self) -> Iterator[_Member]:
        numbers: Counter[str] = Counter()
        for path, place in self.paths:
            numbers[place] += 1
            with path.open("rb") as stream:
                yield from _members_of(path, place, numbers[place], stream, self.members)
