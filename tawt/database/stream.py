"""Rows of a select as Arrow batches, one after another; what the engine refuses on the way is an error of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from time import monotonic

import duckdb
import pyarrow as pa

_ROWS = 16_384
"""Rows of a batch: of 2 GB of text in one column of a batch the engine makes none."""
_OFTEN = 0.2
"""Seconds between two words of how far a select is."""
_KINDS = {
    name.removesuffix("Exception").lower(): kind
    for name, kind in vars(duckdb).items()
    if isinstance(kind, type) and issubclass(kind, duckdb.Error)
}


def batches(relation: duckdb.DuckDBPyRelation) -> Iterator[pa.RecordBatch]:
    """Yield the rows of a relation in its order, a few thousand at a time, as the engine makes them.

    Raises:
        duckdb.Error: The engine refuses a row.
    """
    reader = relation.to_arrow_reader(_ROWS)
    while (batch := _next(reader)) is not None:
        yield batch


def _next(reader: pa.RecordBatchReader) -> pa.RecordBatch | None:
    try:
        return next(reader, None)
    except OSError as error:  # Arrow knows of no other: `Conversion Error: ...`, which can quote a cell
        kind = str(error).partition(" Error: ")[0].replace(" ", "").lower()
        raise _KINDS.get(kind, duckdb.Error)(str(error)) from None


class Reached:
    """Tells how far a select has come: which record of those that it reads its rows are of.

    Args:
        tell: Hears the number of the record and how many there are, now and then.
        n_records: How many there are.
    """

    def __init__(self, tell: Callable[[int, int], None], n_records: int) -> None:
        self._tell, self._n_records, self._told = tell, n_records, monotonic()

    def passed(self, rows: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Yield rows as they are."""
        for batch in rows:
            if batch.num_rows and monotonic() - self._told > _OFTEN:
                self._told = monotonic()
                self._tell(min(batch["_row"][-1].as_py() or 0, self._n_records), self._n_records)
            yield batch
