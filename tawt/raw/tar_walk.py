"""Walks the headers of a tar archive while its bytes pass, apart from the library that reads it.

The library takes the first block of zeros, and a header that was damaged, for the end of an archive, and says nothing
of what lies behind. Here an archive is one header after another, each with its checksum, then zeros to the last byte.
"""

from __future__ import annotations

from dataclasses import dataclass

_BLOCK = 512
_DESCRIBING = b"xgXLKN"
"""Types of entries that describe the next one."""
_WITHOUT_DATA = b"123456"
"""Links, devices and folders, whatever size they claim."""


class TarBroken(Exception):
    """What no whole archive does; a sentence of ours."""


@dataclass
class TarWalk:
    """Takes an archive block by block."""

    n_entries: int = 0
    """Files, folders and links so far."""
    n_headers: int = 0
    """The same with what describes them."""
    ended: bool = False
    _n_to_skip: int = 0
    _held: bytes = b""

    def add(self, block: bytes) -> None:
        """Walk on.

        Raises:
            TarBroken: A header is damaged, or something lies behind the end.
        """
        block, at = self._held + block, 0
        while not self.ended:
            step = min(self._n_to_skip, len(block) - at)
            at, self._n_to_skip = at + step, self._n_to_skip - step
            if len(block) - at < _BLOCK:
                break
            header, at = block[at : at + _BLOCK], at + _BLOCK
            self.ended = not any(header)
            if not self.ended:
                self._enter(header)
        if self.ended and block.count(b"\0", at) != len(block) - at:
            raise TarBroken("holds files behind a block of zeros, where an archive ends")
        self._held = b"" if self.ended else block[at:]

    def _enter(self, header: bytes) -> None:
        said, summed = header[148:156].strip(b" \0"), header[:148] + b" " * 8 + header[156:]
        total = sum(summed)
        size = header[124:136]
        try:
            # some writers summed bytes with a sign
            if int(said, 8) != total and int(said, 8) != total - 256 * sum(byte > 127 for byte in summed):
                raise ValueError
            n_bytes = int.from_bytes(size[1:]) if size[0] & 0x80 else int(size.strip(b" \0") or b"0", 8)
        except ValueError:
            raise TarBroken("is a damaged archive (header)") from None
        self.n_headers += 1
        self.n_entries += header[156] not in _DESCRIBING
        self._n_to_skip = 0 if header[156] in _WITHOUT_DATA else -(-n_bytes // _BLOCK) * _BLOCK
