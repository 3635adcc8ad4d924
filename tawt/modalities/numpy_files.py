"""Arrays and collections of numpy, `npy` and `npz`: a row is read by itself, and nothing in them is ever run."""

from __future__ import annotations

import errno
import math
import zipfile
import zlib
from dataclasses import dataclass
from typing import Any, BinaryIO, cast

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from tawt.modalities.source import MOST_BYTES, UnreadableError

_CHUNK = 1 << 20
_MOST_AXES = 8


@dataclass
class Npy:
    """One array, read from its beginning on."""

    file: BinaryIO
    header: tuple[tuple[int, ...], bool, np.dtype[Any]] | None = None
    at: int = 0
    """Bytes read of the samples."""

    def array(self, modality: str, member: str | None, row: int | None) -> NDArray[Any]:
        """See `Source`."""
        if member is not None:
            raise UnreadableError("not_in_file")
        if self.header is None:
            self.header = _header(self.file)
        shape, by_column, dtype = self.header
        if row is None:
            if self.at:
                self._rewind()
            return self._read(0, shape, dtype).reshape(shape, order="F" if by_column else "C")
        if not shape or not 0 <= row < shape[0]:
            raise UnreadableError("not_in_file")
        if by_column and len(shape) > 1:
            raise UnreadableError("unsupported_samples")
        start = row * math.prod(shape[1:]) * dtype.itemsize
        if start < self.at:
            self._rewind()
        return self._read(start, shape[1:], dtype).reshape(shape[1:])

    def _rewind(self) -> None:
        self.file.seek(0)
        self.header, self.at = _header(self.file), 0

    def _read(self, start: int, shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
        """Return samples that begin at a byte, which is not before what was read."""
        n_bytes = math.prod(shape) * dtype.itemsize
        if n_bytes > MOST_BYTES:
            raise UnreadableError("too_large")
        while start > self.at:
            self.at += len(self._some(min(_CHUNK, start - self.at)))
        samples = self._some(n_bytes)
        self.at += n_bytes
        return np.frombuffer(samples, dtype)

    def _some(self, n_bytes: int) -> bytes:
        with_all = _reading(self.file, n_bytes)
        if len(with_all) < n_bytes:
            raise UnreadableError("truncated")
        return with_all


class Npz:
    """Named arrays, packed together: each is held to its checksum before anything of it is used."""

    def __init__(self, file: BinaryIO) -> None:
        try:
            self._zip = zipfile.ZipFile(file)
        except (zipfile.BadZipFile, ValueError):  # the list of what is in it stands at its end
            raise UnreadableError("truncated") from None
        except NotImplementedError:
            raise UnreadableError("unsupported_compression") from None
        except OSError as error:
            raise _told(error) from None
        self._members = {name.removesuffix(".npy"): name for name in self._zip.namelist() if name.endswith(".npy")}
        if not self._members:
            raise UnreadableError("unknown_format")
        self._open: dict[str, Npy] = {}

    def array(self, modality: str, member: str | None, row: int | None) -> NDArray[Any]:
        """See `Source`."""
        if member is None and len(self._members) > 1:
            raise UnreadableError("which_not_said")
        name = next(iter(self._members)) if member is None else member.removesuffix(".npy")
        if name not in self._members:
            raise UnreadableError("not_in_file")
        if name not in self._open:
            with self._member(name) as whole:
                self._hold_size(name, whole)
                while _reading(whole, _CHUNK):
                    pass
            for one in self._open.values():
                one.file.close()
            self._open = {name: Npy(self._member(name))}
        return self._open[name].array(modality, None, row)

    def _hold_size(self, name: str, whole: BinaryIO) -> None:
        """Hold that an array is as large as it says, before it is unpacked, which goes no further than its size."""
        shape, _, dtype = _header(whole)
        more = self._zip.getinfo(self._members[name]).file_size - whole.tell() - math.prod(shape) * dtype.itemsize
        if more:
            raise UnreadableError("damaged" if more > 0 else "truncated")

    def _member(self, name: str) -> BinaryIO:
        if self._zip.getinfo(self._members[name]).compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise UnreadableError("unsupported_compression")
        try:
            return cast(BinaryIO, self._zip.open(self._members[name]))
        except NotImplementedError:
            raise UnreadableError("unsupported_compression") from None
        except (zipfile.BadZipFile, RuntimeError, ValueError):  # RuntimeError: it is encrypted
            raise UnreadableError("damaged") from None
        except OSError as error:
            raise _told(error) from None


def _told(error: OSError) -> Exception:
    """Return what an error of the system says: of the file, where that names a place before its beginning."""
    return UnreadableError("damaged") if error.errno == errno.EINVAL else error


def _reading(file: BinaryIO, n_bytes: int) -> bytes:
    try:
        return file.read(n_bytes)
    except EOFError:
        raise UnreadableError("truncated") from None
    except (zipfile.BadZipFile, zlib.error):
        raise UnreadableError("damaged") from None


def _header(file: BinaryIO) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Return shape, whether columns come before rows, and type of an array, of which no sample is read yet."""
    try:
        version = npy.read_magic(file)
        if version != (1, 0):  # others are for headers longer than any that is read
            raise UnreadableError("unsupported_samples")
        shape, by_column, dtype = npy.read_array_header_1_0(file)
    except UnreadableError:
        raise
    except Exception:  # a parser of its own, which raises what it meets
        raise UnreadableError("damaged") from None
    sizes = len(shape) <= _MOST_AXES and all(type(n) is int and 0 <= n <= MOST_BYTES for n in shape)
    if dtype.kind not in "biuf" or not sizes:
        raise UnreadableError("unsupported_samples")
    return shape, by_column, dtype
