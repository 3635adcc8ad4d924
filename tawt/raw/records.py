"""Counts the records of a raw text file by its line ends and quotes alone, apart from the engine that reads them.

What the engine hands over and sets aside is held to this count, so that no record can be lost unseen. A record ends
with `\\n`, `\\r\\n` or `\\r` outside of quotes; a line without a byte is none. A quote opens where a field begins, with
or without blanks before it, and is an ordinary character elsewhere; two of them in a quoted field are one.
"""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

_LF, _CR = b"\n", b"\r"
_BOM = codecs.BOM_UTF8
_JUNK = re.compile(rb"\x1a|(?<=[\r\n])\0")
_LONGEST_TAIL = 16 << 20
_BLANK = re.compile(rb"[\r\n]{64,}")


@dataclass(frozen=True)
class Records:
    """What a text file holds, whatever it means."""

    n_records: int
    """Lines that are not blank, less the header if there is one."""
    even_ends: bool
    """Whether all lines end with `\\n`, or all with `\\r\\n`; a line end in quotes is text."""
    not_utf8: int | None = None
    """The first line, from 1, with bytes that are not UTF-8."""
    open_quote: int | None = None
    """The line, from 1, of a quote that is never closed."""
    n_blank: int = 0
    """Bytes of the longest stretch of blank lines, if it is of 64 or more."""


class Tail:
    """What old systems and broken copies put behind the last record: Ctrl-Z, NUL, and line ends among them.

    Ctrl-Z is one wherever it stands; NUL only behind a line end, for else it may stand for the rest of a record.
    """

    def __init__(self) -> None:
        self._held, self._before = b"", _LF

    def __len__(self) -> int:
        return len(self._held)

    def add(self, block: bytes) -> bytes:
        """Hold back what may be the tail, and return what is none of it."""
        text = self._before + self._held + block
        junk = _JUNK.search(text, max(1, len(text.rstrip(b"\0\x1a" + _LF + _CR))))
        begin = junk.start() if junk is not None and len(text) - junk.start() <= _LONGEST_TAIL else len(text)
        self._before, self._held = text[begin - 1 : begin], text[begin:]
        return text[1:begin]


@dataclass
class RecordCounter:
    """Takes a file block by block; most blocks are counted by a few searches for a byte."""

    delimiter: str = ","
    quote: str | None = '"'
    """None = there are no quotes."""
    header: bool = True
    """Whether the first line is none."""
    _n_ended: int = 0
    _n_lines: int = 0
    _quoted: bool = False
    _opened: int = 0
    """The line that the last quote opened in."""
    _before: bytes = _LF
    """The last bytes of the block before."""
    _held: bytes = _BOM[:0]
    """Bytes whose meaning hangs on the next one."""
    _started: bool = False
    _ends: set[bytes] = field(default_factory=set)
    _utf8: codecs.IncrementalDecoder = field(default_factory=lambda: codecs.getincrementaldecoder("utf-8")())
    _not_utf8: int | None = None
    _blank: int = 0
    """Line ends at the end of the block before."""
    _most_blank: int = 0

    def add(self, block: bytes) -> None:
        """Count what a block holds."""
        block = self._held + block
        if not self._started:
            if len(block) < len(_BOM):
                self._held = block
                return
            block, self._started = block.removeprefix(_BOM), True
        # the byte behind a quote says whether it closes, the one behind \r whether it is a line end of its own, and
        # that behind blanks whether it is a quote
        body = block.rstrip((self.quote or "").encode() + b" " + _CR)
        self._held = block[len(body) :]
        self._count(body)

    def end(self) -> Records:
        """Return what the file holds, after its last block."""
        self._count(self._held if self._started else self._held.removeprefix(_BOM))
        try:
            self._utf8.decode(b"", final=True)
        except UnicodeDecodeError:
            self._not_utf8 = self._not_utf8 or self._n_lines + 1
        n = self._n_ended + (self._before[-1:] not in (_LF, _CR) or self._quoted)
        even_ends = self._ends <= {_LF} or self._ends <= {_CR + _LF}
        return Records(
            max(0, n - self.header), even_ends, self._not_utf8, self._opened if self._quoted else None, self._most_blank
        )

    def _count(self, block: bytes) -> None:
        if not block:
            return
        if self._not_utf8 is None and not (block.isascii() and not self._utf8.getstate()[0]):
            self._check_utf8(block)
        self._note_blank(block)
        data = np.frombuffer(block, np.uint8)
        is_end, has_cr = data == _LF[0], _CR in block
        ends = np.flatnonzero(is_end | (data == _CR[0]) if has_cr else is_end)
        has_quotes = self.quote is not None and self.quote.encode() in block
        toggles = self._toggles(block, self.quote or "") if has_quotes else np.empty(0, np.int64)
        # of several line ends in a row the first ends a record
        ends_record = np.diff(ends, prepend=-1 if self._before[-1:] in (_LF, _CR) else -2) > 1
        if len(toggles) or self._quoted:
            is_outside = (np.searchsorted(toggles, ends) + self._quoted) % 2 == 0
            ends, ends_record = ends[is_outside], ends_record[is_outside]
        self._n_ended += int(np.count_nonzero(ends_record))
        self._note_ends(data, ends, has_cr)
        if len(toggles):
            if (len(toggles) + self._quoted) % 2:
                self._opened = self._n_lines + block.count(_LF, 0, int(toggles[-1])) + 1
            self._quoted = bool((len(toggles) + self._quoted) % 2)
        self._n_lines += int(np.count_nonzero(is_end))
        self._before = (self._before + block[-8:])[-8:]

    def _note_blank(self, block: bytes) -> None:
        begin = len(block) - len(block.lstrip(_LF + _CR))
        within = _BLANK.findall(block) if _LF * 64 in block or (_CR + _LF) * 32 in block else []
        stretches = [self._blank + begin, *map(len, within)]
        self._blank = self._blank + begin if begin == len(block) else len(block) - len(block.rstrip(_LF + _CR))
        self._most_blank = max([self._most_blank, *(n for n in (*stretches, self._blank) if n >= 64)])

    def _note_ends(self, data: npt.NDArray[np.uint8], ends: npt.NDArray[np.int64], has_cr: bool) -> None:
        if not has_cr:
            self._ends |= {_LF} if len(ends) else set()
            return
        lf, cr = ends[data[ends] == _LF[0]], ends[data[ends] == _CR[0]]
        n_both = int(np.count_nonzero(data[cr[cr + 1 < len(data)] + 1] == _LF[0]))
        self._ends |= {e for e, n in ((_LF, len(lf) - n_both), (_CR, len(cr) - n_both), (_CR + _LF, n_both)) if n}

    def _toggles(self, block: bytes, quote: str) -> npt.NDArray[np.int64]:
        """Return the quotes of a block that open or close a field, without those that stand for themselves in pairs."""
        data = np.frombuffer(block, np.uint8)
        quotes = np.flatnonzero(data == ord(quote))
        opening, closing = quotes[int(self._quoted) :: 2], quotes[1 - int(self._quoted) :: 2]
        limits = np.zeros(256, np.bool_)
        limits[[*self.delimiter.encode(), ord(quote), *_LF, *_CR]] = True
        before = np.where(opening > 0, data[opening - 1], self._before[-1])
        behind = data[closing[closing + 1 < len(data)] + 1]
        if len(self.delimiter.encode()) > 1 or not (limits[before].all() and limits[behind].all()):
            return self._toggles_one_by_one(block, quote.encode(), quotes.tolist())
        # every other quote opens a field and the next one closes it, as the standard has it; where one closes just
        # before the next opens, the two are a quote within the field
        pair = np.zeros(len(quotes) + 1, np.bool_)
        pair[1:-1] = (np.diff(quotes) == 1) & ((np.arange(1, len(quotes)) + self._quoted) % 2 == 0)
        return quotes[~(pair[:-1] | pair[1:])]

    def _toggles_one_by_one(self, block: bytes, quote: bytes, quotes: list[int]) -> npt.NDArray[np.int64]:
        """The same for quotes anywhere: one that is not where a field begins is an ordinary character."""
        delimiter, before = self.delimiter.encode(), len(self._before)
        text, quoted, skip = self._before + block, self._quoted, -1
        toggles: list[int] = []
        for place in quotes:
            if place == skip:
                continue
            here = place + before
            if quoted:
                if text[here + 1 : here + 2] == quote:
                    skip = place + 1
                    continue
                quoted = False
            else:
                start = here
                while start and text[start - 1 : start] == b" ":
                    start -= 1
                if not text.endswith((_LF, _CR, delimiter), 0, start):
                    continue
                quoted = True
            toggles.append(place)
        return np.array(toggles, np.int64)

    def _check_utf8(self, block: bytes) -> None:
        held = len(self._utf8.getstate()[0])
        try:
            self._utf8.decode(block)
        except UnicodeDecodeError as error:
            self._not_utf8 = self._n_lines + block.count(_LF, 0, max(0, error.start - held)) + 1
