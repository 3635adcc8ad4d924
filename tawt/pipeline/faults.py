"""Cells that kept rows go without: `_faults` of a stage, counted by column and reason beside the ledger.

A stage gives `column:reason` for each cell that it could not use and left out, joined by blanks; null where there is
none. It stands in the stage's own files, so that `tawt check` can count again, and in no relation.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

import pyarrow.compute as pc

from tawt.contracts.account import Fault
from tawt.contracts.reasons import FAULTS
from tawt.errors import StageError
from tawt.readers import parquet_batches, parquet_schema
from tawt.sources.stage import Stage

_EACH = re.compile(r"(?: |^)(.+?:[a-z][a-z0-9_]*)(?= |$)")
"""One of several: a name may hold blanks, what stands behind it does not."""
_ONE = re.compile(r"(?P<column>.+):(?P<reason>[a-z][a-z0-9_]*)")


def count_faults(files: Iterable[Path]) -> Counter[str]:
    """Return how often each `column:reason` stands in a stage's files."""
    combined: Counter[str] = Counter()
    for file in files:
        if FAULTS not in parquet_schema(file).names:
            continue
        for batch in parquet_batches(file, [FAULTS]):
            column = batch.column(FAULTS)
            if column.null_count < len(column):
                counted = pc.value_counts(column.drop_null())
                combined.update({entry["values"]: entry["counts"] for entry in counted.to_pylist()})
    counts: Counter[str] = Counter()
    for text, n in combined.items():
        told = _EACH.findall(text)
        for one in told if told and " ".join(told) == text else [text]:
            counts[one] += n
    return counts


def held_faults(stage: Stage, counts: Mapping[str, int]) -> tuple[Fault, ...]:
    """Return the counts by column and reason, held to names in contracts and to known words: no cell gets into one.

    Raises:
        StageError: Something else stands there.
    """
    found, odd = [], 0
    for text, n in sorted(counts.items()):
        told = _ONE.fullmatch(text)
        if told is None or told["column"] not in stage.cells or told["reason"] not in stage.words:
            odd += n
        else:
            found.append(Fault(column=told["column"], reason=told["reason"], n_cells=n))
    if odd:
        raise StageError(
            stage.name,
            f"gives {odd:,} `{FAULTS}` that are no `<column>:<reason>`, expected a column of its contract or of what "
            "it reads, and a word of tawt's or of `reasons` in its contract, several joined by one blank",
            f"null::varchar as {FAULTS} says of no cell that it was left out",
        )
    return tuple(found)
