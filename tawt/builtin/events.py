"""The stage `events`: event parts -> a valid MEDS 0.4 dataset, shard by shard, resumable."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from tawt.contracts.contract import Contract, check_schema, read_contract
from tawt.contracts.dataset import SPLITS
from tawt.contracts.meds import MEDS_TYPES, MEDS_VERSION
from tawt.database.connect import connect, wrapped_errors
from tawt.errors import ContractError, SourceError, StageError
from tawt.files import write_json
from tawt.pipeline.each_shard import Tick, each_shard, forget_shards
from tawt.pipeline.manifest import Account, Manifest, Route, make_again, read_manifest, stage_files, versions
from tawt.pipeline.result import EngineResult
from tawt.pipeline.sql_stage import Plan, bind_output
from tawt.pipeline.workspace import Workspace
from tawt.project import asset
from tawt.raw.formats import format_of
from tawt.readers import parquet_metadata, parquet_schema, read_parquet, reading
from tawt.room import hold_memory
from tawt.sources.graph import Stage, table_ranks
from tawt.transforms.columns import Int64s, times_of
from tawt.transforms.events import SplitOf, merge_shard
from tawt.transforms.subject_hash import SPLIT_SALT
from tawt.transforms.units import PairRules, Units


def run_events(plan: Plan, stage: Stage, folder: Path, tick: Tick) -> EngineResult:
    """Merge every shard and write the MEDS metadata.

    Args:
        plan: What the run shares.
        stage: `events`, with the event parts and code dictionaries as inputs.
        folder: Where to write; shards that a killed run finished here are kept.
        tick: Hears of every finished shard.

    Raises:
        SourceError: The pipeline's file of splits is absent, unreadable or does not name a split per subject.
        StageError: There is no event part.
        ContractError: A shard read back is not what the contract promises, or rows are missing.
    """
    workspace = plan.workspace
    families = [name for name in stage.inputs if name.startswith("event_parts.")]
    if not families:
        raise StageError(
            "events", "has nothing to merge: each event part is off, or its tables are absent; expected one at least",
            f"write sql/{workspace.pipeline.source}/event_parts/<name>.sql, or take one out of `off:`",
        )  # fmt: skip
    ranks = table_ranks(workspace.pipeline, families)
    notes: list[str] = []
    given = _given_splits(plan, notes)
    splits = workspace.pipeline.splits
    split_of = SplitOf((splits.train, splits.tuning, splits.held_out), splits.seed, given)
    rules = PairRules.fit(_pair_counts(plan, families, given), Units.of(workspace.pipeline, workspace.project))
    contract = read_contract(asset("schemas/events.json"))
    files = {name: _by_shard(stage_files(workspace, name), make_again(workspace, name)) for name in families}
    names = sorted({shard for by_shard in files.values() for shard in by_shard})
    out = {name: {split: folder / "data" / split / f"{name}.parquet" for split in SPLITS} for name in names}

    def one(shard: str) -> dict[str, Any]:
        parts = {name: files[name][shard] for name in families if shard in files[name]}
        drop = workspace.pipeline.duplicates == "drop"
        return asdict(merge_shard(parts, ranks, rules, split_of, contract, out[shard], drop))

    results = each_shard(
        folder, {name: list(out[name].values()) for name in names}, one, plan.limits.workers, tick
    ).values()
    accounts = tuple(_account(workspace_manifest(plan, name), name, results) for name in families)
    subjects = _check_files(folder, contract, sum(account.n_rows_out for account in accounts))
    _write_metadata(plan, stage, folder, subjects, sorted({code for r in results for code in r["codes"]}))
    forget_shards(folder)
    facts = {
        "n_subjects": {split: len(subjects[split]) for split in SPLITS},
        "n_rows": {split: sum(r["n_rows"].get(split, 0) for r in results) for split in SPLITS},
        "value_status": _summed(results, "statuses"),
        "unit_rules": _summed(results, "unit_rules"),
    }
    return EngineResult(accounts, facts, tuple(notes))


def workspace_manifest(plan: Plan, name: str) -> Manifest:
    """Return the manifest of an input, which the runner has made sure of."""
    manifest = read_manifest(plan.workspace, name)
    assert manifest is not None, name
    return manifest


def _summed(results: Iterable[dict[str, Any]], key: str) -> dict[str, int]:
    total: dict[str, int] = {}
    for result in results:
        for name, n in result[key].items():
            total[name] = total.get(name, 0) + n
    return dict(sorted(total.items()))


def _by_shard(files: Iterable[Path], hint: str) -> dict[str, list[Path]]:
    out: dict[str, list[Path]] = {}
    for path in files:
        if parquet_metadata(path, hint).num_rows:
            out.setdefault(path.name.split("-")[1], []).append(path)
    return out


def _pair_counts(plan: Plan, families: list[str], given: dict[int, int] | None) -> pa.Table:
    """Count the numbers of every (code, unit), in all and in train."""
    workspace, splits = plan.workspace, plan.workspace.pipeline.splits
    connection = connect(plan.limits, [workspace.root], workspace.spill)
    try:
        in_train = f"tawt_hash(subject_id, {SPLIT_SALT + splits.seed}) / 4294967296.0 < {splits.train!r}"
        if given is not None:
            table = pa.table(
                {"id": pa.array(list(given), pa.int64()), "number": pa.array(list(given.values()), pa.int8())}
            )
            connection.register("_given", table)
            in_train = f"coalesce((select number = 0 from _given where id = subject_id), {in_train})"
        for name in families:
            bind_output(connection, workspace, name)
        rows = " union all ".join(f"select subject_id, code, unit, numeric_value from {name}" for name in families)
        with wrapped_errors("events", workspace=workspace.root, limits=plan.limits):
            return connection.sql(
                f"select code, unit, count(*) filter ({in_train}) as n_train, count(*) as n from ({rows}) "
                f"where isfinite(numeric_value) group by all order by all"
            ).to_arrow_table()
    finally:
        connection.close()


def splits_file(workspace: Workspace) -> Path | None:
    """Return the file that says which subject is in which split; None = the hash does.

    Raises:
        SourceError: It is named by its absolute path and is not there.
    """
    name = workspace.pipeline.splits.file
    if name is None:
        return None
    path = (workspace.raw_root or Path()) / name
    if not path.is_file() and Path(name).is_absolute():
        raise SourceError(
            f"splits.file {path.name}", "is not there, expected a Parquet or CSV file of subject splits",
            "mend `splits: {file: ...}` of the pipeline",
        )  # fmt: skip
    return path if path.is_file() else None


def _given_splits(plan: Plan, notes: list[str]) -> dict[int, int] | None:
    """Return what the pipeline's file of splits lists, where it names one and it is there."""
    path = splits_file(plan.workspace)
    if path is None:
        if (name := plan.workspace.pipeline.splits.file) is not None:
            notes.append(f"{name} is absent: subjects are split by hash")
        return None
    return _read_splits(path)


def _read_splits(path: Path) -> dict[int, int]:
    """Return the number of the split of every subject that a file lists.

    Raises:
        SourceError: It is unreadable, or does not name one known split for each subject once.
    """
    hint = "write subject_id and split, one of train, tuning and held_out, once for each subject"
    if format_of(path).is_parquet:
        table = read_parquet(path, None, hint, SourceError, path.name)
    else:
        with reading(path, "a CSV file of subject splits", hint, SourceError, path.name):
            table = pacsv.read_csv(path)
    for column in ("subject_id", "split"):
        if (n := table.column_names.count(column)) != 1:
            what = "is missing" if n == 0 else f"is there {n} times"
            raise SourceError(path.name, f"column `{column}` {what}, expected subject_id and split", hint)
    if table["subject_id"].null_count or table["split"].null_count:
        raise SourceError(path.name, "has empty cells, expected a split for every subject", hint)
    # the texts of these errors quote cells
    try:
        named = table["split"].cast(pa.string()).to_pylist()
    except pa.ArrowException as error:
        hold_memory(error, path.name)
        raise SourceError(path.name, f"has splits that are no text, expected only {', '.join(SPLITS)}", hint) from None
    if unknown := set(named) - set(SPLITS):
        raise SourceError(path.name, f"has {len(unknown)} other splits, expected only {', '.join(SPLITS)}", hint)
    try:
        if pa.types.is_temporal(table["subject_id"].type) or pa.types.is_boolean(table["subject_id"].type):
            raise pa.ArrowTypeError
        ids = table["subject_id"].cast(pa.int64()).to_pylist()
    except pa.ArrowException as error:
        hold_memory(error, path.name)
        raise SourceError(path.name, "has a subject_id that is no whole number, expected int64", hint) from None
    given = dict(zip(ids, map(SPLITS.index, named), strict=True))
    if len(given) != len(ids):
        raise SourceError(path.name, f"lists {len(ids) - len(given):,} subjects again, expected each once", hint)
    return given


def _account(part: Manifest, name: str, results: Iterable[dict[str, Any]]) -> Account:
    n_in = sum(account.n_rows_out for account in part.accounts)
    n_duplicates = sum(result["duplicates"].get(name, 0) for result in results)
    routes = (Route(kind="drop", reason="duplicate", n_records=n_duplicates),) if n_duplicates else ()
    kept = n_in - n_duplicates
    return Account(driving=name, n_records_in=n_in, n_records_kept=kept, n_rows_out=kept, routes=routes)


def _write_metadata(plan: Plan, stage: Stage, folder: Path, subjects: dict[str, Int64s], codes: list[str]) -> None:
    contract = read_contract(asset("schemas/events.json"))
    metadata = folder / "metadata"
    metadata.mkdir(parents=True, exist_ok=True)
    ids = np.concatenate([subjects[split] for split in SPLITS])
    split = np.repeat(SPLITS, [len(subjects[split]) for split in SPLITS])
    order = np.argsort(ids)
    pq.write_table(
        pa.table(
            {"subject_id": pa.array(ids[order]), "split": pa.array(split[order], pa.string())},
            schema=pa.schema([pa.field("subject_id", pa.int64(), False), pa.field("split", pa.string(), False)]),
        ),
        metadata / "subject_splits.parquet",
    )
    known = code_dictionary(plan, stage)
    pq.write_table(
        pa.table(
            {
                "code": pa.array(codes, pa.string()),
                "description": pa.array([known.get(code, (None, None))[0] for code in codes], pa.string()),
                "parent_codes": pa.array([known.get(code, (None, None))[1] for code in codes], pa.list_(pa.string())),
            },
            schema=pa.schema(
                [
                    pa.field("code", pa.string(), False),
                    pa.field("description", pa.string()),
                    pa.field("parent_codes", pa.list_(pa.string())),
                ]
            ),
        ),
        metadata / "codes.parquet",
    )
    write_json(
        metadata / "dataset.json",
        {
            "dataset_name": plan.workspace.pipeline.name,
            "dataset_version": "1",
            "etl_name": "tawt",
            "etl_version": versions()["tawt"],
            "meds_version": MEDS_VERSION,
            "other_extension_columns": [name for name in contract.names if name not in MEDS_TYPES],
        },
    )


def code_dictionary(plan: Plan, stage: Stage) -> dict[str, tuple[str | None, list[str] | None]]:
    """Return code -> description and parents: the source's dictionaries, then what the pipeline says."""
    known: dict[str, tuple[str | None, list[str] | None]] = {}
    for name in stage.inputs:
        if name.startswith("codes."):
            for file in stage_files(plan.workspace, name):
                table = read_parquet(file, ["code", "description", "parent_codes"], make_again(plan.workspace, name))
                for row in table.to_pylist():
                    known.setdefault(row["code"], (row["description"], row["parent_codes"]))
    for code, data_type in plan.workspace.pipeline.data_types.items():
        if data_type.description is not None:
            known[code] = (data_type.description, known.get(code, (None, None))[1])
    return known


def _check_files(folder: Path, contract: Contract, n_expected: int) -> dict[str, Int64s]:
    """Hold every written shard against the contract and its order, read back and not taken on trust.

    Returns:
        Split -> its subjects.
    """
    n_rows = 0
    subjects: dict[str, list[Int64s]] = {split: [np.empty(0, np.int64)] for split in SPLITS}
    for split in SPLITS:
        for path in sorted((folder / "data" / split).glob("*.parquet")):
            check_schema(contract, parquet_schema(path), path.name)
            table = read_parquet(path, ["subject_id", "time"])
            subject, time = table["subject_id"].to_numpy(), times_of(table["time"])
            later = subject[1:] == subject[:-1]
            if (subject[1:] < subject[:-1]).any() or (time[1:] < time[:-1])[later].any():
                raise ContractError(path.name, "is not sorted by subject and time, expected it to be")
            subjects[split].append(np.unique(subject))
            n_rows += len(table)
    if n_rows != n_expected:
        raise ContractError("events", f"holds {n_rows:,} rows, expected {n_expected:,} from its parts")
    return {split: np.concatenate(parts) for split, parts in subjects.items()}
