"""The contents that events of a workspace have: arrays of any sizes, each once, mapped and never loaded."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Container, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from tawt.arrays import Bools, Ints
from tawt.contracts.contract import own_contract
from tawt.contracts.workspace import home_of
from tawt.errors import DatasetError, FileError
from tawt.files import alone, digest
from tawt.readers import hold_seal, read_parquet, reading
from tawt.seals import BLANK, fill
from tawt.shell import command

STORE, EVENTS = "contents", "content_events"
"""Stages, and their folders in a workspace: the arrays, and the events that have one."""
ARRAYS, INDEX = "*.arrow", "content_events.parquet"
"""Their files."""
EMBEDDED = "content_embeddings"
"""Folder of a workspace: what frozen encoders said of its contents."""
NO_TIME = -(1 << 62)
"""The time of an event without one, and when it could be read where that was always: before any time."""
DTYPES = ("uint8", "uint16", "float32")
"""What samples can be, lowest byte first."""
AT_ONCE = 8 << 20
"""Bytes of samples in memory while a file is written, and those of the last array."""
_WIDTH = 8
_SCHEMA = pa.schema(
    [
        pa.field("sha256", pa.string(), False),
        pa.field("dtype", pa.string(), False),
        pa.field("shape", pa.list_(pa.int64()), False),
        pa.field("samples", pa.large_binary(), False),
    ]
)


@dataclass(frozen=True, eq=False)
class Contents:
    """Contents of a workspace, mapped: `n` events that have one, and `c` contents. Times are us since the origin."""

    subject_id: Ints
    """`(n,)`, ascending; within a subject by time, then code, then content."""
    time: Ints
    """`(n,)`, `NO_TIME` for an event without one."""
    available: Ints
    """`(n,)`, when it could have been read; `NO_TIME` where that was always."""
    code: Ints
    """`(n,)`, place in `codes`."""
    content: Ints
    """`(n,)`, which content."""
    codes: tuple[str, ...]
    """As `IMAGE//cxr`."""
    sha256: tuple[str, ...]
    """`(c,)`, ascending."""
    place: Path
    """The folder of the arrays."""
    rows: tuple[tuple[pa.RecordBatch, int], ...]
    """`(c,)`, the mapped batch that holds a content, and its row there."""
    held: Bools
    """`(c,)`, which contents were held to their hashes: each is when it is read first."""

    def array(self, content: int) -> NDArray[Any]:
        """Return `(height, width, channels)` of an image, `(samples, leads)` of a waveform: a read-only view.

        Raises:
            DatasetError: It is not as it was written.
        """
        array = _array(*self.rows[content])
        if array is not None and (self.held[content] or content_hash(array) == self.sha256[content]):
            self.held[content] = True
            return array
        what = "holds an array that is not as it was written, expected the one that is known by its hash"
        raise DatasetError(str(self.place), what, _again(self.place.parent))

    def of(self, subject_id: Ints, until: Ints) -> tuple[Ints, Ints]:
        """Return the rows whose contents had been there for subjects by a time each, and which asking each is of.

        Args:
            subject_id: `(r,)`, any subjects, in any order.
            until: `(r,)`, us since the subject's origin.

        Returns:
            `(m,)` rows of this table, and `(m,)` which of the `r`, ascending.
        """
        start, stop = (np.searchsorted(self.subject_id, subject_id, side) for side in ("left", "right"))
        n = stop - start
        asking = np.repeat(np.arange(len(n)), n)
        row = np.arange(len(asking)) + np.repeat(start - (np.cumsum(n) - n), n)
        there = np.maximum(self.time[row], self.available[row]) <= np.asarray(until)[asking]
        return row[there], asking[there]

    def without(self, share: float, seed: int = 0) -> Contents:
        """Return the same, but for a share of the events, which have lost theirs; a larger one takes these, too."""
        return self.rows_of(np.flatnonzero(np.random.default_rng(seed).random(len(self.subject_id)) >= share))

    def shuffled(self, seed: int = 0) -> Contents:
        """Return the same with contents dealt out anew among the events of each code: whose they are is lost."""
        rng, content = np.random.default_rng(seed), self.content.copy()
        for code in range(len(self.codes)):
            own = np.flatnonzero(self.code == code)
            content[own] = content[rng.permutation(own)]
        return replace(self, content=content)

    def fingerprint(self) -> str:
        """Return a hash of all that may be looked at."""
        columns = (self.subject_id, self.time, self.available, self.code, self.content)
        return digest([*self.codes, *self.sha256, *(array.tobytes().hex() for array in columns)])

    def rows_of(self, at: Ints) -> Contents:
        """Return some of the events, ascending."""
        names = "subject_id", "time", "available", "code", "content"
        return replace(self, **{name: getattr(self, name)[at] for name in names})


def open_contents(workspace: Path) -> Contents | None:
    """Open the contents of a workspace; None where its pipeline has none.

    Raises:
        DatasetError: A file is absent or not as it was written.
    """
    index = workspace / EVENTS / INDEX
    if not index.parent.exists():
        return None
    hint, contract = _again(workspace), own_contract(EVENTS)
    table = read_parquet(index, contract.names, hint, DatasetError)
    hold_seal(index, hint, DatasetError, always=True)
    place = home_of(workspace, STORE) / STORE
    known = _mapped(place, hint)
    code, sha256 = (table[name].combine_chunks().dictionary_encode() for name in ("code", "sha256"))
    if lost := sum(one not in known for one in sha256.dictionary.to_pylist()):
        raise DatasetError(str(place), f"lacks {lost:,} contents that events have, expected each", hint)
    (codes, code_row), (contents, content_row) = _numbered(code), _numbered(sha256)
    subject, time, available = (table[name].to_numpy() for name in ("subject_id", "time", "available_time"))
    order = np.lexsort((content_row, code_row, time, subject))
    return Contents(
        subject[order], time[order], available[order], code_row[order], content_row[order], codes, contents, place,
        tuple(known[one] for one in contents), np.zeros(len(contents), dtype=np.bool_),
    )  # fmt: skip


def drop_embeddings(workspace: Path, kept: Container[str]) -> None:
    """Remove files of embeddings that hold one of a content that a workspace has no more, or that cannot be read.

    Embeddings of other contents go with them: whoever asks for these encodes them again.

    Args:
        workspace: Whose contents they are of.
        kept: Hashes of the contents that it has.
    """
    for path in (workspace / EMBEDDED).glob("*/*.parquet"):
        if path.is_dir():  # somebody else's
            continue
        try:
            keys = read_parquet(path, ["sha256"])["sha256"].to_pylist()
        except FileError:
            keys = [""]
        if not all(key in kept for key in keys):
            path.unlink(missing_ok=True)
    for path in (workspace / EMBEDDED).glob("*/.*.parquet.tmp"):  # of who was killed: nobody would write it again
        with suppress(BlockingIOError), alone(path):
            path.unlink(missing_ok=True)


def drop_left(workspace: Path) -> None:
    """Remove what `drop_embeddings` does, of contents that no event has: who was at work as one left may have kept it.

    Raises:
        DatasetError: The events that have a content cannot be read.
    """
    if not (workspace / EMBEDDED).exists():
        return
    index, kept = workspace / EVENTS / INDEX, set()
    if index.exists():
        kept = {*read_parquet(index, ["sha256"], _again(workspace), DatasetError)["sha256"].to_pylist()}
    drop_embeddings(workspace, kept)


def content_hash(array: NDArray[Any]) -> str:
    """Return the SHA-256 by which a content is known: of its type, its shape and its samples."""
    digest = hashlib.sha256(f"tawt content {array.dtype.name} {'x'.join(map(str, array.shape))}\n".encode())
    digest.update(_flat(array))
    return digest.hexdigest()


@contextmanager
def writing_arrays(path: Path) -> Iterator[Callable[[str, NDArray[Any]], None]]:
    """Give what adds an array, known by its hash, to a file of `contents/`; the file is whole at the end."""
    batch: list[tuple[str, str, tuple[int, ...], bytes]] = []
    n_bytes = 0

    def flush() -> None:
        nonlocal n_bytes
        columns = list(zip(*batch, strict=True)) or [()] * len(_SCHEMA)
        arrays = [pa.array(values, field.type) for values, field in zip(columns, _SCHEMA, strict=True)]
        file.write_batch(pa.RecordBatch.from_arrays(arrays, schema=_SCHEMA))
        batch.clear()
        n_bytes = 0

    def add(sha256: str, array: NDArray[Any]) -> None:
        nonlocal n_bytes
        assert array.dtype.name in DTYPES, array.dtype
        samples = _flat(array)
        # so that each begins where a number of any type may
        batch.append((sha256, array.dtype.name, array.shape, samples + bytes(-len(samples) % _WIDTH)))
        n_bytes += len(samples)
        if n_bytes >= AT_ONCE:
            flush()

    path.parent.mkdir(parents=True, exist_ok=True)
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, _SCHEMA) as file:
        yield add
        flush()


def write_events(path: Path, rows: pa.Table) -> None:
    """Write the events that have a content, sealed: the columns of `schemas/content_events.json`, in any order."""
    schema = own_contract(EVENTS).arrow_schema()
    table = rows.select(schema.names).cast(schema).replace_schema_metadata({b"seal": BLANK})
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path, compression="zstd")
    fill(path)


def _flat(array: NDArray[Any]) -> bytes:
    """Return the bytes of an array, row by row, of each number the lowest first."""
    return array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes()


def map_arrays(path: Path) -> Iterator[tuple[str, NDArray[Any]]]:
    """Yield the arrays of a file that was just written, each with its hash."""
    for batch in _batches(path, ""):
        for row, sha256 in enumerate(batch.column("sha256").to_pylist()):
            array = _array(batch, row)
            assert array is not None, path
            yield sha256, array


def _mapped(place: Path, hint: str) -> dict[str, tuple[pa.RecordBatch, int]]:
    """Return where each content lies, by its hash; the files are mapped for as long as one is in use."""
    known: dict[str, tuple[pa.RecordBatch, int]] = {}
    for path in sorted(place.glob(ARRAYS)):
        for batch in _batches(path, hint):
            for row, sha256 in enumerate(batch.column("sha256").to_pylist()):
                known.setdefault(sha256, (batch, row))
    return known


def _batches(path: Path, hint: str) -> list[pa.RecordBatch]:
    with reading(path, "a file of arrays", hint, DatasetError), pa.memory_map(str(path)) as file:
        reader = pa.ipc.open_file(file.read_buffer(path.stat().st_size))
        if not reader.schema.equals(_SCHEMA):
            raise DatasetError(str(path), "has other columns, expected a file of arrays", hint)
        batches = [reader.get_batch(i) for i in range(reader.num_record_batches)]
        for batch in batches:
            batch.validate(full=True)  # else a place that leads out of it would be followed
            _texts = batch.column("sha256").to_pylist()  # bytes until somebody asks
    return batches


def _array(batch: pa.RecordBatch, row: int) -> NDArray[Any] | None:
    """Return one array of a file, a read-only view; None where what the file says of it cannot be."""
    dtype, shape = batch.column("dtype")[row].as_py(), batch.column("shape")[row].as_py()
    samples = batch.column("samples")[row].as_buffer()
    n = math.prod(shape) if shape and min(shape) >= 0 else -1
    if dtype not in DTYPES or not 0 <= n * np.dtype(dtype).itemsize <= samples.size:
        return None
    array: NDArray[Any] = np.frombuffer(samples, np.dtype(dtype).newbyteorder("<"), n).reshape(shape)
    array.flags.writeable = False  # the mapping is for reading: to write there would end the process
    return array


def _numbered(column: pa.DictionaryArray) -> tuple[tuple[str, ...], Ints]:
    """Return the texts of a column in their order, and the number of each row's."""
    texts = column.dictionary.to_pylist()
    order = sorted(range(len(texts)), key=texts.__getitem__)
    number = np.empty(len(texts), dtype=np.int64)
    number[order] = np.arange(len(texts))
    return tuple(texts[i] for i in order), number[np.asarray(column.indices, dtype=np.int64)]


def _again(workspace: Path) -> str:
    return f"`{command('run', f'+{EVENTS}', workspace=workspace)} --force`"
