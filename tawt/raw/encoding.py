"""Text in any encoding as UTF-8, block by block: what counts, names and looks up records knows one encoding alone.

The engine reads UTF-8, Latin-1 and UTF-16 as Windows writes it by itself; it is given a copy of anything else.
"""

from __future__ import annotations

import codecs
import io
import re
from pathlib import Path
from typing import IO, Any

from tawt.errors import SourceError
from tawt.files import whole

_BLOCK = 1 << 18
_C1 = re.compile("[\x80-\x9f]")
_BIG = codecs.BOM_UTF16_BE
MAGIC = {
    b"\x1f\x8b": "it begins as gzip does: unpack it, or let its name end in .gz",
    b"PK\x03\x04": "it begins as .zip and spreadsheets do: unpack it, or write it as CSV",
    b"PAR1": "it begins as Parquet does: let its name end in .parquet",
    b"\x28\xb5\x2f\xfd": "it begins as .zst does: unpack it",
    b"BZh": "it begins as .bz2 does: unpack it",
    b"\xfd7zXZ": "it begins as .xz does: unpack it",
}
"""What to do with a file that is no text, by its first bytes."""
_MARKS = {
    codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF16_LE: "utf-16",
    _BIG: "utf-16",
}
"""Byte order marks, and the encoding that each tells."""


class NotText(ValueError):
    """What does not read in the encoding that it is said to be in.

    Args:
        line: Where, from 1.
        encoding: What it is said to be in.
        hint: What it may be in instead.
    """

    def __init__(self, line: int, encoding: str, hint: str) -> None:
        super().__init__(line, encoding, hint)
        self.line, self.encoding, self.hint = line, encoding, hint

    def at(self, place: str) -> SourceError:
        """Return the error for the file."""
        name = {"utf-8": "UTF-8", "utf-16": "UTF-16"}.get(self.encoding, self.encoding)
        return SourceError(f"{place}:{self.line}", f"is not {name} text, expected {name}", self.hint)


def how_to_say(encoding: str) -> str:
    """Return the hint for a file in another encoding than it is said to be in."""
    return (
        f"if it is {encoding}, say so in the pipeline: `csv: {{encoding: {encoding}}}`, or of this table alone under "
        "`tables:`"
    )


def hint_of(begin: bytes, encoding: str) -> str:
    """Return what a file may be that is not text in an encoding, by its first bytes."""
    for mark, hint in MAGIC.items():
        if begin.startswith(mark):
            return hint
    for mark, other in _MARKS.items():
        if begin.startswith(mark) and other != encoding:
            return f"it begins as {other} does; {how_to_say(other)}"
    near = {"utf-8": "latin-1", "latin-1": "cp1252"}.get(encoding)
    return how_to_say(near) if near is not None else "convert it, for example with iconv"


def encoding_of(stream: IO[bytes]) -> str | None:
    """Return what encoding a text is in, from all of it; None where it is the same in all, as ASCII is."""
    block = stream.read(_BLOCK)
    found = next((encoding for mark, encoding in _MARKS.items() if block.startswith(mark)), None)
    while block and found in (None, "latin-1"):
        if not block.isascii():
            block += stream.read(3)  # a letter may be cut
            found = found or ("utf-8" if _is_utf8(block) else "latin-1")
            if found == "latin-1" and re.search(rb"[\x80-\x9f]", block):  # no text has these controls
                return "cp1252"
        block = stream.read(_BLOCK)
    return found


def _is_utf8(block: bytes) -> bool:
    try:
        codecs.getincrementaldecoder("utf-8")().decode(block)
    except UnicodeDecodeError:
        return False
    return True


class _Utf8(io.RawIOBase):
    """A stream of text in another encoding, as UTF-8. A byte order mark stays, as that of UTF-8."""

    def __init__(self, stream: IO[bytes], encoding: str) -> None:
        self._stream, self._encoding = stream, encoding
        self._begin = stream.read(_BLOCK)
        self._codec = encoding
        if encoding == "utf-16":
            self._codec = "utf-16-be" if self._begin.startswith(_BIG) else "utf-16-le"
        self._decoder = codecs.getincrementaldecoder(self._codec)()
        self._lines, self._left, self._ended = 0, memoryview(b""), False
        if any(self._begin.startswith(mark) for mark in (*MAGIC, *(m for m, e in _MARKS.items() if e != encoding))):
            raise NotText(1, encoding, hint_of(self._begin, encoding))

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._left and not self._ended:
            block, self._begin = self._begin or self._stream.read(_BLOCK), b""
            self._ended = not block
            self._left = memoryview(self._decoded(block).encode())
        n = min(len(buffer), len(self._left))
        buffer[:n], self._left = self._left[:n], self._left[n:]
        return n

    def _decoded(self, block: bytes) -> str:
        held = bytes(self._decoder.getstate()[0])
        try:
            text = self._decoder.decode(block, final=not block)
        except UnicodeDecodeError as error:
            good = (held + block)[: error.start]
            raise self._not_text(good.decode(self._codec, errors="ignore")) from None
        # controls that no text has: the engine refuses them
        if self._encoding == "latin-1" and (odd := _C1.search(text)) is not None:
            raise self._not_text(text[: odd.start()])
        self._lines += text.count("\n")
        return text

    def _not_text(self, before: str) -> NotText:
        return NotText(self._lines + before.count("\n") + 1, self._encoding, hint_of(b"", self._encoding))


def as_utf8(stream: IO[bytes], encoding: str) -> IO[bytes]:
    """Return a stream of text as UTF-8.

    Raises:
        NotText: (while it is read, too) It does not read in that encoding.
    """
    return stream if encoding == "utf-8" else io.BufferedReader(_Utf8(stream, encoding), _BLOCK)


def engine_reads(stream: IO[bytes], encoding: str) -> bool:
    """Return whether the engine reads text in an encoding by itself, from the first bytes of it."""
    return encoding in ("utf-8", "latin-1") or (encoding == "utf-16" and stream.read(2) != _BIG)


def copy_as_utf8(stream: IO[bytes], encoding: str, to: Path, n_tail: int = 0) -> None:
    """Write a text as UTF-8, less some bytes at its end, whole under its name."""
    with whole(to) as aside, aside.open("wb") as file:
        text = as_utf8(stream, encoding)
        while block := text.read(_BLOCK):
            file.write(block)
        file.truncate(file.tell() - n_tail)
