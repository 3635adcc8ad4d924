"""Event parts -> events: units, plausible ranges, duplicates, one total order, one shard at a time.

A shard is the subjects whose hash falls into its bucket; its rows are read from every event part, ordered by
(subject, time, table rank, source row, code, value) and written split by split.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tawt.contracts.contract import Contract
from tawt.contracts.dataset import SPLITS
from tawt.contracts.reasons import HIDDEN
from tawt.contracts.value_status import STATUS_NAMES, ValueStatus
from tawt.readers import parquet_metadata, parquet_schema, read_parquet
from tawt.transforms.columns import looked_up, ranks_of, times_of
from tawt.transforms.number_texts import number_texts
from tawt.transforms.subject_hash import assign_splits
from tawt.transforms.units import Judged, PairRules

ROW_GROUP = 131_072
_DICTIONARIES = [
    "code", "numeric_value", "text_value", "unit", "raw_value", "raw_unit", "unit_rule", "value_status", "source"
]  # fmt: skip
"""Columns with few distinct values; dictionaries of times and row numbers cost a quarter of the writing and make the
files larger."""
RECORD_ID = "record_id"
"""The column of an event part that tells records apart which are otherwise alike; in no events."""
_TEXTS = ["code", "text_value", "unit", "raw_value", "value_status"]


@dataclass(frozen=True)
class ShardResult:
    """What became of one shard."""

    n_rows: dict[str, int]
    """Split -> rows written; a split without subjects has no file."""
    duplicates: dict[str, int]
    """Event part -> rows dropped as equal to an earlier one."""
    unit_rules: dict[str, int]
    """Unit rule -> rows it was applied to."""
    statuses: dict[str, int]
    """value_status -> rows."""
    numbers: list[tuple[int, int, int]]
    """Index of a rule, of a status, and rows with a number that have both."""
    texts: list[tuple[str, int, int, int]]
    """Of each code with categories, how many they are, and how many are numbers by their text: see `number_texts`."""
    codes: list[str]
    """The codes in this shard, sorted."""


class SplitOf:
    """Subjects -> split numbers (0 train, 1 tuning, 2 held_out), by a given list where there is one, else by hash."""

    def __init__(self, shares: tuple[float, float, float], seed: int, given: Mapping[int, int] | None = None) -> None:
        self.shares, self.seed = shares, seed
        self._ids = np.array(sorted(given or {}), dtype=np.int64)
        self._numbers = np.array([(given or {})[i] for i in self._ids.tolist()], dtype=np.int8)

    def __call__(self, subject_id: npt.NDArray[np.int64]) -> npt.NDArray[np.int8]:
        """Return the split number of each subject."""
        hashed = assign_splits(subject_id, self.shares, self.seed)
        if not len(self._ids):
            return hashed
        place = np.clip(np.searchsorted(self._ids, subject_id), 0, len(self._ids) - 1)
        return np.where(self._ids[place] == subject_id, self._numbers[place], hashed).astype(np.int8)


def merge_shard(
    parts: Mapping[str, list[Path]],
    ranks: Mapping[str, int],
    rules: PairRules,
    split_of: SplitOf,
    contract: Contract,
    out: Mapping[str, Path],
    drop_duplicates: bool,
) -> ShardResult:
    """Merge one shard's event parts into sorted events, one file per split.

    Args:
        parts: Event part -> its files of this shard.
        ranks: Event part -> table rank, 0 .. n - 1.
        rules: Units and ranges.
        split_of: Subjects -> split numbers.
        contract: Of events.
        out: Split -> file to write.
        drop_duplicates: Whether a row equal to an earlier one in every column but `source_row` is dropped.
    """
    table = _read(parts, ranks)
    judged = rules.judge(table)
    order, duplicates = _order(table, judged, parts if drop_duplicates else None)
    names = sorted(ranks, key=lambda name: ranks[name])
    events = _as_events(table, judged, names).take(pa.array(order))
    splits = split_of(events["subject_id"].to_numpy())
    n_rows = {}
    for number, split in enumerate(SPLITS):
        chosen = splits == number
        if chosen.any():
            write_events(events.filter(pa.array(chosen)), contract, out[split])
            n_rows[split] = int(np.count_nonzero(chosen))
    statuses = np.bincount(judged.status[order], minlength=len(STATUS_NAMES))
    n_statuses = len(STATUS_NAMES)
    kept = order[judged.came[order]]
    said = pa.array(order[judged.status[order] == ValueStatus.CATEGORY])
    code, text = (table[name].combine_chunks().take(said).dictionary_encode() for name in ("code", "text_value"))
    has_text = text.is_valid()
    pairs = np.bincount(judged.rule[kept] * n_statuses + judged.status[kept])
    return ShardResult(
        n_rows=n_rows, duplicates={names[rank]: n for rank, n in duplicates.items()},
        unit_rules=judged.rule_counts(order), statuses={STATUS_NAMES[i]: int(n) for i, n in enumerate(statuses) if n},
        numbers=[(int(p) // n_statuses, int(p) % n_statuses, int(pairs[p])) for p in np.flatnonzero(pairs)],
        texts=number_texts(code.filter(has_text), text.filter(has_text)),
        codes=sorted(pc.unique(events["code"].cast(pa.string())).to_pylist()),
    )  # fmt: skip


def write_events(table: pa.Table, contract: Contract, path: Path) -> None:
    """Write rows of events with the contract's schema and fixed row groups."""
    path.parent.mkdir(parents=True, exist_ok=True)
    table = table.select(contract.names).cast(contract.arrow_schema())
    pq.write_table(
        table, path, compression="zstd", compression_level=1, row_group_size=ROW_GROUP, use_dictionary=_DICTIONARIES
    )


def _read(parts: Mapping[str, list[Path]], ranks: Mapping[str, int]) -> pa.Table:
    tables = []
    for name, files in parts.items():
        for file in files:
            columns = [one for one in parquet_schema(file).names if one not in (*HIDDEN, "is_static", RECORD_ID)]
            table = read_parquet(file, columns, read_dictionary=_TEXTS)
            rank = pa.array(np.full(len(table), ranks[name], dtype=np.int16))
            tables.append(table.append_column("table_rank", rank))
    return pa.concat_tables(tables).unify_dictionaries().combine_chunks()


def _record_ids(parts: Mapping[str, list[Path]]) -> pa.ChunkedArray:
    """Return what tells records apart, for the rows of `_read`: texts that take long to read and are seldom asked."""
    tables = []
    for file in (file for files in parts.values() for file in files):
        told = RECORD_ID in parquet_schema(file).names
        ids = read_parquet(file, [RECORD_ID])[RECORD_ID] if told else pa.nulls(parquet_metadata(file).num_rows)
        tables.append(pa.table({RECORD_ID: ids.cast(pa.string())}))
    return pa.concat_tables(tables)[RECORD_ID]


def _order(
    table: pa.Table, judged: Judged, parts: Mapping[str, list[Path]] | None
) -> tuple[npt.NDArray[np.int64], dict[int, int]]:
    """Return the rows in their total order, and per table rank how many were dropped as duplicates: none where no
    parts are given, which tell alike records apart."""
    frame = pl.DataFrame(
        {
            "subject_id": table["subject_id"].to_numpy(),
            "time": times_of(table["time"]),
            "table_rank": table["table_rank"].to_numpy(),
            "source_row": table["_row"].to_numpy(),
            "code": ranks_of(table["code"]),
            "value": pl.Series(judged.value).fill_nan(float("-inf")),
            "number": np.where(judged.changed, table["numeric_value"].to_numpy(), 0.0),
            "text": ranks_of(table["text_value"]),
            "raw": ranks_of(table["raw_value"]),
            "unit": ranks_of(table["unit"]),
            "status": judged.status,
            "available_time": times_of(table["available_time"]),
        }
    )
    order = frame.select(pl.arg_sort_by(frame.columns)).to_series()
    if parts is None:
        return order.to_numpy().astype(np.int64), {}
    others = [name for name in frame.columns if name != "source_row"]
    first = frame[order].select(pl.struct(others).is_first_distinct()).to_series()
    if not first.all() and (ids := _record_ids(parts)).null_count < len(ids):
        # few subjects have rows that are alike in all else: of theirs alone is asked whether they are of one record
        told = pc.unique(table["table_rank"].filter(pc.is_valid(ids))).to_pylist()
        suspects = frame[order.filter(~first)].filter(pl.col("table_rank").is_in(told))["subject_id"].unique().to_list()
        of_them = pl.col("subject_id").is_in(suspects) & pl.col("table_rank").is_in(told)
        alike = frame[order].select(of_them).to_series().arg_true()
        rows = order.gather(alike)
        of_rows = pl.Series(RECORD_ID, ids.take(pa.array(rows.to_numpy())).to_pylist(), pl.String)
        kept = frame[rows].with_columns(of_rows).select(pl.struct([*others, RECORD_ID]).is_first_distinct())
        first = first.scatter(alike, kept.to_series())
    dropped = frame["table_rank"].gather(order.filter(~first))
    counts = {int(rank): int(n) for rank, n in dropped.value_counts().iter_rows()}
    return order.filter(first).to_numpy().astype(np.int64), counts


def _as_events(table: pa.Table, judged: Judged, sources: list[str]) -> pa.Table:
    """Lay out the columns of events, texts still as dictionaries.

    `raw_value` and `raw_unit` are filled only where the final columns do not already say the same.
    """
    number = pc.cast(pa.array(table["numeric_value"].to_numpy(), mask=~judged.changed), pa.string())
    unit = looked_up(judged.rule, [rule.unit for rule in judged.rules], judged.usable)
    came_unit = table["unit"].cast(pa.string())
    same = pc.fill_null(pc.equal(came_unit, unit.cast(pa.string())), False)
    return pa.table(
        {
            "subject_id": table["subject_id"],
            "time": table["time"],
            "code": table["code"],
            "numeric_value": pa.array(judged.value, mask=~judged.usable),
            "text_value": table["text_value"],
            "unit": unit,
            "raw_value": pc.coalesce(table["raw_value"].cast(pa.string()), number),
            "raw_unit": pc.if_else(same, pa.scalar(None, pa.string()), came_unit),
            "unit_rule": looked_up(judged.rule, [rule.name for rule in judged.rules], judged.came),
            "available_time": table["available_time"],
            "value_status": looked_up(judged.status.astype(np.int64), list(STATUS_NAMES)),
            "source": looked_up(table["table_rank"].to_numpy().astype(np.int64), list(sources)),
            "table_rank": table["table_rank"],
            "source_row": table["_row"],
        }
    )
