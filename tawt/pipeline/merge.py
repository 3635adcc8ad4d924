"""The stage `events`: event parts -> a valid MEDS 0.4 dataset, shard by shard, resumable."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from tawt.contracts.contract import Contract, check_schema, read_contract
from tawt.errors import ContractError, SourceError
from tawt.files import read_json, write_json
from tawt.pipeline.engine import connect, wrapped_errors
from tawt.pipeline.execute import Plan, bind_output
from tawt.pipeline.manifest import Account, Manifest, Route, read_manifest, versions
from tawt.pipeline.result import EngineResult
from tawt.pipeline.stages import Stage, table_ranks
from tawt.pipeline.workspace import Workspace
from tawt.resources import asset
from tawt.transforms.events import SPLITS, ShardResult, SplitOf, merge_shard
from tawt.transforms.subject_hash import SPLIT_SALT
from tawt.transforms.units import PairRules, Units

MEDS_VERSION = "0.4.1"
EXTENSIONS = (
    "unit",
    "raw_value",
    "raw_unit",
    "unit_rule",
    "available_time",
    "value_status",
    "source",
    "table_rank",
    "source_row",
)


def run_events(plan: Plan, stage: Stage, folder: Path, tick: Callable[[int, int], None]) -> EngineResult:
    """Merge every shard and write the MEDS metadata.

    Args:
        plan: What the run shares.
        stage: `events`, with the event parts and code dictionaries as inputs.
        folder: Where to write; shards that a killed run finished here are kept.
        tick: Called with shards done and shards in all.
    """
    workspace = plan.workspace
    families = [name for name in stage.inputs if name.startswith("event_parts.")]
    ranks = table_ranks(workspace.pipeline, families)
    notes: list[str] = []
    given = _given_splits(plan, notes)
    splits = workspace.pipeline.splits
    split_of = SplitOf((splits.train, splits.tuning, splits.held_out), splits.seed, given)
    rules = PairRules.fit(_pair_counts(plan, families, given), Units.of(workspace.pipeline))
    contract = read_contract(asset("schemas/events.json"))
    files = {name: _by_shard(workspace.output(name)) for name in families}
    results: dict[int, dict[str, Any]] = {}

    def one(shard: int) -> None:
        marker = folder / ".done" / f"{shard:05d}.json"
        done = read_json(marker)
        if done is None:
            parts = {name: files[name][shard] for name in families if shard in files[name]}
            out = {split: folder / "data" / split / f"{shard:05d}.parquet" for split in SPLITS}
            result = merge_shard(parts, ranks, rules, split_of, contract, out, workspace.pipeline.duplicates == "drop")
            done = _as_json(result)
            write_json(marker, done)
        results[shard] = done
        tick(len(results), plan.n_shards)

    shards = sorted({shard for by_shard in files.values() for shard in by_shard})
    with ThreadPoolExecutor(max_workers=plan.limits.workers) as pool:
        for future in [pool.submit(one, shard) for shard in shards]:
            future.result()
    ordered = [results[shard] for shard in shards]
    _write_metadata(plan, stage, folder, ordered)
    accounts = tuple(_account(workspace_manifest(plan, name), name, ordered) for name in families)
    _check_files(folder, contract, sum(account.n_rows_out for account in accounts))
    shutil.rmtree(folder / ".done", ignore_errors=True)
    facts = {
        "n_subjects": {split: sum(len(r["subjects"].get(split, [])) for r in ordered) for split in SPLITS},
        "n_rows": {split: sum(r["n_rows"].get(split, 0) for r in ordered) for split in SPLITS},
        "value_status": _summed(ordered, "statuses"),
        "unit_rules": _summed(ordered, "unit_rules"),
    }
    return EngineResult(accounts, facts, tuple(notes))


def workspace_manifest(plan: Plan, name: str) -> Manifest:
    """Return the manifest of an input, which the runner has made sure of."""
    manifest = read_manifest(plan.workspace, name)
    assert manifest is not None, name
    return manifest


def _as_json(result: ShardResult) -> dict[str, Any]:
    return {
        "n_rows": result.n_rows,
        "subjects": {split: ids.tolist() for split, ids in result.subjects.items()},
        "duplicates": result.duplicates,
        "unit_rules": result.unit_rules,
        "statuses": result.statuses,
        "codes": result.codes,
    }


def _summed(results: list[dict[str, Any]], key: str) -> dict[str, int]:
    total: dict[str, int] = {}
    for result in results:
        for name, n in result[key].items():
            total[name] = total.get(name, 0) + n
    return dict(sorted(total.items()))


def _by_shard(folder: Path) -> dict[int, list[Path]]:
    out: dict[int, list[Path]] = {}
    for path in sorted(folder.glob("part-*.parquet")):
        if pq.read_metadata(path).num_rows:
            out.setdefault(int(path.name.split("-")[1]), []).append(path)
    return out


def _pair_counts(plan: Plan, families: list[str], given: dict[int, int] | None) -> pa.Table:
    """Count the numbers of every (code, unit), in all and in train."""
    workspace, splits = plan.workspace, plan.workspace.pipeline.splits
    connection = connect(plan.limits, [workspace.root], workspace.aside / "spill")
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
        with wrapped_errors("events"):
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
        raise SourceError(f"splits.file {path.name}", "is not there, expected a Parquet or CSV file of subject splits")
    return path if path.is_file() else None


def _given_splits(plan: Plan, notes: list[str]) -> dict[int, int] | None:
    """Read the split of every subject from the pipeline's file, where it names one and it is there."""
    path = splits_file(plan.workspace)
    if path is None:
        if (name := plan.workspace.pipeline.splits.file) is not None:
            notes.append(f"{name} is absent: subjects are split by hash")
        return None
    table = pq.read_table(path) if path.suffix == ".parquet" else pacsv.read_csv(path)
    missing = [column for column in ("subject_id", "split") if column not in table.column_names]
    if missing:
        raise SourceError(path.name, f"column `{missing[0]}` is missing, expected subject_id and split")
    if table["subject_id"].null_count or table["split"].null_count:
        raise SourceError(path.name, "has empty cells, expected a split for every subject")
    unknown = sorted(set(table["split"].to_pylist()) - set(SPLITS))
    if unknown:
        raise SourceError(path.name, f"has {len(unknown)} other splits, expected only {', '.join(SPLITS)}")
    ids = table["subject_id"].cast(pa.int64()).to_pylist()
    given = dict(zip(ids, (SPLITS.index(split) for split in table["split"].to_pylist()), strict=True))
    if len(given) != len(ids):
        raise SourceError(path.name, f"lists {len(ids) - len(given):,} subjects again, expected each once")
    return given


def _account(part: Manifest, name: str, results: list[dict[str, Any]]) -> Account:
    n_in = sum(account.n_rows_out for account in part.accounts)
    n_duplicates = sum(result["duplicates"].get(name, 0) for result in results)
    routes = (Route(kind="drop", reason="duplicate", n_records=n_duplicates),) if n_duplicates else ()
    kept = n_in - n_duplicates
    return Account(driving=name, n_records_in=n_in, n_records_kept=kept, n_rows_out=kept, routes=routes)


def _write_metadata(plan: Plan, stage: Stage, folder: Path, results: list[dict[str, Any]]) -> None:
    metadata = folder / "metadata"
    metadata.mkdir(parents=True, exist_ok=True)
    pairs = [(i, split) for r in results for split, ids in r["subjects"].items() for i in ids]
    pairs.sort()
    pq.write_table(
        pa.table(
            {
                "subject_id": pa.array([i for i, _ in pairs], pa.int64()),
                "split": pa.array([s for _, s in pairs]),
            },
            schema=pa.schema([pa.field("subject_id", pa.int64(), False), pa.field("split", pa.string(), False)]),
        ),
        metadata / "subject_splits.parquet",
    )
    known = code_dictionary(plan, stage)
    codes = sorted({code for r in results for code in r["codes"]})
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
            "other_extension_columns": list(EXTENSIONS),
        },
    )


def code_dictionary(plan: Plan, stage: Stage) -> dict[str, tuple[str | None, list[str] | None]]:
    """Return code -> description and parents: the source's dictionaries, then what the pipeline says."""
    known: dict[str, tuple[str | None, list[str] | None]] = {}
    for name in stage.inputs:
        if name.startswith("codes."):
            for file in sorted(plan.workspace.output(name).glob("part-*.parquet")):
                table = pq.read_table(file, columns=["code", "description", "parent_codes"], partitioning=None)
                for row in table.to_pylist():
                    known.setdefault(row["code"], (row["description"], row["parent_codes"]))
    for code, data_type in plan.workspace.pipeline.data_types.items():
        if data_type.description is not None:
            known[code] = (data_type.description, known.get(code, (None, None))[1])
    return known


def _check_files(folder: Path, contract: Contract, n_expected: int) -> None:
    """Hold every written shard against the contract and its order: read back, not taken on trust."""
    n_rows = 0
    for path in sorted((folder / "data").rglob("*.parquet")):
        check_schema(contract, pq.read_schema(path), path.name)
        table = pq.read_table(path, columns=["subject_id", "time"])
        subject = table["subject_id"].to_numpy()
        time = table["time"].cast(pa.int64()).fill_null(np.iinfo(np.int64).min).to_numpy()
        later = subject[1:] == subject[:-1]
        if (subject[1:] < subject[:-1]).any() or (time[1:] < time[:-1])[later].any():
            raise ContractError(path.name, "is not sorted by subject and time, expected it to be")
        n_rows += len(table)
    if n_rows != n_expected:
        raise ContractError("events", f"holds {n_rows:,} rows, expected {n_expected:,} from its parts")
