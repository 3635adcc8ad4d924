"""Event parts -> events: units, plausible ranges, duplicates, one total order, one shard at a time.

A shard is the subjects whose hash falls into its bucket; its rows are read from every event part, ordered by
(subject, time, table rank, source row, code, value) and written split by split.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tawt.contracts.contract import Contract
from tawt.contracts.dataset import SPLITS
from tawt.contracts.reasons import HIDDEN
from tawt.contracts.value_status import STATUS_NAMES, ValueStatus
from tawt.readers import parquet_metadata
from tawt.transforms.columns import array_of, dictionary_of, encoded, looked_up, people_of
from tawt.transforms.number_texts import number_texts
from tawt.transforms.order import equal_to_earlier, in_order
from tawt.transforms.shard_result import ShardResult, Sum, by_pairs
from tawt.transforms.some_subjects import Groups, Piece, pieces_of, read_piece
from tawt.transforms.subject_hash import assign_splits
from tawt.transforms.unit_rules import Judged, PairRules

ROW_GROUP = 131_072
_DICTIONARIES = [
    "code", "numeric_value", "text_value", "unit", "raw_value", "raw_unit", "unit_rule", "value_status", "source"
]  # fmt: skip
"""Columns with few distinct values; dictionaries of times and row numbers cost a quarter of the writing and make the
files larger."""
_STEPS = {"source_row": "DELTA_BINARY_PACKED"}
"""Of one record follows the next: smaller, in less time."""
_STATISTICS = ["subject_id", "time", "code", "numeric_value", "available_time", "table_rank", "source_row"]
"""Columns whose least and greatest value tell a reader what it need not read."""
RECORD_ID = "record_id"
"""The column of an event part that tells records apart which are otherwise alike; in no events."""
_SAID = ("raw_unit", "unit_rule")
"""Columns of an event part whose source converted units before."""
Parts = Mapping[str, list[Path]]
_TEXTS = ["code", "text_value", "unit", "raw_value", "value_status", *_SAID]


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
    parts: Parts,
    ranks: Mapping[str, int],
    rules: PairRules,
    split_of: SplitOf,
    contract: Contract,
    out: Mapping[str, Path],
    drop_duplicates: bool,
    n_pieces: int = 1,
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
        n_pieces: How many pieces of the shard may be in memory at once.
    """
    told = {file: parquet_metadata(file) for files in parts.values() for file in files}
    columns = {file: metadata.schema.names for file, metadata in told.items()}
    pieces = pieces_of({file: metadata.num_rows for file, metadata in told.items()}, n_pieces)
    with ExitStack() as stack:
        files = {split: stack.enter_context(event_writer(out[split])) for split in SPLITS}

        def write(split: str, table: pa.Table) -> None:
            files[split].write(as_promised(table, contract))

        counts = Sum(rules)
        for piece in pieces:
            result = _merge(parts, columns, piece, ranks, rules, split_of, write, drop_duplicates)
            counts.add(vars(result), piece.part_of if piece is not None else None)
    return result if len(pieces) == 1 else counts.result()


def _merge(
    parts: Parts,
    columns: Mapping[Path, list[str]],
    piece: Piece | None,
    ranks: Mapping[str, int],
    rules: PairRules,
    split_of: SplitOf,
    write: Callable[[str, pa.Table], None],
    drop_duplicates: bool,
) -> ShardResult:
    """Merge a piece of a shard, and hand on the rows of each split."""
    table = _read(parts, columns, ranks, piece)
    judged = rules.judge(table)
    order, names = in_order(table, judged), sorted(ranks, key=lambda name: ranks[name])
    duplicates = {}
    if drop_duplicates:
        again = equal_to_earlier(table, judged, order, lambda: _record_ids(columns, piece))
        of_rank = np.bincount(table["table_rank"].to_numpy()[order[again]], minlength=len(names))
        duplicates = {name: n for name, n in zip(names, of_rank.tolist(), strict=True) if n}
        order = np.delete(order, again)
    events, n_rows = _as_events(table, judged, names), {}
    subject = table["subject_id"].to_numpy()[order]
    splits = split_of(subject)
    for number, split in enumerate(SPLITS):
        chosen = order[splits == number]
        for at in range(0, len(chosen), ROW_GROUP):  # a group at a time: texts that are written out are large
            write(split, events.take(pa.array(chosen[at : at + ROW_GROUP])))
        if len(chosen):
            n_rows[split] = len(chosen)
    n_statuses, n_rules = len(STATUS_NAMES), len(judged.looked_up.known)
    statuses = np.bincount(judged.status[order], minlength=n_statuses)
    came = judged.came[order]
    kept = order[came]
    rule = judged.rule[kept]
    numbers = np.bincount(rule * n_statuses + judged.status[kept], minlength=n_rules * n_statuses)
    numbers = numbers.reshape(-1, n_statuses)
    said = pa.array(order[judged.status[order] == ValueStatus.CATEGORY])
    code, text = (array_of(table[name]).take(said).dictionary_encode() for name in ("code", "text_value"))
    has_text = text.is_valid()
    index, codes = dictionary_of(table["code"])
    of_code = people_of(index[order], subject, len(codes))
    of_rule = people_of(rule, subject[came], n_rules)
    return ShardResult(
        n_rows=n_rows, duplicates=duplicates,
        unit_rules=judged.rule_counts(numbers.sum(1)),
        statuses={STATUS_NAMES[i]: int(n) for i, n in enumerate(statuses) if n},
        texts=number_texts(code.filter(has_text), text.filter(has_text)),
        people=dict(sorted((codes[i], n) for i, n in enumerate(of_code.tolist()) if n)),
        **by_pairs(rules, numbers, of_rule),
    )  # fmt: skip


def event_writer(path: Path) -> Groups:
    """Return what writes rows of events, as `as_promised` lays them out, with fixed row groups."""
    return Groups(
        path, ROW_GROUP, compression="zstd", compression_level=1, use_dictionary=_DICTIONARIES, column_encoding=_STEPS,
        write_statistics=_STATISTICS,
    )  # fmt: skip


def as_promised(table: pa.Table, contract: Contract) -> pa.Table:
    """Return rows with the contract's schema."""
    return table.select(contract.names).cast(contract.arrow_schema())


def write_events(table: pa.Table, contract: Contract, path: Path) -> None:
    """Write rows of events that are there at once."""
    with event_writer(path) as file:
        file.write(as_promised(table, contract))


def _read(parts: Parts, columns: Mapping[Path, list[str]], ranks: Mapping[str, int], piece: Piece | None) -> pa.Table:
    tables = []
    for name, file in ((name, file) for name, files in parts.items() for file in files):
        names = [one for one in columns[file] if one not in (*HIDDEN, "is_static", RECORD_ID)]
        table = read_piece(file, names, piece, read_dictionary=[one for one in _TEXTS if one in names])
        # a file that was written anew, less its rows without a time, no longer says what is never null
        schema = pa.schema([*(field.with_nullable(True) for field in table.schema), ("table_rank", pa.int16())])
        rank = pa.array(np.full(len(table), ranks[name], dtype=np.int16))
        tables.append(pa.Table.from_arrays([*table.columns, rank], schema=schema))
    return pa.concat_tables(tables, promote_options="default").unify_dictionaries().combine_chunks()


def _record_ids(columns: Mapping[Path, list[str]], piece: Piece | None) -> pa.ChunkedArray | None:
    """Return what tells records apart, for the rows of `_read`: texts that take long to read and are seldom asked."""
    if not any(RECORD_ID in names for names in columns.values()):
        return None
    tables = []
    for file, names in columns.items():
        told = RECORD_ID in names
        read = read_piece(file, ["subject_id", *([RECORD_ID] if told else [])], piece)
        ids = read[RECORD_ID] if told else pa.nulls(len(read))
        tables.append(pa.table({RECORD_ID: ids.cast(pa.string())}))
    return pa.concat_tables(tables)[RECORD_ID]


def _as_events(table: pa.Table, judged: Judged, sources: list[str]) -> pa.Table:
    """Lay out the columns of events, texts still as dictionaries.

    `raw_value` and `raw_unit` are filled only where the final columns do not already say the same.
    """
    number = pc.cast(pa.array(table["numeric_value"].to_numpy(), mask=~judged.changed), pa.string())
    unit = judged.looked_up.unit.take(pa.array(judged.rule, mask=~judged.usable))
    rule = judged.looked_up.name.take(pa.array(judged.rule, mask=~judged.came))
    came_in = encoded(table["unit"])
    stays = pa.array(judged.usable & judged.looked_up.in_its_unit[judged.rule])
    raw_unit = pa.DictionaryArray.from_arrays(
        pc.if_else(stays, pa.scalar(None, came_in.indices.type), came_in.indices), came_in.dictionary
    )
    return pa.table(
        {
            "subject_id": table["subject_id"],
            "time": table["time"],
            "code": table["code"],
            "numeric_value": pa.array(judged.value, mask=~judged.usable),
            "text_value": table["text_value"],
            "unit": unit,
            "raw_value": pc.coalesce(table["raw_value"].cast(pa.string()), number),
            "raw_unit": _or_said(raw_unit, table, "raw_unit"),
            "unit_rule": _or_said(rule, table, "unit_rule"),
            "available_time": table["available_time"],
            "value_status": looked_up(judged.status.astype(np.int64), list(STATUS_NAMES)),
            "source": looked_up(table["table_rank"].to_numpy().astype(np.int64), list(sources)),
            "table_rank": table["table_rank"],
            "source_row": table["_row"],
        }
    )


def _or_said(found: pa.Array, table: pa.Table, column: str) -> pa.Array | pa.ChunkedArray:
    """Return what was found of units, and where that is nothing, what the source says of what it did itself."""
    if column not in table.column_names:
        return found
    return pc.coalesce(found.cast(pa.string()), table[column].cast(pa.string()))
