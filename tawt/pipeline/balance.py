"""Holds what a stage wrote to what it read: every record counted once, nothing null that must not be."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq

from tawt.contracts.contract import Contract
from tawt.errors import ContractError, StageError
from tawt.pipeline.manifest import Account
from tawt.pipeline.quarantine import Rejected
from tawt.pipeline.stages import Stage
from tawt.pipeline.workspace import Workspace


def check_nulls(contract: Contract, files: list[Path], where: str) -> None:
    """Hold `_row`, and the columns that the contract says are never null, to that.

    Raises:
        ContractError: One is null in rows that are kept.
    """
    required = ["_row", *(column.name for column in contract.columns if not column.nullable)]
    nulls = dict.fromkeys(required, 0)
    for file in files:
        metadata = pq.read_metadata(file)
        names = [metadata.schema.column(i).path for i in range(metadata.num_columns)]
        for name in required:
            place = names.index(name)
            for group in range(metadata.num_row_groups):
                statistics = metadata.row_group(group).column(place).statistics
                if statistics is None or not statistics.has_null_count:
                    nulls[name] += pq.read_table(file, columns=[name])[name].null_count
                    break
                nulls[name] += statistics.null_count
    for name, count in nulls.items():
        if count:
            raise ContractError(
                where,
                f"column `{name}` is null in {count:,} kept rows, expected none",
                f"give such a record the _reason `quarantine:{name}:missing`"
                if name != "_row"
                else "carry the _row of the first relation",
            )


def balance(workspace: Workspace, stage: Stage, kept: list[Path], rejected: Rejected) -> Account:
    """Count the records of the driving input, each exactly once, from the files alone.

    Raises:
        StageError: A row claims a record that is not there.
    """
    driving = stage.inputs[0]
    n_rows = sum(pq.read_metadata(file).num_rows for file in kept)
    if stage.layer == "staging":
        # row-wise by construction (the parser refuses anything else): every record gave exactly one row
        n_in = n_rows + rejected.table.num_rows + len(rejected.lines)
        routes = rejected.routes()
        return Account(driving=driving, n_records_in=n_in, n_records_kept=n_rows, n_rows_out=n_rows, routes=routes)
    if driving == "events":
        # events number no records of their own: what comes out is all that can be counted
        routes = rejected.routes()
        n_in = n_rows + sum(route.n_records for route in routes)
        return Account(driving=driving, n_records_in=n_in, n_records_kept=n_rows, n_rows_out=n_rows, routes=routes)
    came, covered = marked_rows(workspace.output(driving).glob("**/*.parquet")), marked_rows(kept)
    n = min(len(came), len(covered))
    stray = int(np.count_nonzero(covered)) - int(np.count_nonzero(came[:n] & covered[:n]))
    if stray:
        raise StageError(
            stage.name,
            f"gives {stray:,} rows a _row that {driving} does not have, expected its own",
            f"carry {driving}'s _row",
        )
    routes = rejected.unless(covered).routes()
    n_in, n_kept = int(np.count_nonzero(came)), int(np.count_nonzero(covered))
    return Account(driving=driving, n_records_in=n_in, n_records_kept=n_kept, n_rows_out=n_rows, routes=routes)


def marked_rows(files: Iterable[Path]) -> npt.NDArray[np.bool_]:
    """Return, by record number, whether any row of the files comes from it; a byte per record is all that is held."""
    marks = np.zeros(1, dtype=np.bool_)
    for file in files:
        with pq.ParquetFile(file) as opened:
            for batch in opened.iter_batches(columns=["_row"]):
                numbers = batch.column("_row").to_numpy()
                last = int(numbers.max(initial=0))
                if last >= len(marks):
                    marks = np.concatenate([marks, np.zeros(max(last + 1 - len(marks), len(marks)), dtype=np.bool_)])
                marks[numbers] = True
    return marks
