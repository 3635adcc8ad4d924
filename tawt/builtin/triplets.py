"""The stage `triplets`: events and the vocabulary -> one triplet per event, shard by shard, resumable."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa

from tawt.contracts.account import Account
from tawt.contracts.dataset import SPLITS
from tawt.errors import StageError
from tawt.pipeline.each_shard import each_shard_of
from tawt.readers import read_parquet
from tawt.sources.stage import Bound, BuiltIn, StageResult, Tick
from tawt.transforms.carry import CARRIED, read_carried
from tawt.transforms.events import ROW_GROUP
from tawt.transforms.some_subjects import MOST_ROWS, Groups, by_subjects
from tawt.transforms.triplets import EVENT_COLUMNS, Coder, to_triplets

_DICTIONARIES = ["subject_id", "data_type", "value_token", "value_status"]
"""Columns with few distinct values; with one of values files are larger, and take a fifth longer to write."""

_BYTES_OF_ROW = 300
"""What a row takes while it is encoded."""


def run_triplets(bound: Bound, folder: Path, tick: Tick) -> StageResult:
    """Encode every shard; shards that a killed run finished in `folder` are kept."""
    events, vocabulary, contract = bound.inputs["events"], bound.inputs["vocabulary"], bound.stage.contract
    coder = Coder.of(read_parquet(vocabulary.rows[0], None, vocabulary.make_again))
    for file in vocabulary.below(suffix=CARRIED):
        coder = coder.carried(read_carried(pa.BufferReader(file.read_bytes())))
    # a panel, and an order by the other clock, hang on all that a subject has
    whole = bool(bound.pipeline.panels) or bound.pipeline.clock != "time"

    def one(shard: Path, path: Path) -> dict[str, Any]:
        counts, n_in, n_out = [], 0, 0
        texts = ["code", "text_value", "value_status"]
        with Groups(
            path, ROW_GROUP, compression="zstd", compression_level=1, use_dictionary=_DICTIONARIES
        ) as file:  # fmt: skip
            for rows in by_subjects(shard, EVENT_COLUMNS, whole, hint=events.make_again, read_dictionary=texts):
                if len(rows) > MOST_ROWS:
                    bound.limits.hold_one(_BYTES_OF_ROW * len(rows), bound.stage.name)
                table, counted = to_triplets(rows, coder, bound.pipeline, contract)
                file.write(table)
                counts.append(counted)
                n_in, n_out = n_in + len(rows), n_out + len(table)
        not_measured: Counter[str] = Counter()
        for counted in counts:
            not_measured.update(counted.n_not_measured)
        return {
            "n_in": n_in, "n_out": n_out, "n_unknown_code": sum(one.n_unknown_code for one in counts),
            "n_without_statistics": sum(one.n_without_statistics for one in counts),
            "n_other": sum(one.n_other for one in counts), "n_not_measured": not_measured,
        }  # fmt: skip

    results = each_shard_of(bound, events, folder, (".parquet",), one, tick, coder.known)
    added: dict[str, int] = {}
    for result in results.values():
        for panel, n in result["n_not_measured"].items():
            added[f"not_measured:{panel}"] = added.get(f"not_measured:{panel}", 0) + n
    n_in = sum(result["n_in"] for result in results.values())
    account = Account(
        driving="events", n_records_in=n_in, n_records_kept=n_in, n_rows_added=added,
        n_rows_out=sum(result["n_out"] for result in results.values()),
    )  # fmt: skip
    if account.n_rows_out != n_in + sum(added.values()):
        raise StageError(
            "triplets", f"gave {account.n_rows_out:,} rows from {n_in:,} events and {sum(added.values()):,} added"
        )
    keys = ("n_unknown_code", "n_without_statistics", "n_other")
    facts = {key: {s: sum(r[key] for (split, _), r in results.items() if split == s) for s in SPLITS} for key in keys}
    return StageResult((account,), facts)


TRIPLETS = BuiltIn(
    "triplets",
    ("events", "vocabulary"),
    ("triplets",),
    "One row is one triplet.",
    ("pipeline.clock", "pipeline.panels"),
    run_triplets,
    in_shards=True,
)
