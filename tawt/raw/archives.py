"""Small text files in folders and tar archives, one after another, each whole in memory; anything else is refused.

Archives are streams and bounded: in what they unpack to, in each file, and in what describes it. The name of a file can
be a person's id, so messages give its number.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import re
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from shlex import quote
from typing import IO, Any, cast

from tawt.config.pipeline import Members
from tawt.errors import SourceError
from tawt.places import is_utf8
from tawt.raw.encoding import NotText, as_utf8
from tawt.raw.formats import format_of, is_hidden
from tawt.raw.records import RecordCounter
from tawt.raw.tar_walk import TarBroken, TarWalk
from tawt.room import hold_memory

MEMBER_BYTES = 16 << 20
"""Largest file of one subject: it is held in memory."""
_UNPACKED_PER_BYTE, _UNPACKED_AT_LEAST = 200, 256 << 20
"""What an archive may unpack to; dense text packs to a twentieth."""
_HEADERS_PER_BYTE, _HEADERS_AT_LEAST = 0.5, 20_000
"""How many headers an archive may have: each takes time, and that of a file with one record packs to eight bytes."""
_CHUNK = 1 << 16
_HEADER_BYTES = 1 << 20
"""Longest name or comment of a file in an archive: it is held in memory."""

_WHOLE_NUMBER = re.compile(r"\s*([+-]?)0*(\d+)\s*", re.ASCII)


class _Entry(tarfile.TarInfo):
    """An entry whose own description must be short."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Any:
        entry = super().frombuf(buf, encoding, errors)
        if entry.isdir() and buf[156:157] == tarfile.AREGTYPE and entry.size:
            raise _Refused("names a file as a folder is named")
        if entry.type not in tarfile.REGULAR_TYPES and entry.size > _HEADER_BYTES:
            raise _Refused("describes a file with more than 1 MB")
        return entry


class _Refused(Exception):
    """What an archive does that none should, a sentence of ours; or what one file in it is that none should be."""

    def __init__(self, said: str, of_file: bool = False) -> None:
        super().__init__(said)
        self.of_file = of_file


class _Bounded:
    """A stream that ends in an error where an archive unpacks to far more than it is, and walks what passes: the
    library that reads an archive stops without a word where one is cut off or damaged."""

    def __init__(self, stream: IO[bytes], n_packed: int) -> None:
        self.stream, self.walk = stream, TarWalk()
        self.left = max(n_packed * _UNPACKED_PER_BYTE, _UNPACKED_AT_LEAST)
        self.most_headers = _HEADERS_AT_LEAST + n_packed * _HEADERS_PER_BYTE

    def read(self, size: int = -1) -> bytes:
        # never more at once than a block: what is packed may stand for any size
        block = self.stream.read(min(size, 1 << 20) if size >= 0 else 1 << 20)
        self.left -= len(block)
        if self.left < 0:
            raise _Refused(f"unpacks to more than {_UNPACKED_PER_BYTE} times its size")
        self.walk.add(block)
        if self.walk.n_headers > self.most_headers:
            raise _Refused(f"holds more than {int(self.most_headers):,} files and folders, too many for its size")
        return block

    def hold_to_end(self, n_read: int) -> None:
        """Read what is left, so that checksums are verified, and demand the zeros that end every archive, and that
        every entry was handed over."""
        while self.read():
            pass
        if not self.walk.ended:
            raise EOFError
        if self.walk.n_entries != n_read:
            raise TarBroken(f"holds {self.walk.n_entries:,} entries, of which {n_read:,} can be read")


class _Streams(io.RawIOBase):
    """What packed streams hold, one after another. The libraries' own readers take what is no stream behind the first
    for the end of the file, without a word."""

    def __init__(self, packed: IO[bytes], opened: Callable[[], Any]) -> None:
        self._packed, self._opened, self._at = packed, opened, opened()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while True:
            fresh = b""
            if self._at.eof:
                fresh = self._at.unused_data.lstrip(b"\0")  # xz may be filled up with zeros
                while not fresh and (more := self._packed.read(_CHUNK)):
                    fresh = more.lstrip(b"\0")
                if not fresh:
                    return 0
                self._at = self._opened()
            elif self._at.needs_input and not (fresh := self._packed.read(_CHUNK)):
                raise EOFError
            if data := self._at.decompress(fresh, len(buffer)):
                buffer[: len(data)] = data
                return len(data)


def _unpacked(path: Path, stream: IO[bytes]) -> IO[bytes]:
    with path.open("rb") as file:
        magic = file.read(6)
    if magic.startswith(b"\xfd7zXZ"):
        return io.BufferedReader(_Streams(stream, lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ)))
    if magic.startswith(b"BZh"):
        return io.BufferedReader(_Streams(stream, bz2.BZ2Decompressor))
    return cast(IO[bytes], gzip.open(stream)) if magic.startswith(b"\x1f\x8b") else stream


@dataclass(frozen=True)
class Member:
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


class Passed(Enum):
    """Why a file that lies with those of a table is none of them."""

    OTHER = "is named otherwise"
    HIDDEN = "has a name, or lies in a folder with a name, of what is no data"


def passed_over(name: str, members: Members) -> Passed | None:
    """Return why a file is none of the table's; None = it is one, with prefix and suffix in any case."""
    if is_hidden(*name.split("/")):
        return Passed.HIDDEN
    last = name.rpartition("/")[2].lower()
    is_one = last.startswith(members.prefix.lower()) and last.endswith(members.suffix.lower())
    return None if is_one else Passed.OTHER


def _of_archive(path: Path, place: str, stream: IO[bytes], members: Members) -> Iterator[Member | Passed]:
    hint = "pack the files again, each once, as plain files"
    number = 0
    try:
        source = _Bounded(_unpacked(path, stream), path.stat().st_size)
        with tarfile.open(fileobj=source, mode="r|", tarinfo=_Entry) as archive:  # type: ignore[call-overload]
            for number, entry in enumerate(archive, start=1):
                if entry.isdir():
                    continue
                if (why := passed_over(entry.name, members)) is not None:
                    yield why
                    continue
                if not entry.isreg() or entry.issparse():
                    raise _Refused("is a link or a sparse file", of_file=True)
                if entry.size > MEMBER_BYTES:
                    raise _Refused(f"is larger than {MEMBER_BYTES >> 20} MB", of_file=True)
                content = archive.extractfile(entry)
                assert content is not None
                yield _member(place, number, f"tar -tf {quote(place)}", entry.name, members, content.read())
        source.hold_to_end(number)
    except _Refused as refused:
        where = f"{place} (file {number})" if refused.of_file else place
        raise SourceError(where, f"{refused}, expected plain small files", hint) from None
    except TarBroken as broken:
        raise SourceError(
            place, f"{broken}, expected one whole archive", "copy it again, or pack the files into one archive again"
        ) from None
    except SourceError:
        raise
    except Exception as error:  # the libraries that read archives have errors of many kinds for bytes that are none
        hold_memory(error, place)
        raise SourceError(
            place, f"is a damaged archive ({type(error).__name__}), expected a whole one", "copy it again"
        ) from None


def _member(place: str, number: int, finder: str, name: str, members: Members, data: bytes) -> Member:
    name = name.rpartition("/")[2]
    member = Member(place, number, finder, name[len(members.prefix) : len(name) - len(members.suffix)], data)
    if not is_utf8(name):
        raise SourceError(member.where, "has a name that is not UTF-8, expected one that is", member.hint)
    return member


def members_of(path: Path, place: str, number: int, stream: IO[bytes], members: Members) -> Iterator[Member | Passed]:
    """Yield the small files of an archive, or the one small file; for each that is none of the table's, why."""
    if format_of(path).is_archive:
        yield from _of_archive(path, place, stream, members)
        return
    if path.stat().st_size > MEMBER_BYTES:
        raise SourceError(
            f"{place} (file {number})", f"is larger than {MEMBER_BYTES >> 20} MB, expected small files",
            "is it one per subject?",
        )  # fmt: skip
    # in our order, one name to a line whatever is in it, folders with a slash at the end, nothing hidden
    named = "^" + ".*".join(re.escape(end) for end in (members.prefix, members.suffix)) + "$"
    finder = f"LC_ALL=C ls -1bp -- {quote(place)} | grep -v ^_ | grep -i {quote(named)}"
    yield _member(place, number, finder, path.name, members, stream.read())


@dataclass
class Alike:
    """Holds the small files of a table, one after another, to the header of the first, and each to its own name."""

    members: Members
    encoding: str = "utf-8"
    header: tuple[str, ...] = ()
    """Of the first file; () = none was read."""
    _stems: set[str] = field(default_factory=set)

    def lines(self, member: Member) -> Iterator[str]:
        """Return the lines of a file behind its header; only carriage returns and line feeds end them.

        Raises:
            SourceError: It is empty, in another encoding, or has another header than the first or an earlier name.
        """
        try:
            data = as_utf8(io.BytesIO(member.data), self.encoding).read()
            text = data.decode("utf-8-sig")
        except UnicodeDecodeError:
            raise SourceError(member.where, "is not UTF-8 text, expected UTF-8", member.hint) from None
        except NotText as error:
            raise SourceError(member.where, error.at("").what, member.hint) from None
        lines = (line.removesuffix("\n") for line in io.StringIO(text, newline=None))
        names = tuple(name.strip() for name in next(lines, "").split(self.members.delimiter))
        if not self.header and not any(names):
            raise SourceError(member.where, "is empty, expected a header line", member.hint)
        self.header = self.header or names
        if names != self.header:
            raise SourceError(
                member.where, "has another header than the first file, expected the same columns", member.hint
            )
        whole = _WHOLE_NUMBER.fullmatch(member.stem)
        # 7 and 007 are one id to whoever reads them as numbers
        same = f"{whole[1].strip('+')}{whole[2]}" if whole else member.stem
        if same in self._stems:
            raise SourceError(
                member.where, "has the name of an earlier file, expected one file per subject", member.hint
            )
        self._stems.add(same)
        return lines


def count_members(path: Path, place: str, number: int, stream: IO[bytes], alike: Alike) -> tuple[int, int, int]:
    """Count the records of an archive, or of one small file, by their line ends alone, and the files left out: those
    that are named otherwise, and those that are no data.

    Args:
        path: The archive or file.
        place: What is said of it.
        number: Which file of its folder it is, from 1.
        stream: Its bytes.
        alike: Knows how the table is spread, and the files before.

    Raises:
        SourceError: An archive is damaged, or holds what is no small text file, or one that is not as those before.
    """
    total = 0
    n_passed = dict.fromkeys(Passed, 0)
    for member in members_of(path, place, number, stream, alike.members):
        if isinstance(member, Passed):
            n_passed[member] += 1
            continue
        alike.lines(member)
        counter = RecordCounter(alike.members.delimiter, quote=None)
        counter.add(as_utf8(io.BytesIO(member.data), alike.encoding).read())
        total += counter.end().n_records
    return total, n_passed[Passed.OTHER], n_passed[Passed.HIDDEN]
