"""The stage `events`: event parts -> a valid MEDS 0.4 dataset, shard by shard, resumable."""

from __future__ import annotations

from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from tawt.builtin.about import Counted, facts_of
from tawt.builtin.meds_metadata import write_metadata
from tawt.builtin.names import hold_codes
from tawt.builtin.splits import given_splits, unnamed_subjects
from tawt.cards.dataset import write_cards
from tawt.config.pipeline import PipelineConfig
from tawt.contracts.account import Account
from tawt.contracts.contract import Contract, check_schema
from tawt.contracts.dataset import SPLITS
from tawt.contracts.layers import layer_of
from tawt.contracts.meds import ABOUT, SYNTHETIC_NAME
from tawt.database.connect import wrapped_errors
from tawt.errors import ContractError, StageError
from tawt.pipeline.each_shard import Earlier, each_shard, forget_shards
from tawt.pipeline.relations import connected
from tawt.readers import parquet_metadata, parquet_schema, read_parquet
from tawt.shell import command
from tawt.sources.stage import Bound, BuiltIn, Input, StageResult, Tick
from tawt.transforms.columns import Int64s, out_of_order, subjects_by_year, times_of
from tawt.transforms.events import SplitOf, merge_shard
from tawt.transforms.losses import counted
from tawt.transforms.shard_result import Sum, in_columns
from tawt.transforms.unit_rules import PairRules
from tawt.transforms.units import Units


def run_events(bound: Bound, folder: Path, tick: Tick) -> StageResult:
    """Merge every shard and write the MEDS metadata.

    Raises:
        SourceError: The pipeline's file of splits is absent, unreadable or does not name a split per subject.
        StageError: There is no event part.
        ContractError: A shard read back is not what the contract promises, or rows are missing.
    """
    pipeline, contract = bound.pipeline, bound.stage.contract
    families = [one for one in bound.inputs.values() if layer_of(one.name).measured]
    if not families:
        raise StageError(
            "events", "has nothing to merge: each event part is off, or its tables are absent; expected one at least",
            f"write sql/{pipeline.source}/event_parts/<name>.sql, or take one out of `off:`",
        )  # fmt: skip
    ranks = _table_ranks(pipeline, [one.name for one in families])
    given, notes = given_splits(bound.settings)
    splits = pipeline.splits
    split_of = SplitOf((splits.train, splits.tuning, splits.held_out), splits.seed, given)
    units, pairs = Units.of(pipeline, bound.settings.project), _pair_counts(bound, families, split_of)
    units.hold(pairs)
    rules = PairRules.fit(pairs, units)
    files = {one.name: _by_shard(one) for one in families}
    names = sorted({shard for by_shard in files.values() for shard in by_shard})
    out = {name: {split: folder / "data" / split / f"{name}.parquet" for split in SPLITS} for name in names}

    def merged(shard: str) -> dict[str, Any]:
        parts = {name: by_shard[shard] for name, by_shard in files.items() if shard in by_shard}
        drop = pipeline.duplicates == "drop"
        return vars(merge_shard(parts, ranks, rules, split_of, contract, out[shard], drop, bound.limits.pieces_each))

    written = {name: list(out[name].values()) for name in names}
    hashes = {path: sha256 for one in families for path, sha256 in one.hashes.items()}
    made_of = {
        name: [ranks, [[one, [hashes[path] for path in by.get(name, ())]] for one, by in files.items()]]
        for name in names
    }
    earlier = Earlier(bound, made_of, lambda result: rules.known(map(tuple, result["pairs"])) == result["rules"])
    results = each_shard(folder, written, merged, bound.limits.workers, tick, earlier, bound.share).values()
    counts = Sum(rules)
    for result in results:
        counts.add(result)
    accounts = tuple(
        Account.of_rows(one.name, one.n_rows, counts.duplicates[one.name], "duplicate") for one in families
    )
    subjects, years = _check_files(folder, contract, sum(account.n_rows_out for account in accounts))
    people = dict(sorted(counts.people.items()))
    absent = hold_codes(bound, people) if people else [_no_event(bound, families)]
    write_metadata(bound, folder, subjects, list(people))
    forget_shards(folder)
    facts = {
        "n_subjects": {split: len(subjects[split]) for split in SPLITS},
        "n_rows": {split: counts.n_rows[split] for split in SPLITS},
        "value_status": dict(sorted(counts.statuses.items())),
        "unit_rules": dict(sorted(counts.unit_rules.items())),
        **counted(
            zip(*in_columns(counts.numbers), strict=True),
            ((code, n, written, worded) for code, (n, written, worded) in sorted(counts.texts.items())),
            enumerate(counts.people_of_rules.tolist()),
            rules,
            people,
        ),  # fmt: skip
    }
    about = Counted(facts["n_subjects"], facts["n_rows"], people, years, facts["value_status"])
    write_cards(folder, facts_of(bound.pipeline, bound.settings.dataset, about, contract))
    notes += [*unnamed_subjects(bound.settings, subjects, given), *absent]
    if bound.settings.dataset == SYNTHETIC_NAME:
        notes.append(f"the dataset calls itself `{SYNTHETIC_NAME}`: its records are nobody's; so says events/{ABOUT}")
    return StageResult(accounts, facts, tuple(notes))


def _no_event(bound: Bound, families: list[Input]) -> str:
    where = command("query", "select * from ledger", workspace=bound.root)
    return (
        f"there is no event, for no row came of {', '.join(one.name for one in families)}; where they went: `{where}`"
    )


def _table_ranks(pipeline: PipelineConfig, families: list[str]) -> dict[str, int]:
    """Return the rank of each event part: the pipeline's order first, the rest by name."""
    order = [f"event_parts.{family}" for family in pipeline.order]
    rest = sorted(name for name in families if name not in order)
    return {name: rank for rank, name in enumerate([name for name in order if name in families] + rest)}


def _by_shard(source: Input) -> dict[str, list[Path]]:
    out: dict[str, list[Path]] = {}
    for path in source.rows:
        if parquet_metadata(path, source.make_again).num_rows:
            out.setdefault(path.name.split("-")[1], []).append(path)
    return out


def _pair_counts(bound: Bound, families: list[Input], split_of: SplitOf) -> pa.Table:
    """Count the numbers of every (code, unit), in all and in train."""
    rows = " union all ".join(f"select subject_id, code, unit, numeric_value from {one.name}" for one in families)
    with (
        closing(connected(bound)) as connection,
        wrapped_errors("events", workspace=bound.root, limits=bound.limits),
    ):
        subjects = connection.sql(f"select distinct subject_id from ({rows})").to_arrow_table()["subject_id"]
        in_train = split_of(subjects.to_numpy()) == SPLITS.index("train")
        connection.register("_train", pa.table({"subject_id": subjects.filter(pa.array(in_train))}))
        return connection.sql(
            "select code, unit, count(*) filter (subject_id in (from _train)) as n_train, count(*) as n "
            f"from ({rows}) where isfinite(numeric_value) group by all order by all"
        ).to_arrow_table()


def _check_files(folder: Path, contract: Contract, n_expected: int) -> tuple[dict[str, Int64s], Counter[int]]:
    """Hold every written shard against the contract and its order, read back and not taken on trust.

    Returns:
        Split -> its subjects; calendar year -> how many subjects have an event in it.
    """
    n_rows, years = 0, Counter[int]()
    subjects: dict[str, list[Int64s]] = {split: [np.empty(0, np.int64)] for split in SPLITS}
    for split in SPLITS:
        for path in sorted((folder / "data" / split).glob("*.parquet")):
            check_schema(contract, parquet_schema(path), path.name)
            table = read_parquet(path, ["subject_id", "time"])
            subject, time = table["subject_id"].to_numpy(), times_of(table["time"])
            if out_of_order(subject, time):
                raise ContractError(path.name, "is not sorted by subject and time, expected it to be")
            subjects[split].append(np.unique(subject))
            years.update(subjects_by_year(subject, time))
            n_rows += len(table)
    if n_rows != n_expected:
        raise ContractError("events", f"holds {n_rows:,} rows, expected {n_expected:,} from its parts")
    return {split: np.concatenate(parts) for split, parts in subjects.items()}, years


_KEYS = (
    *(f"sql/shared/seeds/{name}.csv" for name in ("plausible_ranges", "unit_conversions", "unit_spellings")),
    "sql/{source}/codes/", "sql/{source}/event_parts/", "pipeline.off", "ingest.absent_tables", "ingest.n_shards",
    "ingest.dataset",
    *(f"pipeline.{name}" for name in ("name", "source", "splits", "duplicates", "order", "license")),
    "ingest.splits_file",
    *(f"pipeline.data_types.*.{name}" for name in ("concept", "unit", "low", "high", "description")),
)  # fmt: skip
EVENTS = BuiltIn(
    "events", ("codes", "event_parts"), ("events",),
    "One row is one measurement, merged, split and sorted: a MEDS dataset.", _KEYS, run_events, in_shards=True,
)  # fmt: skip
