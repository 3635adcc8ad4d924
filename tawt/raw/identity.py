"""One raw file: its hash, whether it is whole, and how many records it holds, from one reading per content.

The count is made from the bytes alone, apart from the engine that reads the records later, which is held to it.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, Future
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

from tawt.config.pipeline import Csv, Members
from tawt.errors import SourceError
from tawt.files import digest, stamp
from tawt.places import is_nameable, is_utf8
from tawt.raw.archives import Alike, count_members
from tawt.raw.encoding import NotText, as_utf8, hint_of
from tawt.raw.formats import format_of, places_of
from tawt.raw.gunzip import Unpacked
from tawt.raw.records import RecordCounter, Records, Tail
from tawt.raw.seen import RawSeen
from tawt.readers import parquet_metadata
from tawt.room import hold_memory

_BLOCK = 1 << 18


@dataclass(frozen=True)
class RawFile:
    """One file of a raw table."""

    path: Path
    relative: str
    """Path below the raw root; where it is a file of one subject, only `local.json` may hold it."""
    place: str
    """What is said of it: the path below the raw root, without its name where that can be an id."""
    seen: RawSeen
    header: tuple[str, ...] = ()
    """Its columns, in order; of small files only the first has it, to which the others are held."""

    @property
    def sha256(self) -> str:
        """Hash of the content."""
        return self.seen.sha256

    @property
    def n_records(self) -> int:
        """Counted from the bytes, apart from the engine that reads them; of Parquet, as its metadata has it."""
        return self.seen.n_records

    def hold(self) -> None:
        """Hold the file to how it was when it was hashed.

        Raises:
            SourceError: It was written to, or replaced, since.
        """
        if stamp(self.path) != self.seen.stamp:
            raise SourceError(
                self.place, "was changed while it was read, expected to stay as it is",
                "run this again when what writes it has ended",
            )  # fmt: skip


QUOTES = (
    'mend the line; if the file quotes otherwise, or not at all, say so in the pipeline: `csv: {quote: ...}`, `""` for '
    "not at all, or of this table alone under `tables:`"
)
"""The hint for a quote that is not closed where its cell ends."""
_RULES = 4
"""Raised where files of the same bytes count otherwise than before: what is remembered of them is forgotten."""
_MOST_BLANK = 64 << 20
"""Bytes of blank lines in a row that the engine is given room for."""


class _Hashed(io.RawIOBase):
    """A file that is hashed while it is read."""

    def __init__(self, path: Path) -> None:
        self._file, self._sha256 = path.open("rb"), hashlib.sha256()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        n = self._file.readinto(buffer)
        self._sha256.update(memoryview(buffer)[:n])
        return int(n)

    def close(self) -> None:
        self._file.close()
        super().close()

    def sha256(self) -> str:
        """Return the hash of the whole file; what nobody asked for is read for it."""
        while self.read(_BLOCK):
            pass
        return self._sha256.hexdigest()


def identify(
    pool: Executor,
    root: Path,
    paths: list[Path],
    dialect: Csv,
    members: Members | None,
    known: dict[str, RawSeen] | None,
) -> list[Future[list[RawFile]]]:
    """Hash every file of a table, verify what is packed and count its records.

    Small files are read one after another, all of them where one is new: each is held to those before it.

    Args:
        pool: Where the work is done.
        root: The raw root.
        paths: Files below it.
        dialect: How text is written.
        members: How the table is spread over small files, if it is.
        known: What is remembered of files, by their path below the root, which is not read again; None = read all.

    Raises:
        SourceError: (from the results) A file is unreadable, damaged, no UTF-8 or not written as the dialect says.
    """
    # what a mark stands for changes no count
    counted_as = digest([_RULES, dialect.model_dump(exclude={"marks"}), members.model_dump() if members else None])
    numbers: Counter[str] = Counter()

    def remembered(path: Path) -> RawSeen | None:
        seen = known.get(path.relative_to(root).as_posix()) if known is not None else None
        return seen if seen is not None and (seen.stamp, seen.counted_as) == (stamp(path), counted_as) else None

    def look(path: Path, place: str, number: int, alike: Alike | None = None, again: bool = False) -> RawFile:
        relative = path.relative_to(root).as_posix()
        where = place if place == relative or members is None else f"{place} (file {number})"
        with named(where):
            if not is_utf8(relative if members is None else place):
                raise SourceError(where, "has a name that is not UTF-8, expected one that is", "give it another name")
            if members is None and not is_nameable(path):
                raise SourceError(
                    where, "has a backslash beside `*`, `?` or `[` in its path, expected one of them at most",
                    "give it another name: the engine cannot be told of it",
                )  # fmt: skip
            if path.exists() and not path.is_file():  # what it gives, it gives once, or without end
                raise SourceError(where, "is a pipe or a device, expected a file", "write what it gives to a file")
            now = stamp(path)
            seen = None if again else remembered(path)
            if seen is None:
                if not path.stat().st_size:
                    raise SourceError(where, "is empty (0 bytes), expected at least a header line", "copy it again")
                seen = _read(path, place, number, dialect, alike).model_copy(
                    update={"stamp": now, "counted_as": counted_as}
                )
            file = RawFile(path, relative, place, seen)
            file.hold()
            return file

    def look_at_small(files: list[tuple[Path, str, int]], alike: Alike) -> list[RawFile]:
        again = any(remembered(path) is None for path, _, _ in files)
        return [look(*file, alike, again) for file in files]

    places = _places(paths, root, members)
    files: list[tuple[Path, str, int]] = []
    seen_at: dict[tuple[int, int], str] = {}
    for path in paths:
        place = places[path]
        if members is None and path.is_file():
            status = path.stat()
            twin = seen_at.setdefault((status.st_dev, status.st_ino), place)
            if twin != place:
                raise SourceError(
                    place, f"is the same file as `{twin}`, expected each part of a table once",
                    "remove one of the two links: its records would be read twice",
                )  # fmt: skip
        numbers[place] += 1
        files.append((path, place, numbers[place]))
    if members is not None:
        return [pool.submit(look_at_small, files, Alike(members, dialect.encoding))]
    return [pool.submit(lambda file: [look(*file)], file) for file in files]


def _places(paths: Sequence[Path], root: Path, members: Members | None) -> dict[Path, str]:
    if members is None:
        return places_of(root, paths)
    return {p: (p if format_of(p).is_archive else p.parent).relative_to(root).as_posix() for p in paths}


def _read(path: Path, place: str, number: int, dialect: Csv, alike: Alike | None) -> RawSeen:
    """Return what one file holds."""
    n_passed = n_hidden = n_blank = n_tail = 0
    with _Hashed(path) as source:
        if alike is not None:
            n_records, n_passed, n_hidden = count_members(path, place, number, cast(IO[bytes], source), alike)
        elif format_of(path).is_parquet:
            n_records = parquet_metadata(path, "copy it again", SourceError, place).num_rows
        else:
            packed = Unpacked(cast(IO[bytes], source)) if format_of(path).is_gzip else source
            stream = as_utf8(cast(IO[bytes], packed), dialect.encoding)
            counter = RecordCounter(dialect.delimiter, dialect.quote or None, dialect.header)
            begin = block = stream.read(_BLOCK)
            tail = Tail()
            while block:
                counter.add(tail.add(block))
                block = stream.read(_BLOCK)
            records = counter.end()
            n_records, n_blank = _as_the_dialect_says(place, records, dialect, begin), records.n_blank
            n_tail = len(tail)
        return RawSeen(
            stamp=(), sha256=source.sha256(), n_records=n_records, n_passed=n_passed, n_hidden=n_hidden,
            n_blank=n_blank, n_tail=n_tail,
        )  # fmt: skip


def _as_the_dialect_says(place: str, records: Records, dialect: Csv, begin: bytes) -> int:
    if records.not_utf8 is not None:
        raise NotText(records.not_utf8, "utf-8", hint_of(begin, "utf-8")).at(place)
    if records.open_quote is not None:
        raise SourceError(
            f"{place}:{records.open_quote}",
            "opens a quote that swallows the lines after it, expected every quote to be closed in its cell",
            QUOTES,
        )
    if dialect.strict and not records.even_ends:
        raise SourceError(
            place, "has two kinds of line ends, or a lone carriage return, expected one kind",
            "convert it with dos2unix, or read what can be read with `csv: {strict: false}` in the pipeline",
        )  # fmt: skip
    if records.n_blank > _MOST_BLANK:
        raise SourceError(
            place, f"holds {records.n_blank:,} bytes of blank lines in a row, expected none or few",
            "take them out, for example with grep -v '^$'",
        )  # fmt: skip
    return records.n_records


@contextmanager
def named(place: str) -> Iterator[None]:
    """Turn what unpacking or reading a file brings into one line that names it."""
    try:
        yield
    except NotText as error:
        raise error.at(place) from None
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        what = "ends early" if isinstance(error, EOFError) else "is damaged or is not gzip"
        raise SourceError(place, f"{what}, expected a whole .gz file", "copy it again and compare its hash") from None
    except (MemoryError, OSError) as error:
        hold_memory(error, place)
        raise SourceError(
            place, f"cannot be read ({type(error).__name__}), expected a file", "check its link and its rights"
        ) from None


@contextmanager
def open_packed(path: Path, place: str) -> Iterator[IO[bytes]]:
    """Open a file for reading, unpacked, within a `with`.

    Raises:
        SourceError: It is absent, may not be read, or is no whole .gz file; it is named as `place`.
    """
    with named(place), gzip.open(path, "rb") if format_of(path).is_gzip else path.open("rb") as stream:
        yield cast(IO[bytes], stream)


@contextmanager
def open_bytes(path: Path, place: str, encoding: str) -> Iterator[IO[bytes]]:
    """Open a text for reading, unpacked and as UTF-8, within a `with`.

    Raises:
        SourceError: It is absent, may not be read, is no whole .gz file or in another encoding; it is named as `place`.
    """
    with open_packed(path, place) as stream:
        yield as_utf8(stream, encoding)
