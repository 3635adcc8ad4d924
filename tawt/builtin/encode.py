"""The stages `vocabulary`, `triplets` and `dataset`: events -> mapped shards."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tawt.builtin.events import workspace_manifest
from tawt.contracts.contract import read_contract
from tawt.contracts.dataset import DATASET, FORMAT, SPECIAL_CODES, SPLITS, DatasetManifest, ShardEntry
from tawt.database.connect import connect, parquet_files, wrapped_errors
from tawt.errors import StageError
from tawt.files import write_sealed
from tawt.pipeline.each_shard import Tick, each_shard, forget_shards
from tawt.pipeline.manifest import Account, make_again, stage_files
from tawt.pipeline.result import EngineResult
from tawt.pipeline.sql_stage import Plan
from tawt.project import asset
from tawt.readers import read_parquet
from tawt.seals import sha256_file
from tawt.transforms.crowds import COLUMNS, Crowds
from tawt.transforms.events import ROW_GROUP
from tawt.transforms.shards import NOWHERE, to_dataset, write_arrow
from tawt.transforms.triplets import EVENT_COLUMNS, Coder, to_triplets
from tawt.transforms.vocabulary import Counts, fit_vocabulary

BIRTH = "MEDS_BIRTH"


def run_vocabulary(plan: Plan, folder: Path) -> EngineResult:
    """Fit the vocabulary on train.

    Raises:
        StageError: Train holds no event.
    """
    workspace = plan.workspace
    counts = _count_train(plan)
    codes = workspace.output("events") / "metadata" / "codes.parquet"
    metadata = read_parquet(codes, None, make_again(workspace, "events")).to_pylist()
    dictionary = {row["code"]: (row["description"], row["parent_codes"]) for row in metadata}
    contract = read_contract(asset("schemas/vocabulary.json"))
    crowds = Crowds(fit_vocabulary(counts, workspace.pipeline, contract, dictionary))
    hint = make_again(workspace, "events")
    for file in stage_files(workspace, "events", "data/train"):
        crowds.add(read_parquet(file, COLUMNS, hint, read_dictionary=["code", "value_status"]))
    table = crowds.table()
    pq.write_table(table, folder / "vocabulary.parquet", compression="zstd")
    rows = table.slice(len(SPECIAL_CODES))
    n_rare = len(counts.codes) - len(rows)
    kinds = rows["value_kind"].value_counts().to_pylist()
    facts = {
        "n_data_types": len(rows), "n_rare_codes": n_rare,
        "value_kinds": {entry["values"]: entry["counts"] for entry in sorted(kinds, key=lambda e: e["values"])},
    }  # fmt: skip
    account = Account(
        driving="events", n_records_in=int(counts.n_rows.sum()), n_records_kept=int(counts.n_rows.sum()),
        n_rows_out=len(table),
    )  # fmt: skip
    return EngineResult((account,), facts)


def _count_train(plan: Plan) -> Counts:
    workspace = plan.workspace
    files = stage_files(workspace, "events", "data/train")
    connection = connect(plan.limits, [workspace.root], workspace.spill)
    train, most = f"(select * from {parquet_files(files)})", workspace.pipeline.vocabulary.max_categories
    try:
        with wrapped_errors("vocabulary", workspace=workspace.root, limits=plan.limits):
            if not files:
                raise StageError("vocabulary", "train holds no event, expected at least one", "check `splits:`")
            codes = connection.sql(
                "select code, sum(n)::bigint as n_rows, count(*) as n_subjects, max(unit) as unit, "
                "count(*) filter (has_number) as n_value_subjects from (select code, subject_id, count(*) as n, "
                "max(unit) as unit, count(*) filter (value_status = 'numeric') > 0 as has_number "
                f"from {train} group by code, subject_id) group by code order by code"
            ).to_arrow_table()
            connection.register(
                "_codes", codes.select(["code"]).append_column("i", pa.array(range(len(codes)), pa.int64()))
            )
            numbers = connection.sql(
                f"select i as code, value, n from (select code, numeric_value::double as value, count(*) as n "
                f"from {train} where value_status = 'numeric' group by all) join _codes using (code) order by i, value"
            ).to_arrow_table()
            texts = connection.sql(
                "select i as code, text, n, n_subjects from (select code, text, sum(n)::bigint as n, "
                "count(*) as n_subjects from (select code, text_value as text, subject_id, count(*) as n "
                f"from {train} where value_status = 'category' group by all) group by all) join _codes using (code) "
                # the vocabulary keeps no others, and a chart's free text may have millions
                f"qualify row_number() over (partition by i order by n desc, text) <= {most} order by i, text"
            ).to_arrow_table()
    finally:
        connection.close()
    return Counts(
        codes=codes["code"].to_pylist(), n_rows=codes["n_rows"].to_numpy(), n_subjects=codes["n_subjects"].to_numpy(),
        n_value_subjects=codes["n_value_subjects"].to_numpy(), units=codes["unit"].to_pylist(), numbers=numbers,
        texts=texts,
    )  # fmt: skip


def run_triplets(plan: Plan, folder: Path, tick: Tick) -> EngineResult:
    """Encode every shard; shards that a killed run finished in `folder` are kept."""
    workspace = plan.workspace
    fitted = workspace.output("vocabulary") / "vocabulary.parquet"
    coder = Coder.of(read_parquet(fitted, None, make_again(workspace, "vocabulary")))
    contract = read_contract(asset("schemas/triplets.json"))

    def one(split: str, name: str, path: Path) -> dict[str, Any]:
        events = read_parquet(
            workspace.output("events") / "data" / split / f"{name}.parquet", EVENT_COLUMNS,
            make_again(workspace, "events"), read_dictionary=["code", "text_value", "value_status"],
        )  # fmt: skip
        table, counts = to_triplets(events, coder, workspace.pipeline, contract)
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(
            table,
            path,
            compression="zstd",
            compression_level=1,
            row_group_size=ROW_GROUP,
            use_dictionary=["subject_id", "data_type", "value", "value_token", "value_status"],
        )
        return {
            "n_in": len(events), "n_out": len(table), "n_unknown_code": counts.n_unknown_code,
            "n_without_statistics": counts.n_without_statistics, "n_other": counts.n_other,
            "n_not_measured": counts.n_not_measured,
        }  # fmt: skip

    results = _each_shard(plan, "events", "data/", folder, (".parquet",), one, tick)
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
    return EngineResult((account,), facts)


def run_dataset(plan: Plan, folder: Path, tick: Tick) -> EngineResult:
    """Lay every shard out for memory mapping, with its index and the dataset's own manifest."""
    workspace, pipeline = plan.workspace, plan.workspace.pipeline
    contract = read_contract(asset("schemas/dataset.json"))
    index_contract = read_contract(asset("schemas/dataset_index.json"))
    vocabulary_path = workspace.output("vocabulary") / "vocabulary.parquet"
    codes = read_parquet(vocabulary_path, ["code"], make_again(workspace, "vocabulary"))["code"].to_pylist()
    birth = None
    if pipeline.time_origin == "birth":
        birth = codes.index(BIRTH) if BIRTH in codes else NOWHERE
    epoch = datetime.fromisoformat(pipeline.anchor).replace(tzinfo=None)
    anchor = int((epoch - datetime(1970, 1, 1)).total_seconds() * 1_000_000)

    def one(split: str, name: str, path: Path, index_path: Path) -> dict[str, Any]:
        made = workspace.output("triplets") / split / f"{name}.parquet"
        triplets = read_parquet(made, None, make_again(workspace, "triplets"))
        table, index, n_fallback = to_dataset(
            triplets, contract, index_contract, birth, anchor if pipeline.time_origin == "anchor" else None
        )
        write_arrow(table, path)
        write_arrow(index, index_path)
        return {
            "n_rows": len(table), "n_subjects": len(index), "n_fallback": n_fallback,
            "n_static": int(np.sum(index["n_static"].to_numpy())), "sha256": sha256_file(path),
            "index_sha256": sha256_file(index_path),
        }  # fmt: skip

    results = _each_shard(plan, "triplets", "", folder, (".arrow", ".index.arrow"), one, tick)
    shards: dict[str, list[ShardEntry]] = {split: [] for split in SPLITS}
    for (split, name), result in results.items():
        n_bytes = (folder / split / f"{name}.arrow").stat().st_size
        known = {key: result[key] for key in ("n_subjects", "sha256", "index_sha256")}
        shards[split].append(ShardEntry(shard=name, n_triplets=result["n_rows"], n_bytes=n_bytes, **known))
    manifest = DatasetManifest(
        format=FORMAT, contract=contract.digest, vocabulary=sha256_file(vocabulary_path),
        time_origin=pipeline.time_origin, calendar=pipeline.calendar,
        splits={split: tuple(entries) for split, entries in shards.items()},
    )  # fmt: skip
    write_sealed(folder / DATASET, manifest.model_dump(mode="json"))
    n_rows = sum(result["n_rows"] for result in results.values())
    n_in = sum(account.n_rows_out for account in workspace_manifest(plan, "triplets").accounts)
    if n_rows != n_in:
        raise StageError("dataset", f"holds {n_rows:,} rows, expected the {n_in:,} of triplets")
    n_fallback = sum(result["n_fallback"] for result in results.values())
    notes = []
    if n_fallback:
        notes.append(f"{n_fallback:,} subjects have no birth in the record: their time counts from their first event")
    facts = {
        "n_subjects": {split: sum(s.n_subjects for s in shards[split]) for split in SPLITS},
        "n_triplets": {split: sum(s.n_triplets for s in shards[split]) for split in SPLITS},
        "n_static": sum(result["n_static"] for result in results.values()),
    }
    account = Account(driving="triplets", n_records_in=n_in, n_records_kept=n_rows, n_rows_out=n_rows)
    return EngineResult((account,), facts, tuple(notes))


def _each_shard(
    plan: Plan,
    stage: str,
    below: str,
    folder: Path,
    suffixes: tuple[str, ...],
    one: Callable[..., dict[str, Any]],
    tick: Tick,
) -> dict[tuple[str, str], dict[str, Any]]:
    """Run `one(split, shard, *files to write)` for every shard of a stage."""
    todo = {
        f"{split}-{path.stem}": (split, path.stem)
        for split in SPLITS
        for path in stage_files(plan.workspace, stage, f"{below}{split}")
    }
    files = {key: [folder / split / f"{name}{suffix}" for suffix in suffixes] for key, (split, name) in todo.items()}
    done = each_shard(folder, files, lambda key: one(*todo[key], *files[key]), plan.limits.workers, tick)
    forget_shards(folder)
    return {todo[key]: result for key, result in done.items()}
