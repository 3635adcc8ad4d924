"""PNG, JPEG and TIFF through Pillow: whole or not at all, upright, grey or red, green and blue, no bit lost.

Source: Pillow handbook, concepts and file formats (https://pillow.readthedocs.io)
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from tawt.errors import StageError
from tawt.modalities.needed import needed, quieted
from tawt.modalities.source import UnreadableError, frame_of, hold_pixels, read_picture

_GREY = ("1", "L", "LA", "La")
_WIDE = ("I;16", "I;16L", "I;16B", "I;16N", "I")
_COLOUR = ("P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr")
_MOST_WIDE = 65_535
_PNG_DEPTH, _PNG_COLOUR = 24, 25
"""Bytes of a PNG that say how many bits a sample has, and what its samples are."""
_PNG_END = b"IEND\xaeB\x60\x82"
_TIFF_BITS, _TIFF_PLANES, _TIFF_FORMAT = 258, 284, 339
_INTEGER, _APART = 1, 2


@dataclass
class Picture:
    """One picture, or one of several frames."""

    kind: str
    file: BinaryIO
    n_bytes: int

    def array(self, modality: str, member: str | None, row: int | None) -> NDArray[Any]:
        """See `Source`."""
        return _decoded(self.kind, read_picture(self.file, self.n_bytes, modality), member, row)


def _decoded(kind: str, content: bytes, member: str | None, row: int | None) -> NDArray[Any]:
    image = needed("PIL.Image", "Pillow")
    try:
        quieted("PIL")  # which warns of sizes that are told below
        with image.open(io.BytesIO(content), formats=[kind.upper()]) as opened:
            hold_pixels(*opened.size)
            frame = frame_of(_n_frames(kind, opened, row), member, row)
            if frame:
                opened.seek(frame)
                hold_pixels(*opened.size)
            _hold_depth(kind, content, opened)
            _hold_whole(kind, opened)
            opened.load()
            if kind == "png" and _PNG_END not in content:  # what checks its last samples is missing
                raise UnreadableError("truncated")
            return _samples(needed("PIL.ImageOps", "Pillow").exif_transpose(opened))
    except (UnreadableError, StageError, MemoryError):
        raise
    except image.DecompressionBombError:
        raise UnreadableError("too_large") from None
    except Exception as error:  # a decoder's own errors quote what they met
        raise UnreadableError("truncated" if _is_short(kind, content, error) else "damaged") from None


def _n_frames(kind: str, opened: Any, row: int | None) -> int:
    """Return how many frames a picture has; of a TIFF, in which each tells the place of the next, as many as matter."""
    if kind == "jpeg":  # further pictures in it are previews of the first
        return 1
    if kind != "tiff":
        return getattr(opened, "n_frames", 1)
    last = 1 if row is None else max(row, 0)
    try:
        opened.seek(last)  # to count all takes hours where somebody put millions there
        n = last + 1
    except EOFError:
        n = last
    opened.seek(0)
    return n


def _hold_depth(kind: str, content: bytes, opened: Any) -> None:
    """Hold that no sample would lose bits: colours of 16 bits are handed out with 8."""
    if kind == "png" and content[_PNG_DEPTH] > 8 and content[_PNG_COLOUR]:
        raise UnreadableError("unsupported_samples")
    if kind == "tiff":
        bits, format_ = (opened.tag_v2.get(tag, default) for tag, default in ((_TIFF_BITS, (1,)), (_TIFF_FORMAT, (1,))))
        if max(bits) > 16 or (max(bits) > 8 and len(bits) > 1) or {*format_} != {_INTEGER}:
            raise UnreadableError("unsupported_samples")


def _hold_whole(kind: str, opened: Any) -> None:
    """Hold that the parts of a TIFF cover it: where one is missing, it would be black."""
    if kind != "tiff" or any(codec == "libtiff" for codec, *_ in opened.tile):  # which holds them itself
        return
    n_layers = len(opened.getbands()) if opened.tag_v2.get(_TIFF_PLANES) == _APART else 1
    covered = sum((right - left) * (low - high) for _, (left, high, right, low), *_ in opened.tile)
    if covered < opened.width * opened.height * n_layers:
        raise UnreadableError("truncated")


def _is_short(kind: str, content: bytes, error: Exception) -> bool:
    """Return whether a file that did not decode ends before it says that it does."""
    end = {"png": b"IEND", "jpeg": b"\xff\xd9"}.get(kind)
    told = isinstance(error, EOFError) or "truncated" in str(error).lower()
    return told if end is None else told or end not in content[-64:]


def _samples(picture: Any) -> NDArray[Any]:
    mode = picture.mode
    if mode in _WIDE:
        wide = np.asarray(picture)
        if wide.min() < 0 or wide.max() > _MOST_WIDE:
            raise UnreadableError("unsupported_samples")
        return wide.astype(np.uint16)
    if mode in _GREY:
        return np.asarray(picture.convert("LA" if mode in ("LA", "La") else "L"))
    if mode in _COLOUR:
        # of what is transparent the colours stand there yet
        clear = mode in ("PA", "RGBA", "RGBa") or (mode == "P" and "transparency" in picture.info)
        return np.asarray(picture.convert("RGBA" if clear else "RGB"))
    raise UnreadableError("unsupported_samples")
