"""What hands out the arrays of an opened file, and the one way in which it says that it cannot."""

from __future__ import annotations

from typing import Any, BinaryIO, Protocol

from numpy.typing import NDArray

MOST_PIXELS = 89_478_485
"""An image that has more is none of a hospital's: a few bytes that would fill the memory. As Pillow has it."""
MOST_BYTES = 1 << 30
"""Of a file of one picture, and of one array of a collection."""


class UnreadableError(Exception):
    """An image or a waveform that cannot be used.

    Args:
        fault: Why, a word of `tawt.contracts.reasons`; never what stands in the file.
    """

    def __init__(self, fault: str) -> None:
        self.fault = fault
        super().__init__(fault)


class Source(Protocol):
    """An opened file."""

    def array(self, modality: str, member: str | None, row: int | None) -> NDArray[Any]:
        """Return one array of it.

        Args:
            modality: What it is wanted as: a picture is no waveform.
            member: Its name in the file; None = the only one.
            row: Its place in that, from 0, or a frame's; None = all of it.

        Raises:
            UnreadableError: There is none, or it cannot be read.
        """
        ...


def read_picture(file: BinaryIO, n_bytes: int, modality: str) -> bytes:
    """Return all of the file of one picture: what a disk does not hand over is no fault of what decodes it.

    Raises:
        UnreadableError: It is wanted as something else, or larger than any picture is.
    """
    if modality != "image":
        raise UnreadableError("wrong_modality")
    if n_bytes > MOST_BYTES:
        raise UnreadableError("too_large")
    file.seek(0)
    return file.read()


def hold_pixels(width: int, height: int) -> None:
    """Hold the size that a file says it has, before it is decoded.

    Raises:
        UnreadableError: It has none, or more than any image has.
    """
    if width <= 0 or height <= 0:
        raise UnreadableError("wrong_shape")
    if width * height > MOST_PIXELS:
        raise UnreadableError("too_large")


def frame_of(n_frames: int, member: str | None, row: int | None) -> int:
    """Return which frame of a picture is meant.

    Raises:
        UnreadableError: It has several and none is said, or not the one that is.
    """
    if member is not None or not 0 <= (row or 0) < n_frames:
        raise UnreadableError("not_in_file")
    if row is None and n_frames > 1:
        raise UnreadableError("which_not_said")
    return row or 0
