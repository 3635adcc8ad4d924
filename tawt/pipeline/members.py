"""A raw table spread over thousands of small text files, in folders or tar archives -> one stream of Arrow batches.

Archives are read as a stream and never unpacked to the disk. `_row` numbers the records in the order of the
archives and of the files in each.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import tarfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, cast

import pyarrow as pa

from tawt.config.data import Members
from tawt.errors import SourceError

_BATCH_RECORDS = 100_000


def find_members(root: Path, members: Members) -> list[Path]:
    """Return the archives and the files of folders that match; an archive beside its unpacked folder is left out."""
    hits = sorted({hit for pattern in members.folders for hit in root.glob(pattern)})
    folders = {hit.name for hit in hits if hit.is_dir()}
    found: list[Path] = []
    for hit in hits:
        if hit.is_dir():
            found += sorted(file for file in hit.iterdir() if file.name.endswith(members.suffix))
        elif ".tar" in hit.name and hit.name.partition(".tar")[0] not in folders:
            found.append(hit)
    return found


@dataclass
class _Tail:
    """A stream that remembers its last bytes: an archive that was cut off reads like a shorter one otherwise."""

    stream: IO[bytes]
    last: bytes = b""

    def read(self, size: int = -1) -> bytes:
        block = self.stream.read(size)
        self.last = (self.last + block[-512:])[-512:]
        return block

    def hold_to_end(self) -> None:
        """Read what is left, so that checksums are verified, and demand the zeros that end every archive."""
        while self.read(1 << 20):
            pass
        if self.last.strip(b"\0"):
            raise EOFError


def _unpacked(path: Path) -> IO[bytes]:
    with path.open("rb") as file:
        magic = file.read(6)
    if magic.startswith(b"\xfd7zXZ"):
        return lzma.open(path)
    if magic.startswith(b"BZh"):
        return bz2.open(path)
    return cast(IO[bytes], gzip.open(path)) if magic.startswith(b"\x1f\x8b") else path.open("rb")


@dataclass
class MemberReader:
    """Reads the small files one after another; can be read once."""

    members: Members
    paths: list[Path]
    rejected: list[tuple[str, int, str]] = field(default_factory=list)
    """File, line and kind of every line with another number of fields than the header."""

    failed: SourceError | None = None
    """Why the reading stopped, where it did: the engine, which reads, does not hand the error on."""

    starts: list[tuple[str, int]] = field(default_factory=list)
    """Every file and the number of its first record."""

    def header(self) -> tuple[str, ...]:
        """Return the header of the first file.

        Raises:
            SourceError: There is no file, or it is empty.
        """
        for name, data in self._files():
            first = data.split(b"\n", 1)[0].strip()
            if not first:
                raise SourceError(name, "is empty, expected a header line", "copy it again")
            return tuple(part.strip() for part in self._decode(name, first).split(self.members.delimiter))
        raise SourceError(
            self.paths[0].name, f"holds no *{self.members.suffix} file, expected one per subject",
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
        stems: list[str] = []
        number = 0

        def batch() -> pa.RecordBatch:
            columns = [list(column) for column in zip(*rows, strict=True)] if rows else [[] for _ in header]
            # an empty cell is a null, as in every other text source
            arrays = [pa.array([cell or None for cell in column], pa.string()) for column in columns]
            numbers = pa.array(range(number - len(rows) + 1, number + 1), pa.int64())
            return pa.record_batch([pa.array(stems, pa.string()), *arrays, numbers], schema=schema)

        for name, data in self._files():
            lines = self._decode(name, data).splitlines()
            if not lines or tuple(p.strip() for p in lines[0].split(self.members.delimiter)) != header:
                raise SourceError(
                    name, "has another header than the first file, expected the same columns", "copy it again"
                )
            self.starts.append((name, number + 1))
            stem = name.rpartition("/")[2].removesuffix(self.members.suffix)
            for line_number, line in enumerate(lines[1:], start=2):
                cells = line.split(self.members.delimiter)
                if len(cells) != len(header):
                    if line.strip():
                        self.rejected.append((name, line_number, "wrong_number_of_fields"))
                    continue
                rows.append(cells)
                stems.append(stem)
                number += 1
            if len(rows) >= _BATCH_RECORDS:
                yield batch()
                rows, stems = [], []
        yield batch()

    def _decode(self, name: str, data: bytes) -> str:
        try:
            return data.decode("utf-8-sig")
        except UnicodeDecodeError:
            raise SourceError(name, "is not UTF-8 text, expected UTF-8", "convert it, for example with iconv") from None

    def _files(self) -> Iterator[tuple[str, bytes]]:
        for path in self.paths:
            if ".tar" not in path.name:
                yield f"{path.parent.name}/{path.name}", path.read_bytes()
                continue
            try:
                with _unpacked(path) as packed:
                    source = _Tail(packed)
                    with tarfile.open(fileobj=source, mode="r|") as archive:  # type: ignore[call-overload]
                        for member in archive:
                            content = archive.extractfile(member) if member.isfile() else None
                            if content is not None and member.name.endswith(self.members.suffix):
                                yield f"{path.name}/{member.name}", content.read()
                    source.hold_to_end()
            except (tarfile.TarError, lzma.LZMAError, EOFError, OSError, zlib.error) as error:
                raise SourceError(
                    path.name, f"is a damaged archive ({type(error).__name__}), expected a whole one", "copy it again"
                ) from None
