"""What a .gz file holds, unpacked in large strides to be read once: `gzip` takes about a fifth longer."""

from __future__ import annotations

import zlib
from typing import IO, Any

_STRIDE = 1 << 17


class Unpacked:
    """The members of a .gz file, one behind the other, to be read forward once.

    Args:
        source: The packed bytes.
    """

    def __init__(self, source: IO[bytes]) -> None:
        self._source, self._packed, self._member = source, b"", _member()

    def read(self, size: int) -> bytes:
        """Return the next bytes, up to so many; none at the end.

        Raises:
            EOFError: It ends within a member.
            zlib.error: It is damaged, or is not gzip.
        """
        block = b""
        while not block and self._has_more():
            block = self._member.decompress(self._packed, size)
            self._packed = self._member.unused_data if self._member.eof else self._member.unconsumed_tail
        return block

    def _has_more(self) -> bool:
        """Return whether there is something to unpack, of this member or of the next one."""
        ended = self._member.eof
        while not (packed := self._packed.lstrip(b"\0") if ended else self._packed):  # zeros may stand behind the last
            self._packed = self._source.read(_STRIDE)
            if not self._packed:
                if not ended:
                    raise EOFError
                return False
        if ended:
            self._packed, self._member = packed, _member()
        return True


def _member() -> Any:
    return zlib.decompressobj(zlib.MAX_WBITS | 16)
