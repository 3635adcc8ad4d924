"""What a .gz file holds, unpacked in large strides to be read once, by the fastest library that is there."""

from __future__ import annotations

import zlib
from importlib import import_module
from importlib.util import find_spec
from typing import IO, Any

_LIBRARY: Any = import_module("isal.isal_zlib") if find_spec("isal") is not None else zlib
"""ISA-L unpacks in a third to a half of zlib's time, and holds what it unpacks to the same sums; it is not made for
every machine."""
IS_FAST = _LIBRARY is not zlib
_BEGIN = b"\x1f\x8b"
_STRIDE = 1 << 17


class Unpacked:
    """The members of a .gz file, one behind the other, to be read forward once.

    Args:
        source: The packed bytes.
    """

    def __init__(self, source: IO[bytes]) -> None:
        self._source, self._packed = source, source.read(_STRIDE)
        self._member = _member(self._packed)

    def read(self, size: int) -> bytes:
        """Return the next bytes, up to so many; none at the end.

        Raises:
            EOFError: It ends within a member.
            zlib.error: It is damaged, or is not gzip.
        """
        block = b""
        while not block and self._has_more():
            try:
                block = self._member.decompress(self._packed, size)
            except _LIBRARY.error as error:
                raise zlib.error(*error.args) from None
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
            self._packed, self._member = packed, _member(packed)
        return True


def _member(packed: bytes) -> Any:
    if not packed.startswith(_BEGIN[: len(packed)]):  # of few bytes a library may say that they end early
        raise zlib.error
    return _LIBRARY.decompressobj(zlib.MAX_WBITS | 16)
