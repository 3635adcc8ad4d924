"""`tawt embed`: a pretrained run -> one embedding per subject, as Parquet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from tawt.batching.batch import PackedBatch
from tawt.batching.loader import PackedLoader
from tawt.config.model import Pooling
from tawt.contracts.dataset import SPLITS
from tawt.dataset.reader import open_dataset
from tawt.errors import ConfigError
from tawt.files import write_parquet
from tawt.models.encoder import Encoder
from tawt.tasks.load import load_encoder, same_vocabulary
from tawt.tasks.runs import find_run
from tawt.training.device import choose_compute
from tawt.training.loop import Report


@dataclass(frozen=True)
class EmbedResult:
    """What `embed` wrote."""

    path: Path
    """The Parquet file."""
    n_subjects: int
    """Rows."""
    d_embedding: int
    """Numbers per embedding."""
    n_cut: int
    """Triplets that lay before the subjects' last windows."""
    weights: Path
    """The weights that were used."""
    reasons: dict[str, str]
    """Why this device, precision and thread count."""


def embed(
    workspace: Path,
    run: str | Path,
    *,
    out: Path | None = None,
    splits: Sequence[str] = SPLITS,
    device: str = "auto",
    pooling: Pooling | None = None,
    dry_run: bool = False,
    report: Report | None = None,
) -> EmbedResult:
    """Embed the last window of every subject.

    The file has a row per subject, sorted by subject_id: `subject_id` int64, `time` timestamp[us] (of the
    last event used), `split` string, `embedding` fixed_size_list<float32>.

    Args:
        workspace: Whose subjects are embedded.
        run: A run folder, the name of one in WORKSPACE/runs, or a folder that `TawtModel.save_pretrained` wrote.
        out: The file; default WORKSPACE/embeddings/NAME OF THE RUN.parquet.
        splits: Which splits.
        device: auto, cpu, cuda or cuda:N.
        pooling: `mean` or `max` instead of the run's own readout.
        dry_run: Only say what would be written.
        report: Called after each batch with `n_done` and `n_subjects`.

    Raises:
        CheckpointError: The run is absent or broken, or has another vocabulary than the workspace.
        ConfigError: The pooling was not trained, or the run's config does not hold.
        DatasetError: The dataset is absent or broken, or lacks a split.
        DeviceError: The device is not there.
    """
    workspace = Path(workspace)
    folder = find_run(workspace, run)
    loaded = load_encoder(folder)
    dataset = open_dataset(workspace)
    same_vocabulary(str(folder), loaded.vocabulary, dataset.vocabulary, workspace)
    encoder, own = loaded.encoder, loaded.config.model.pooling
    if pooling not in (None, own, "mean", "max"):
        raise ConfigError(
            f"--pooling {pooling}", f"the run has `{own}`, expected that, mean or max",
            f"pretrain with `--set model.pooling={pooling}`",
        )  # fmt: skip
    how = None if pooling == own else pooling
    compute = choose_compute(device, loaded.config.train.precision, loaded.config.train.threads)
    path = Path(out) if out is not None else workspace / "embeddings" / f"{folder.name}.parquet"
    chosen = [split for split in map(dataset.split, splits) if split.n_triplets]
    n_subjects = sum(int((split.lengths > 0).sum()) for split in chosen)
    width = encoder.d_embedding if how is None else loaded.config.model.d_model
    max_length = loaded.config.batching.max_length
    if dry_run:
        n_cut = sum(int(np.maximum(split.lengths - max_length, 0).sum()) for split in chosen)
        return EmbedResult(path, n_subjects, width, n_cut, loaded.weights, compute.reasons)
    encoder.to(compute.device)
    ids: list[np.ndarray] = []
    times: list[np.ndarray] = []
    names: list[np.ndarray] = []
    vectors: list[np.ndarray] = []
    n_cut = n_done = 0
    for split in chosen:
        loader = PackedLoader(split, dataset.vocabulary, loaded.config.batching, loaded.config.train.seed)
        batch: PackedBatch
        for batch in loader.sequential():
            with torch.inference_mode(), compute.autocast():
                vectors.append(_pooled(encoder, batch.to(compute.device), how).float().cpu().numpy())
            ids.append(batch.subject_id.numpy())
            times.append(batch.end_time.numpy())
            names.append(np.full(batch.n_documents, split.name, dtype=object))
            n_cut += batch.n_cut
            n_done += batch.n_documents
            if report is not None:
                report({"event": "embed", "n_done": n_done, "n_subjects": n_subjects})
    n = _write(path, ids, times, names, vectors, width)
    return EmbedResult(path, n, width, n_cut, loaded.weights, compute.reasons)


def _pooled(encoder: Encoder, batch: PackedBatch, how: str | None) -> Tensor:
    """`(d, width)`: the run's own readout, or the mean or maximum of the states of each document's triplets."""
    if how is None:
        return encoder.embed(batch)
    lengths = batch.cu_seqlens.diff().long()
    return torch.segment_reduce(encoder.states(batch).float(), how, lengths=lengths)


def _write(
    path: Path,
    ids: list[np.ndarray],
    times: list[np.ndarray],
    names: list[np.ndarray],
    vectors: list[np.ndarray],
    width: int,
) -> int:
    subject = np.concatenate([np.empty(0, np.int64), *ids])
    order = np.argsort(subject, kind="stable")
    matrix = np.concatenate([np.empty((0, width), np.float32), *vectors])[order]
    table = pa.table(
        {
            "subject_id": pa.array(subject[order]),
            "time": pa.array(np.concatenate([np.empty(0, np.int64), *times])[order], pa.timestamp("us")),
            "split": pa.array(np.concatenate([np.empty(0, object), *names])[order], pa.string()),
            "embedding": pa.FixedSizeListArray.from_arrays(pa.array(matrix.reshape(-1)), width),
        }
    )
    write_parquet(path, table)
    return len(table)
