"""DICOM through pydicom: of a header what is on a list and nothing else; grey as it is meant to be seen.

Source: DICOM PS3.3 C.7.6.3 (pixels), C.11.1 (modality LUT), C.11.2 (window)
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from tawt.arrays import Floats
from tawt.errors import StageError
from tawt.modalities.needed import needed, quieted
from tawt.modalities.source import UnreadableError, frame_of, hold_pixels, read_picture

READ = (
    "SamplesPerPixel", "PhotometricInterpretation", "NumberOfFrames", "Rows", "Columns", "BitsAllocated", "BitsStored",
    "HighBit", "PixelRepresentation", "PlanarConfiguration", "RescaleSlope", "RescaleIntercept", "WindowCenter",
    "WindowWidth", "VOILUTFunction", "ModalityLUTSequence", "VOILUTSequence", "PixelData",
)  # fmt: skip
"""All of a header that is read: names, dates and numbers of anybody are none of it."""
_DEFLATED = "1.2.840.10008.1.2.1.99"
_GREY = ("MONOCHROME1", "MONOCHROME2")
_COLOUR = ("RGB", "YBR_FULL", "YBR_FULL_422")


@dataclass
class Dicom:
    """One image, or one of several frames."""

    file: BinaryIO
    n_bytes: int

    def array(self, modality: str, member: str | None, row: int | None) -> NDArray[Any]:
        """See `Source`."""
        content = io.BytesIO(read_picture(self.file, self.n_bytes, modality))
        pydicom = needed("pydicom", "pydicom")
        quieted("pydicom")
        try:
            # read as `dcmread` reads it: what is packed as a whole would be unpacked there, to nobody knows how much
            if pydicom.filereader.read_file_meta_info(self.file.name).get("TransferSyntaxUID") == _DEFLATED:
                raise UnreadableError("unsupported_compression")
            return _decoded(pydicom.dcmread(content, specific_tags=list(READ)), member, row)
        except (UnreadableError, StageError, MemoryError):
            raise
        except EOFError:
            raise UnreadableError("truncated") from None
        except Exception:  # a decoder's own errors quote what they met
            raise UnreadableError("damaged") from None


def _decoded(header: Any, member: str | None, row: int | None) -> NDArray[Any]:
    if "PixelData" not in header:
        raise UnreadableError("no_pixels")
    hold_pixels(int(header.Columns), int(header.Rows))
    n_frames = int(header.get("NumberOfFrames") or 1)
    frame = frame_of(n_frames, member, row)
    photometric, stored, allocated = header.PhotometricInterpretation, int(header.BitsStored), int(header.BitsAllocated)
    if photometric not in (*_GREY, *_COLOUR):
        raise UnreadableError("unsupported_photometric")
    if allocated not in (8, 16) or not 1 <= stored <= allocated or int(header.HighBit) != stored - 1:
        raise UnreadableError("unsupported_samples")
    if photometric in _COLOUR and (stored != 8 or allocated != 8):
        raise UnreadableError("unsupported_samples")
    if "ModalityLUTSequence" in header or ("VOILUTSequence" in header and "WindowCenter" not in header):
        raise UnreadableError("unsupported_lut")
    _hold_length(header, n_frames)
    pixels = needed("pydicom.pixels", "pydicom").pixel_array(header, index=frame)
    if photometric in _COLOUR:
        return np.asarray(pixels)
    return as_seen(np.ascontiguousarray(pixels, dtype=pixels.dtype.newbyteorder("=")), header)


def _hold_length(header: Any, n_frames: int) -> None:
    """Hold that all pixels are there, or that something is there which unpacks them."""
    syntax = header.file_meta.TransferSyntaxUID
    if syntax.is_encapsulated:
        try:
            available = needed("pydicom.pixels", "pydicom").get_decoder(syntax).is_available
        except NotImplementedError:
            available = False
        if not available:
            raise UnreadableError("unsupported_compression")
        return
    n_samples = int(header.Rows) * int(header.Columns) * n_frames * int(header.SamplesPerPixel)
    if header.PhotometricInterpretation == "YBR_FULL_422":
        n_samples = n_samples // 3 * 2
    if len(header.PixelData) < n_samples * (int(header.BitsAllocated) // 8):
        raise UnreadableError("truncated")


def as_seen(stored: NDArray[np.integer], header: Any) -> NDArray[Any]:
    """Return stored numbers as grey, 0 black: rescaled, through the first window where there is one, else from the
    smallest to the largest number that the bits hold; uint8 of up to 8 bits, else uint16.

    Each number that the type can hold is worked out once, and looked up for every pixel that has it.
    """
    pattern = np.dtype(f"u{stored.dtype.itemsize}")
    every = np.arange(1 << 8 * pattern.itemsize, dtype=pattern).view(stored.dtype)
    share, place = _shares(every.astype(np.float64), header), stored.view(pattern)
    told = np.isfinite(share)
    if not told.all() and not told[place].all():
        raise UnreadableError("not_finite")
    dtype = np.uint8 if int(header.BitsStored) <= 8 else np.uint16
    grey: NDArray[Any] = np.rint(np.where(told, share, 0) * np.iinfo(dtype).max).astype(dtype)
    return grey[place]


def _shares(stored: Floats, header: Any) -> Floats:
    """Return how bright stored numbers are, 0 to 1; what is none or infinite stays so."""
    slope, intercept = (
        _number(header.get(name), default) for name, default in (("RescaleSlope", 1.0), ("RescaleIntercept", 0.0))
    )
    if not np.isfinite([slope, intercept]).all() or not slope:
        raise UnreadableError("not_finite")
    bits = int(header.BitsStored)
    low = -(2.0 ** (bits - 1)) if int(header.PixelRepresentation) else 0.0
    center, width = (_number(header.get(name), np.nan) for name in ("WindowCenter", "WindowWidth"))
    share: Floats
    if np.isfinite(center) and np.isfinite(width):
        with np.errstate(over="ignore", invalid="ignore"):
            value = stored * slope + intercept
        share = windowed(value, center, width, str(header.get("VOILUTFunction") or "LINEAR"))
    else:
        share = (stored - low) / (2.0**bits - 1)
        share = share if slope > 0 else 1 - share
    return 1 - share if header.PhotometricInterpretation == "MONOCHROME1" else share


def windowed(value: Floats, center: float, width: float, function: str) -> Floats:
    """Return what a window shows of values, 0 to 1.

    Raises:
        UnreadableError: The window is none that the standard knows.
    """
    if function == "LINEAR" and width == 1:
        return (value > center - 0.5).astype(np.float64)
    if function == "LINEAR" and width > 1:
        return np.clip((value - (center - 0.5)) / (width - 1) + 0.5, 0, 1)
    if function == "LINEAR_EXACT" and width > 0:
        return np.clip((value - center) / width + 0.5, 0, 1)
    if function == "SIGMOID" and width > 0:
        with np.errstate(over="ignore"):
            return np.asarray(1 / (1 + np.exp(-4 * (value - center) / width)))
    raise UnreadableError("unsupported_lut")


def _number(given: Any, default: float) -> float:
    """Return a number of a header, the first where it has several."""
    first = (
        given
        if given is None or isinstance(given, str | float | int) or not hasattr(given, "__len__")
        else (given[0] if len(given) else None)
    )
    return default if first is None or first == "" else float(first)
