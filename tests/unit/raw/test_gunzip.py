"""What is unpacked in strides is what `gzip` unpacks, by either library."""

from __future__ import annotations

import gzip
import io
import zlib

import pytest

from tawt.raw import gunzip
from tawt.raw.gunzip import Unpacked

WHOLE = b"".join(gzip.compress(b"a,1\n" * n, mtime=0) + b"\0" * n for n in (3, 0, 700))


@pytest.fixture(autouse=True, params=["zlib", "isal.isal_zlib"])
def _library(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gunzip, "_LIBRARY", pytest.importorskip(request.param))


def _read(packed: bytes, size: int = 100) -> bytes:
    stream = Unpacked(io.BytesIO(packed))
    return b"".join(iter(lambda: stream.read(size), b""))


@pytest.mark.parametrize("size", [1, 100, 1 << 18])
def test_members_are_read_one_behind_the_other_past_zeros_between_them(size: int) -> None:
    """Members are read one behind the other, past zeros between them, whatever is asked for at once."""
    assert _read(WHOLE, size) == gzip.decompress(WHOLE) == b"a,1\n" * 703


def test_what_is_cut_changed_or_followed_by_something_else_is_refused() -> None:
    """A member that is cut anywhere, changed in its data or sum, or followed by what is no member, is refused."""
    one = gzip.compress(b"a,1\nb,2\n", mtime=0)
    for n in range(len(one)):
        with pytest.raises(EOFError):
            _read(one[:n])
    for place in range(10, len(one)):
        with pytest.raises((EOFError, zlib.error)):
            _read(one[:place] + bytes([one[place] ^ 1]) + one[place + 1 :])
    with pytest.raises(zlib.error):
        _read(one + b"\0\0rest")
