"""Holds what a stage wrote to what it read: every record counted once, nothing null that must not be."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq

from tawt.contracts.account import Account, Rejected
from tawt.contracts.contract import Contract
from tawt.contracts.layers import layer_of
from tawt.errors import ContractError, StageError
from tawt.raw.find import RawTable
from tawt.readers import parquet_batches, parquet_metadata, read_parquet
from tawt.sources.stage import Input, Stage


def check_nulls(contract: Contract, files: list[Path], where: str) -> None:
    """Hold `_row`, and the columns that the contract says are never null, to that.

    Raises:
        ContractError: One is null in rows that are kept.
    """
    required = ["_row", *(column.name for column in contract.columns if not column.nullable)]
    nulls = dict.fromkeys(required, 0)
    for file in files:
        metadata = parquet_metadata(file)
        places = {metadata.schema.column(i).path: i for i in range(metadata.num_columns)}
        groups = [metadata.row_group(i) for i in range(metadata.num_row_groups)]
        for name in required:
            # what stands for a list counts its items, under another path
            counts = [_null_count(group, places[name]) for group in groups] if name in places else [None]
            known = [count for count in counts if count is not None]
            nulls[name] += sum(known) if len(known) == len(counts) else read_parquet(file, [name])[name].null_count
    for name, count in nulls.items():
        if count:
            raise ContractError(
                where,
                f"column `{name}` is null in {count:,} kept rows, expected none",
                f"give such a record the _reason `quarantine:{name}:missing`"
                if name != "_row"
                else "carry the _row of the first relation",
            )


def _null_count(group: pq.RowGroupMetaData, place: int) -> int | None:
    statistics = group.column(place).statistics
    return statistics.null_count if statistics is not None and statistics.has_null_count else None


def rows_of(kept: list[Path], rejected: Rejected) -> int:
    """Return how many rows a stage gave, and how many lines its reading set aside."""
    return sum(parquet_metadata(file).num_rows for file in kept) + rejected.table.num_rows + len(rejected.lines)


def balance(stage: Stage, driving: RawTable | Input, kept: list[Path], rejected: Rejected) -> Account:
    """Count the records of the driving input, each exactly once, from the files alone.

    Args:
        stage: The stage.
        driving: What its records come from; how many a raw table holds was counted from its bytes.
        kept: What it wrote.
        rejected: What it rejected.

    Raises:
        StageError: A row claims a record that is not there, or that another row has.
    """
    name, n_rows = stage.inputs[0], sum(parquet_metadata(file).num_rows for file in kept)
    if isinstance(driving, RawTable) or not layer_of(name).numbered:
        routes, whole = rejected.routes(), isinstance(driving, RawTable)
        if isinstance(driving, RawTable):
            _hold_row_wise(stage, driving, kept, rejected)
            n_in = driving.n_records
        else:  # events number no records of their own: what comes out is all that can be counted
            n_in = n_rows + sum(route.n_records for route in routes)
        return Account(
            driving=name, n_records_in=n_in, whole=whole, n_records_kept=n_rows, n_rows_out=n_rows, routes=routes
        )
    came = marked_rows(driving.rows)
    covered = np.zeros(len(came), dtype=np.bool_)
    stray = 0
    for numbers in _row_numbers(kept):
        known = (numbers >= 0) & (numbers < len(came))
        known[known] = came[numbers[known]]
        covered[numbers[known]] = True
        stray += len(numbers) - int(np.count_nonzero(known))
    if stray:
        raise StageError(
            stage.name,
            f"gives {stray:,} rows a _row that {name} does not have, expected its own",
            f"name {' or '.join(others)} first in the text, if its records are told: what is named first drives; "
            f"else carry {name}'s _row"
            if (others := stage.inputs[1:])
            else f"carry {name}'s _row",
        )
    routes = rejected.unless(covered).routes()
    n_in, n_kept = int(np.count_nonzero(came)), int(np.count_nonzero(covered))
    return Account(driving=name, n_records_in=n_in, n_records_kept=n_kept, n_rows_out=n_rows, routes=routes)


def _hold_row_wise(stage: Stage, raw: RawTable, kept: list[Path], rejected: Rejected) -> None:
    """Hold a staging stage to one row per record that was read, each with the number of its own."""
    n_read = raw.n_records - len(rejected.lines)
    seen = np.zeros(max(0, n_read) + 1, dtype=np.bool_)
    n_given = 0
    for numbers in (*_row_numbers(kept), rejected.table["_row"].to_numpy()):
        n_given += len(numbers)
        if len(numbers) and (numbers.min() < 1 or numbers.max() > n_read):
            break
        seen[numbers] = True
    n_distinct = int(np.count_nonzero(seen))
    if n_distinct != n_given:
        raise StageError(
            stage.name, "gives rows that are not each one record under its own _row, expected a row-wise select",
            f"carry the _row of {stage.inputs[0]} as it is; what looks at several records belongs in event_parts",
        )  # fmt: skip


def _row_numbers(files: Iterable[Path]) -> Iterator[npt.NDArray[np.int64]]:
    for file in files:
        for batch in parquet_batches(file, ["_row"]):
            yield batch.column("_row").to_numpy()


def marked_rows(files: Iterable[Path]) -> npt.NDArray[np.bool_]:
    """Return, by record number, whether any row of the files comes from it; a byte per record is all that is held."""
    marks = np.zeros(1, dtype=np.bool_)
    for numbers in _row_numbers(files):
        last = int(numbers.max(initial=0))
        if last >= len(marks):
            marks = np.concatenate([marks, np.zeros(max(last + 1 - len(marks), len(marks)), dtype=np.bool_)])
        marks[numbers] = True
    return marks
