"""Rows that a stage gives, cut by the way that each goes: a file per shard, and what is rejected.

Arrow cuts them: the engine's own writer of partitions takes twice the time and three times the memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tawt.contracts.contract import Contract
from tawt.readers import read_parquet

ROUTE = "_route"
"""The column that says which way a row goes: the number of its shard, or `REJECTED`."""
REJECTED = -1
_SAMPLE = 4096
"""Rows of a file that tell which texts come again."""
_OF_REJECTED = pa.schema([("_row", pa.int64()), ("_reason", pa.string())])
_AT_ONCE = 32 << 20
"""Bytes of rows that are held back for each `_WAYS`, up to `_MOST_TIMES` as many, so that many of a shard are written
at once: each time they are a group of rows of its own."""
_WAYS, _MOST_TIMES = 128, 4
_MOST_GROUPS = 1 << 13
"""Groups of rows in open files: what is known of each, some 24 KB, stays in memory until its file is closed."""
_EVEN = 1 << 14
_MOST_OPEN = 512
"""Files that are open at once: most processes may have 1,024. Of more shards each gets a file for every `_AT_ONCE`,
which are many, and take long."""


def cut(batches: Iterable[pa.RecordBatch], folder: Path, threads: int) -> tuple[list[Path], pa.Table]:
    """Write rows as they come, those of a shard in their order.

    Args:
        batches: The rows; none lacks its route.
        folder: Where the files are written, `part-SHARD-I.parquet`.
        threads: Files that are written at once.

    Returns:
        The files, of most shards one, in the order of shards, and `_row` and `_reason` of what is rejected.
    """
    rejected: list[pa.RecordBatch] = []
    kept: dict[int, list[Path]] = {}
    with ThreadPoolExecutor(max_workers=threads) as pool, ExitStack() as stack:
        open_files: dict[int, pq.ParquetWriter] = {}
        n_ways, n_groups = 1, 0

        def write(several: pa.RecordBatch) -> None:
            nonlocal n_ways, n_groups
            held = dict(_by_route(several))
            if (rows := held.pop(REJECTED, None)) is not None:
                rejected.append(rows.select(_OF_REJECTED.names).cast(_OF_REJECTED))
            ways = list(held)
            n_ways = len(ways)
            for these in (ways[at : at + _MOST_OPEN] for at in range(0, len(ways), _MOST_OPEN)):
                if len({*open_files, *these}) > _MOST_OPEN or n_groups + len(these) > _MOST_GROUPS:
                    stack.close()
                    open_files.clear()
                    n_groups = 0
                n_groups += len(these)
                for route in these:
                    if route not in open_files:
                        files = kept.setdefault(route, [])
                        files.append(folder / f"part-{route:05d}-{len(files)}.parquet")
                        open_files[route] = stack.enter_context(_writer(files[-1], held[route]))
                for one in [pool.submit(open_files[route].write_batch, held[route]) for route in these]:
                    one.result()

        # under no name here: rows that are written would be held until the next are there
        for _ in map(write, _laid_together(batches, lambda: _AT_ONCE * min(_MOST_TIMES, max(1, n_ways // _WAYS)))):
            pass
    return [file for route in sorted(kept) for file in kept[route]], pa.Table.from_batches(rejected, _OF_REJECTED)


def empty(contract: Contract, folder: Path) -> Path:
    """Write a file without rows, of the columns of the contract."""
    file = folder / "part-00000-0.parquet"
    pq.write_table(pa.schema([*contract.arrow_schema(), *_OF_REJECTED]).empty_table(), file)
    return file


def lay_out(contract: Contract, files: list[Path], name: str) -> None:
    """Lay rows out in one sorted file, of the columns of the contract that are there and no others."""
    table = pa.concat_tables([read_parquet(file) for file in files])
    names = [name for name in contract.names if name in table.column_names]
    schema = pa.schema([contract.arrow_schema().field(name) for name in names])
    ordered = (
        table.select(names).cast(schema).sort_by([(key, "ascending") for key in contract.sorted_by if key in names])
    )
    for file in files:
        file.unlink()
    pq.write_table(ordered, files[0].with_name(name))


def _laid_together(batches: Iterable[pa.RecordBatch], at_once: Callable[[], int]) -> Iterator[pa.RecordBatch]:
    """Yield many rows at a time, cut at places that hang on the rows alone, as the bytes of the files then do."""
    held: list[pa.RecordBatch] = []
    n_bytes = 0
    for rows in _evenly(batches):
        held.append(rows)
        n_bytes += 8 * rows.num_rows * rows.num_columns + sum(map(_n_letters, rows))
        if n_bytes >= at_once():
            yield _joined(held)
            n_bytes = 0
    if held:
        yield _joined(held)


def _joined(held: list[pa.RecordBatch]) -> pa.RecordBatch:
    """Return rows as one batch, and let go of those that it is a copy of."""
    rows = pa.concat_batches(held)
    held.clear()
    return rows


def _evenly(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Yield the same rows in batches of one size, less the last: how the engine cuts them hangs on its threads."""
    held: list[pa.RecordBatch] = []
    n_rows = 0
    for batch in batches:
        held.append(batch)
        n_rows += batch.num_rows
        while n_rows >= _EVEN:
            rows = pa.concat_batches(held)
            yield rows.slice(0, _EVEN)
            held, n_rows = [rows.slice(_EVEN)], n_rows - _EVEN
    if n_rows:
        yield pa.concat_batches(held)


def _n_letters(column: pa.Array) -> int:
    return pc.sum(pc.binary_length(column)).as_py() or 0 if pa.types.is_string(column.type) else 0


def _by_route(rows: pa.RecordBatch) -> Iterator[tuple[int, pa.RecordBatch]]:
    """Yield the rows of each way, in their order."""
    routes = rows[ROUTE].to_numpy()
    rows = rows.drop_columns([ROUTE])
    if not len(routes):
        return
    if routes.min() == routes.max():
        yield int(routes[0]), rows
        return
    # numbers of 16 bits are sorted in one pass over them
    order = np.argsort(routes.astype(np.int16) if routes.max() < 1 << 15 else routes, kind="stable")
    rows, routes = rows.take(pa.array(order)), routes[order]
    starts = np.flatnonzero(np.diff(routes, prepend=routes[0] - 1)).tolist()
    for start, end in zip(starts, [*starts[1:], len(routes)], strict=True):
        yield int(routes[start]), rows.slice(start, end - start)


def _writer(file: Path, rows: pa.RecordBatch) -> pq.ParquetWriter:
    """Open a file for rows, of which these come first.

    A dictionary pays for texts alone, and of them where they come again; whole numbers and times are smaller as steps,
    in less time. Of the least and the greatest float nothing is said: Arrow leaves NaN out of them, and the engine then
    finds none.
    """
    schema, first = rows.schema, rows.slice(0, _SAMPLE)
    is_whole = (pa.types.is_integer, pa.types.is_timestamp, pa.types.is_date)
    steps = {field.name: "DELTA_BINARY_PACKED" for field in schema if any(is_it(field.type) for is_it in is_whole)}
    texts = [field.name for field in schema if pa.types.is_string(field.type)]
    again = [name for name in texts if 2 * pc.count_distinct(first[name]).as_py() <= len(first)]
    told = [field.name for field in schema if not pa.types.is_floating(field.type)]
    return pq.ParquetWriter(
        file, schema, compression="snappy", use_dictionary=again, column_encoding=steps, write_statistics=told
    )
