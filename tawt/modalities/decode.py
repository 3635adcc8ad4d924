"""A file -> arrays, by what its first bytes are and never by its name: pictures, DICOM, and collections of numpy."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from tawt.modalities.dicom import Dicom
from tawt.modalities.numpy_files import Npy, Npz
from tawt.modalities.pictures import Picture
from tawt.modalities.source import MOST_PIXELS, Source, UnreadableError

_MAGIC = (
    (0, b"\x89PNG\r\n\x1a\n", "png"),
    (0, b"\xff\xd8\xff", "jpeg"),
    (0, b"II*\x00", "tiff"),
    (0, b"MM\x00*", "tiff"),
    (0, b"\x93NUMPY", "npy"),
    (0, b"PK\x03\x04", "npz"),
    (128, b"DICM", "dicom"),
)
_N_HEAD = 132
_CALLED = {
    ".png": "png", ".jpg": "jpeg", ".jpeg": "jpeg", ".jpe": "jpeg", ".tif": "tiff", ".tiff": "tiff", ".npy": "npy",
    ".npz": "npz", ".dcm": "dicom", ".dicom": "dicom", ".gif": "gif", ".bmp": "bmp", ".webp": "webp",
}  # fmt: skip


def kind_of(head: bytes) -> str | None:
    """Return what a file is by its first bytes; None where it is nothing that is read."""
    return next((kind for at, magic, kind in _MAGIC if head[at : at + len(magic)] == magic), None)


def is_called(path: Path, kind: str) -> bool:
    """Return whether the name of a file says what it is, or nothing."""
    return _CALLED.get(path.suffix.lower(), kind) == kind


@contextmanager
def opened(path: Path) -> Iterator[tuple[str, Source]]:
    """Give what a file is and what hands out its arrays.

    Raises:
        UnreadableError: It is nothing that is read, or broken.
    """
    with path.open("rb") as file:
        head = file.read(_N_HEAD)
        file.seek(0)
        if (kind := kind_of(head)) is None:
            raise UnreadableError("truncated" if not head else "unknown_format")
        yield kind, _source(kind, file, path.stat().st_size)


def _source(kind: str, file: BinaryIO, n_bytes: int) -> Source:
    if kind == "npz":
        return Npz(file)
    if kind == "npy":
        return Npy(file)
    return Dicom(file, n_bytes) if kind == "dicom" else Picture(kind, file, n_bytes)


def as_content(array: NDArray[Any], modality: str) -> NDArray[Any]:
    """Return an array as a content of a modality is stored.

    Args:
        array: As its file has it.
        modality: One of `MODALITIES`.

    Returns:
        `(height, width, channels)` uint8 or uint16 of an image, with 1 or 3 channels; `(samples, leads)` float32 of a
        waveform.

    Raises:
        UnreadableError: It is none.
    """
    if not array.size:
        raise UnreadableError("wrong_shape")
    return MODALITIES[modality](array)


def _as_image(array: NDArray[Any]) -> NDArray[Any]:
    if array.ndim == 2:
        array = array[:, :, None]
    if array.ndim != 3 or array.shape[2] > 4:
        raise UnreadableError("wrong_shape")
    # transparency is no colour: it is left out
    array = array[:, :, : {2: 1, 4: 3}.get(array.shape[2], array.shape[2])]
    if array.dtype == np.bool_:
        return array.astype(np.uint8) * np.uint8(255)
    if array.dtype.kind != "u" or array.dtype.itemsize > 2:
        raise UnreadableError("unsupported_samples")
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def _as_waveform(array: NDArray[Any]) -> NDArray[Any]:
    if array.ndim not in (1, 2):
        raise UnreadableError("wrong_shape")
    if array.dtype.kind not in "iuf":
        raise UnreadableError("unsupported_samples")
    if array.size > MOST_PIXELS:
        raise UnreadableError("too_large")
    with np.errstate(over="ignore"):  # too large for float32 is infinite, and told
        wave = array.reshape(len(array), -1).astype(np.float32)
    if not np.isfinite(wave).all():
        raise UnreadableError("not_finite")
    return wave


MODALITIES = {"image": _as_image, "waveform": _as_waveform}
"""What a content can be, the first where a record does not say; its code begins with that in capitals: `IMAGE//cxr`."""
