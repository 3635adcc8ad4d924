"""Invents small datasets in the exact format of `tawt build-vocab`, for tests and benchmarks of the trainer.

Values follow a rhythm in time that differs by data_type, so a model has something to learn.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tawt.contracts.contract import Contract, own_contract
from tawt.files import write_sealed
from tawt.transforms.identity import arranged

SPECIAL = ("[PAD]", "[UNK]", "[MASK]", "[CLS]")
KINDS = ("numeric", "none", "categorical", "numeric", "mixed")
CATEGORIES = ["NEG", "POS", "TRACE"]
EDGES = [-1.2, -0.7, -0.3, 0.0, 0.3, 0.7, 1.2]
N_BINS = len(EDGES) + 1
NONE, NUMERIC, CATEGORY, ABSENT = 0, 1, 2, 3
US_PER_HOUR = 3_600_000_000

Arrays = dict[str, np.ndarray]


def contract(name: str) -> Contract:
    """Return a contract of the project."""
    return own_contract(name)


def write_vocabulary(workspace: Path, n_types: int = 20, codes: Mapping[int, str] | None = None) -> str:
    """Write a vocabulary of `n_types` invented data_types behind the special ones, some called as `codes` says; return its
    sha256."""
    kinds = ["special"] * len(SPECIAL) + [KINDS[i % len(KINDS)] for i in range(n_types)]
    rows: list[dict[str, Any]] = []
    for i, kind in enumerate(kinds):
        numbers, texts = kind in ("numeric", "mixed"), kind in ("categorical", "mixed")
        rows.append(
            {
                "data_type": i,
                "code": SPECIAL[i] if i < len(SPECIAL) else (codes or {}).get(i, f"LAB//{i:05d}"),
                "value_kind": kind,
                "n_rows": 0 if i < len(SPECIAL) else 1000 // (i + 1),
                "n_subjects": 0 if i < len(SPECIAL) else 500,
                "n_values": 0,
                "unit": "mmol/L" if numbers else None,
                "mean": 5.0 if numbers else None,
                "std": 2.0 if numbers else None,
                "quantiles": [1.0, 1.0, 2.0, 4.0, 5.0, 6.0, 8.0, 9.0, 9.0] if numbers else None,
                "normalization": "zscore" if numbers else "none",
                "center": 5.0 if numbers else 0.0,
                "scale": 2.0 if numbers else 1.0,
                "bin_edges": [5.0 + 2.0 * edge for edge in EDGES] if numbers else [],
                "categories": CATEGORIES if texts else [],
                "n_bins": N_BINS if numbers else 0,
                "description": None,
                "parents": None,
                "n_value_subjects": 500 if numbers else 0,
                "category_subjects": [500] * len(CATEGORIES) if texts else [],
                "bin_subjects": [500] * N_BINS if numbers else [],
                "edge_subjects": [500] * (N_BINS - 1) if numbers else [],
                "center_subjects": 0,
                "most_of_one": 0,
                "share_of_one": 0.0,
                "pull_of_one": 0.0,
            }
        )
    path = workspace / "vocabulary" / "vocabulary.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    schema = contract("vocabulary").arrow_schema().with_metadata({"status_subjects": json.dumps([500] * 10)})
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), path)
    return hashlib.sha256(path.read_bytes()).hexdigest()


def invent(
    rng: np.random.Generator,
    subject_ids: np.ndarray,
    lengths: np.ndarray,
    n_static: np.ndarray,
    n_types: int = 20,
) -> tuple[Arrays, Arrays]:
    """Return the columns and the index of one shard; statics first, then bursts of events, decades after the origin."""
    lengths, n_static = np.asarray(lengths, np.int64), np.minimum(n_static, lengths).astype(np.int32)
    n, ends = int(lengths.sum()), np.cumsum(lengths)
    owner = np.repeat(np.arange(len(lengths)), lengths)
    static = np.arange(n) - (ends - lengths)[owner] < n_static[owner]

    step = np.where(static | (rng.random(n) < 0.6), 0, rng.exponential(4 * US_PER_HOUR, n)).astype(np.int64)
    clock = np.cumsum(step)
    age = rng.integers(20, 90, len(lengths)) * 8766 * US_PER_HOUR + rng.integers(0, US_PER_HOUR, len(lengths))
    before = np.concatenate([[0], clock])[ends - lengths] if n else np.zeros(len(lengths), np.int64)
    timestamp = np.where(static, 0, clock - before[owner] + age[owner])

    family = (rng.zipf(1.4, n) - 1) % n_types
    kind = family % len(KINDS)
    hours = timestamp / US_PER_HOUR
    number = np.sin(hours * 2 * np.pi / (12 + 3 * family) + family) + 0.3 * rng.standard_normal(n)
    numeric = (kind == 0) | (kind == 3) | ((kind == 4) & (rng.random(n) < 0.5))
    status = np.where(numeric, NUMERIC, np.where(kind == 1, NONE, CATEGORY))
    status[(kind != 1) & (rng.random(n) < 0.03)] = ABSENT
    text = rng.integers(0, len(CATEGORIES) + 1, n)  # 0 is OTHER
    bins = np.where((kind == 0) | (kind == 3) | (kind == 4), N_BINS, 0)
    token = np.where(status == CATEGORY, bins + 1 + text, 0)
    token = np.where(status == NUMERIC, 1 + np.searchsorted(EDGES, number, side="right"), token)
    columns: Arrays = {
        "subject_id": np.asarray(subject_ids, np.int64)[owner],
        "timestamp": timestamp,
        "data_type": (family + len(SPECIAL)).astype(np.int32),
        "value": np.where(status == NUMERIC, number, 0).astype(np.float32),
        "value_token": token.astype(np.int32),
        "value_status": status.astype(np.uint8),
        "available_time": np.where(static, 0, timestamp + US_PER_HOUR),
    }
    index: Arrays = {
        "subject_id": np.asarray(subject_ids, np.int64),
        "start": ends - lengths,
        "length": lengths,
        "n_static": n_static,
        "origin": rng.integers(-40 * 8766, 30 * 8766, len(lengths)) * US_PER_HOUR,
    }
    return columns, index


def in_order(columns: Arrays, index: Arrays) -> Arrays:
    """Return the columns as `tawt build-vocab` writes them: with identities, simultaneous rows in their order."""
    length, start, n_static = (np.asarray(index[name]) for name in ("length", "start", "n_static"))
    place = np.arange(length.sum()) - np.repeat(start, length)
    return arranged(columns, place < np.repeat(n_static, length))


def write_shard(folder: Path, name: str, columns: Arrays, index: Arrays, sink: Any = None) -> dict[str, Any]:
    """Write a shard and its index; return its entry in dataset.json."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.arrow"
    if "identity" not in columns:
        columns = in_order(columns, index)
    for target, arrays, relation in (
        (sink or path, columns, "dataset"),
        (folder / f"{name}.index.arrow", index, "dataset_index"),
    ):
        schema = contract(relation).arrow_schema()
        batch = pa.record_batch([pa.array(arrays[field.name], field.type) for field in schema], schema=schema)
        with pa.ipc.new_file(target if target is sink else str(target), schema) as writer:
            writer.write_batch(batch)
    return {
        "shard": name,
        "n_subjects": len(index["subject_id"]),
        "n_triplets": len(columns["subject_id"]),
        "n_bytes": path.stat().st_size,
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest() if sink is None else "0" * 64,
        "index_sha256": hashlib.sha256((folder / f"{name}.index.arrow").read_bytes()).hexdigest(),
    }


def write_manifest(workspace: Path, vocabulary: str, splits: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
    """Write dataset.json."""
    manifest = {
        "format": "tawt.dataset/2",
        "contract": contract("dataset").digest,
        "vocabulary": vocabulary,
        "time_origin": "birth",
        "splits": splits,
    }
    (workspace / "dataset").mkdir(parents=True, exist_ok=True)
    write_sealed(workspace / "dataset" / "dataset.json", manifest)


def write_dataset(
    workspace: Path,
    splits: Mapping[str, Sequence[int]] | None = None,
    *,
    lengths: Sequence[int] | None = None,
    median_length: int = 40,
    sigma: float = 1.0,
    max_static: int = 4,
    n_types: int = 20,
    seed: int = 0,
) -> dict[str, list[tuple[Arrays, Arrays]]]:
    """Write a whole invented workspace: vocabulary, shards and dataset.json.

    Args:
        workspace: Where.
        splits: For each split the number of subjects of each shard; default two shards of train and one of each other.
        lengths: Triplets of each subject through all shards in order; else lognormal.
        median_length: Median triplets of a subject.
        sigma: Spread of the lognormal.
        max_static: A subject has 0 to this many statics.
        n_types: data_types beside the special ones.
        seed: Of everything invented.

    Returns:
        For each split the (columns, index) of each shard, as they were written.
    """
    rng = np.random.default_rng(seed)
    splits = {"train": [30, 20], "tuning": [10], "held_out": [10]} if splits is None else splits
    given = iter(lengths) if lengths is not None else None
    made: dict[str, list[tuple[Arrays, Arrays]]] = {}
    entries: dict[str, list[dict[str, Any]]] = {}
    next_id = 1000
    for split, sizes in splits.items():
        made[split], entries[split] = [], []
        (workspace / "dataset" / split).mkdir(parents=True, exist_ok=True)
        for number, size in enumerate(sizes):
            ids = next_id + np.cumsum(rng.integers(1, 9, size))
            next_id = int(ids[-1]) + 1 if size else next_id
            drawn = np.maximum(1, rng.lognormal(np.log(median_length), sigma, size)).astype(np.int64)
            if given is not None:
                drawn = np.array([next(given) for _ in range(size)], dtype=np.int64)
            columns, index = invent(rng, ids, drawn, rng.integers(0, max_static + 1, size), n_types)
            columns = in_order(columns, index)
            entries[split].append(write_shard(workspace / "dataset" / split, f"{number:05d}", columns, index))
            made[split].append((columns, index))
    write_manifest(workspace, write_vocabulary(workspace, n_types), entries)
    return made
