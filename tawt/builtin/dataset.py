"""The stage `dataset`: triplets laid out for memory mapping, shard by shard, resumable."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from tawt.contracts.account import Account
from tawt.contracts.cells import SMALL_CELL
from tawt.contracts.dataset import BIRTH, FORMAT, SPLITS, DatasetManifest, ShardEntry
from tawt.contracts.dataset import DATASET as MANIFEST
from tawt.errors import StageError
from tawt.files import write_sealed
from tawt.pipeline.each_shard import each_shard_of
from tawt.readers import read_parquet
from tawt.seals import sha256_file
from tawt.sources.stage import Bound, BuiltIn, StageResult, Tick
from tawt.transforms.shards import NOWHERE, as_one, to_dataset, write_arrow
from tawt.transforms.some_subjects import MOST_ROWS, by_subjects

_BYTES_OF_ROW = 320
"""What a row takes while it is laid out."""


def run_dataset(bound: Bound, folder: Path, tick: Tick) -> StageResult:
    """Lay every shard out for memory mapping, with its index and the dataset's own manifest."""
    triplets, vocabulary, pipeline = bound.inputs["triplets"], bound.inputs["vocabulary"], bound.pipeline
    contract, index_contract = DATASET.contracts
    fitted = vocabulary.rows[0]
    birth = anchor = None
    if pipeline.time_origin == "birth":
        codes = read_parquet(fitted, ["code"], vocabulary.make_again)["code"].to_pylist()
        birth = codes.index(BIRTH) if BIRTH in codes else NOWHERE
    if pipeline.time_origin == "anchor":
        epoch = datetime.fromisoformat(pipeline.anchor).replace(tzinfo=None)
        anchor = int((epoch - datetime(1970, 1, 1)).total_seconds() * 1_000_000)

    def one(shard: Path, path: Path, index_path: Path) -> dict[str, Any]:
        pieces = []
        for rows in by_subjects(shard, None, hint=triplets.make_again):
            if len(rows) > MOST_ROWS:
                bound.limits.hold_one(_BYTES_OF_ROW * len(rows), bound.stage.name)
            pieces.append(to_dataset(rows, contract, index_contract, birth, anchor))
        table, index, n_fallback = as_one(pieces)
        write_arrow(table, path)
        write_arrow(index, index_path)
        before = table["timestamp"].to_numpy() < 0
        n_early = len(np.unique(table["subject_id"].to_numpy()[before])) if birth is not None else 0
        return {
            "n_early": n_early, "n_rows": len(table), "n_subjects": len(index), "n_fallback": n_fallback,
            "n_static": int(np.sum(index["n_static"].to_numpy())), "sha256": sha256_file(path),
            "index_sha256": sha256_file(index_path),
        }  # fmt: skip

    results = each_shard_of(bound, triplets, folder, (".arrow", ".index.arrow"), one, tick, [birth, anchor])
    shards: dict[str, list[ShardEntry]] = {split: [] for split in SPLITS}
    for (split, name), result in results.items():
        n_bytes = (folder / split / f"{name}.arrow").stat().st_size
        known = {key: result[key] for key in ("n_subjects", "sha256", "index_sha256")}
        shards[split].append(ShardEntry(shard=name, n_triplets=result["n_rows"], n_bytes=n_bytes, **known))
    manifest = DatasetManifest(
        format=FORMAT, contract=contract.digest, vocabulary=sha256_file(fitted),
        time_origin=pipeline.time_origin, calendar=pipeline.calendar,
        splits={split: tuple(entries) for split, entries in shards.items()},
    )  # fmt: skip
    write_sealed(folder / MANIFEST, manifest.model_dump(mode="json"))
    n_rows = sum(result["n_rows"] for result in results.values())
    if n_rows != triplets.n_rows:
        raise StageError("dataset", f"holds {n_rows:,} rows, expected the {triplets.n_rows:,} of triplets")
    notes = []
    if birth == NOWHERE:
        notes.append(f"`time_origin: birth` and train has no {BIRTH}: each subject's time counts from its first event")
    elif n_fallback := sum(result["n_fallback"] for result in results.values()):
        notes.append(f"{n_fallback:,} subjects have no birth in the record: their time counts from their first event")
    if n_early := sum(result["n_early"] for result in results.values()):
        few = f"{n_early:,}" if n_early >= SMALL_CELL else f"fewer than {SMALL_CELL}"
        notes.append(f"{few} subjects have events before their birth: look whether births are read as they are meant")
    facts = {
        "n_subjects": {split: sum(s.n_subjects for s in shards[split]) for split in SPLITS},
        "n_triplets": {split: sum(s.n_triplets for s in shards[split]) for split in SPLITS},
        "n_static": sum(result["n_static"] for result in results.values()),
    }
    return StageResult((Account.of_rows("triplets", n_rows),), facts, tuple(notes))


DATASET = BuiltIn(
    "dataset", ("triplets", "vocabulary"), ("dataset", "dataset_index"), "One row is one triplet, memory-mapped.",
    ("pipeline.time_origin", "pipeline.anchor", "pipeline.calendar"), run_dataset, in_shards=True,
)  # fmt: skip
