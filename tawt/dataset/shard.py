"""One shard on disk: two Arrow files, of which the large one is mapped and never copied."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tawt.contracts.contract import Contract, check_schema
from tawt.errors import ContractError, DatasetError
from tawt.files import stamp
from tawt.readers import reading


class Columns(NamedTuple):
    """Read-only views of the mapped file: `n` rows of a shard or a subject. Times are us since the origin."""

    timestamp: NDArray[np.int64]
    """`(n,)`, 0 for a static fact."""
    data_type: NDArray[np.int32]
    """`(n,)`, vocabulary index."""
    value: NDArray[np.float32]
    """`(n,)`, normalized; 0 where there is none."""
    value_token: NDArray[np.int32]
    """`(n,)`, bin or category; 0 = none."""
    value_status: NDArray[np.uint8]
    """`(n,)`, see `ValueStatus`."""
    available_time: NDArray[np.int64]
    """`(n,)`, -2^62 for a static fact that was always known."""
    identity: NDArray[np.uint32]
    """`(n,)`, a random number that tells each triplet of a record from the others, whatever the order of simultaneous
    ones."""

    def rows(self, start: int, stop: int) -> Columns:
        """Return the views of some rows."""
        own = slice(start, stop)
        time, data_type, value, token, status, available, identity = self
        return Columns(time[own], data_type[own], value[own], token[own], status[own], available[own], identity[own])


@dataclass(frozen=True, eq=False)
class Index:
    """Where each subject of a shard lies; `s` subjects."""

    subject_id: NDArray[np.int64]
    """`(s,)`, ascending."""
    start: NDArray[np.int64]
    """`(s,)`, first row."""
    length: NDArray[np.int64]
    """`(s,)`, rows, statics included."""
    n_static: NDArray[np.int32]
    """`(s,)`, static rows, which come first."""
    origin: NDArray[np.int64]
    """`(s,)`, time origin, us since 1970-01-01."""


@dataclass(eq=False)
class Mapped:
    """A mapped shard: what its file holds, and is to hold for as long as it is read."""

    path: Path
    """Its file."""
    whole: pa.Buffer
    """The mapping."""
    columns: Columns
    """Views of it."""
    stamp: tuple[int, ...]
    """Of the file when its content was last known."""

    def hold(self, sha256: str, hint: str) -> None:
        """Hold what is mapped, of which every byte is read, to its hash.

        Raises:
            DatasetError: It is something else; the hint says what mends it.
        """
        hold(self.path, hashlib.sha256(self.whole).hexdigest(), sha256, hint)

    def hold_again(self, sha256: str, hint: str) -> None:
        """Hold what is mapped to its hash if its file was touched in any way since that was done.

        Where another file came into its place, the old one is still what is mapped.

        Raises:
            DatasetError: It was written to in place.
        """
        now = stamp(self.path)
        if now == self.stamp:
            return
        if now[:1] == self.stamp[:1] and now[1] < self.stamp[1]:  # to read beyond its end would kill the process
            raise DatasetError(str(self.path), "was cut off while it was read, expected to stay as it was", hint)
        self.hold(sha256, hint)
        self.stamp = now


def map_shard(path: Path, contract: Contract, n_bytes: int, n_rows: int, hint: str) -> Mapped:
    """Map a shard with views of its single record batch; the hint of its errors says what mends it.

    The file is closed again at once: the mapping lives as long as a view of it, and needs no file descriptor.

    Raises:
        DatasetError: The file is absent, cut off, compressed, or not what contract and manifest say.
    """
    found = stamp(path)
    with reading(path, "an Arrow file", hint, DatasetError):
        size = path.stat().st_size
    if size != n_bytes:
        raise DatasetError(str(path), f"has {size} bytes, expected {n_bytes}", hint)
    with reading(path, "an Arrow file", hint, DatasetError), pa.memory_map(str(path)) as file:
        whole = file.read_buffer(size)
        reader = pa.ipc.open_file(whole)
        batches = [reader.get_batch(i) for i in range(reader.num_record_batches)]
        for batch in batches:
            batch.validate()
        _names = reader.schema.names  # bytes until somebody asks
    _check(path, contract, reader.schema, hint)
    if len(batches) != 1:
        raise DatasetError(str(path), f"has {len(batches)} record batches, expected 1", hint)
    (batch,) = batches
    if batch.num_rows != n_rows:
        raise DatasetError(str(path), f"has {batch.num_rows} rows, expected {n_rows}", hint)
    views = Columns(*(_view(path, whole, batch, name, hint) for name in Columns._fields))
    return Mapped(path, whole, views, found)


def read_index(path: Path, contract: Contract, n_subjects: int, n_rows: int, hint: str) -> Index:
    """Read the index beside a shard; the hint of its errors says what mends it.

    Raises:
        DatasetError: The file is absent, broken, of another contract, or does not tile the shard row by row.
    """
    with reading(path, "an Arrow file", hint, DatasetError):
        table = pa.ipc.open_file(pa.BufferReader(path.read_bytes())).read_all()
        table.validate()
        _names = table.schema.names
    _check(path, contract, table.schema, hint)
    if len(table) != n_subjects:
        raise DatasetError(str(path), f"has {len(table)} subjects, expected {n_subjects}", hint)
    if any(column.null_count for column in table.columns):
        raise DatasetError(str(path), "has a null, expected none", hint)
    index = Index(*(np.array(table.column(name)) for name in Index.__dataclass_fields__))
    ends = index.start + index.length
    whole = (
        bool((index.length >= 0).all())
        and np.array_equal(index.start, np.concatenate([[0], ends[:-1]]) if n_subjects else index.start)
        and (int(ends[-1]) if n_subjects else 0) == n_rows
    )
    if not whole:
        raise DatasetError(str(path), f"does not cover the shard, expected its {n_rows} rows end to end", hint)
    if not ((index.n_static >= 0) & (index.n_static <= index.length)).all():
        raise DatasetError(str(path), "has an n_static out of range, expected 0 to length", hint)
    if not (np.diff(index.subject_id) > 0).all():
        raise DatasetError(str(path), "has subjects out of order, expected ascending subject_id", hint)
    return index


def hold(path: Path, found: str, sha256: str, hint: str) -> None:
    """Hold a file to the hash that is listed of it.

    Raises:
        DatasetError: It has another.
    """
    if found != sha256:
        what = "is not as it was written, expected the file that was listed by its hash"
        raise DatasetError(str(path), what, hint)


def _check(path: Path, contract: Contract, schema: pa.Schema, hint: str) -> None:
    try:
        check_schema(contract, schema, str(path))
    except ContractError as error:
        raise DatasetError(error.where, error.what, hint) from None


def _view(path: Path, whole: pa.Buffer, batch: pa.RecordBatch, name: str, hint: str) -> NDArray[Any]:
    array = batch.column(name)
    if array.null_count:
        raise DatasetError(str(path), f"column `{name}` has {array.null_count} nulls, expected none", hint)
    data = array.buffers()[1]
    mapped = whole.address <= data.address and data.address + data.size <= whole.address + whole.size
    if data.size and not mapped:
        raise DatasetError(str(path), f"column `{name}` is compressed, expected plain memory", hint)
    view: NDArray[Any] = array.to_numpy(zero_copy_only=True)
    return view
