"""`tawt embed`: a pretrained run -> one embedding per subject, as Parquet."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from tawt.batching.batch import PackedBatch
from tawt.batching.loader import PackedLoader
from tawt.config.base import one_or_more
from tawt.config.model import Pooling
from tawt.contracts.dataset import SPLITS
from tawt.contracts.embeddings import OF, STALE, about_embeddings
from tawt.contracts.embeddings import SPLITS as SPLITS_READ
from tawt.dataset.reader import fingerprint_of, open_dataset
from tawt.errors import ConfigError, nearest
from tawt.files import alone_at, made_folder, write_parquet
from tawt.models.encoder import Encoder
from tawt.pipeline.stale import hold_fresh
from tawt.places import remove
from tawt.runs.find import find_run
from tawt.runs.load import load_encoder, same_vocabulary
from tawt.seals import sha256_file
from tawt.shell import shell_line
from tawt.training.device import choose_compute
from tawt.training.folder import Report
from tawt.training.memory import explained
from tawt.training.outputs import refuse_outside
from tawt.training.watch import not_finite_embedding


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
    computed: dict[str, str]
    """What it was made on: `device`, `precision` and `threads`."""
    reasons: dict[str, str]
    """Why this device, precision and thread count."""


@dataclass(frozen=True)
class _Part:
    """What is kept of a batch of `d` documents."""

    split: str
    subject_id: Tensor
    end_time: Tensor
    n_cut: int
    vectors: Tensor


_LESS = "use a machine or a device with more memory, or `--device cpu`"


def embed(
    workspace: Path,
    run: str | Path,
    *,
    out: Path | None = None,
    splits: Sequence[str] = SPLITS,
    device: str = "auto",
    pooling: Pooling | None = None,
    stale_ok: bool = False,
    dry_run: bool = False,
    report: Report | None = None,
) -> EmbedResult:
    """Embed the last window of every subject.

    The file has a row per subject, sorted by subject_id: `subject_id` int64, `time` timestamp[us] (of the
    last event used), `split` string, `embedding` fixed_size_list<float32>. Its metadata name the vocabulary, the
    dataset and the weights by their hashes.

    Args:
        workspace: Whose subjects are embedded.
        run: A run folder, the name of one in WORKSPACE/runs, or a folder that `TawtModel.save_pretrained` wrote.
        out: The file; default WORKSPACE/embeddings/NAME OF THE RUN.parquet, an arm's below its sweep's.
        splits: Which splits.
        device: auto, cpu, cuda or cuda:N.
        pooling: `mean` or `max` instead of the run's own readout.
        stale_ok: Embed also a dataset that is older than what it was made from; the file then says so.
        dry_run: Only say what would be written.
        report: Called after each batch with `n_done` and `n_subjects`, and with notes.

    Raises:
        CheckpointError: The run is absent or broken, or has another vocabulary than the workspace.
        ConfigError: The pooling was not trained, the run's config does not hold, or `out` is a folder, another kind of
            file or among a workspace's own.
        DatasetError: The dataset is absent or broken, or lacks a split.
        StaleError: The dataset is older than what it was made from.
        DeviceError: The device is not there.
        TrainingError: An embedding is not finite, or memory ran out.
    """
    workspace = Path(workspace)
    folder = find_run(workspace, run)
    loaded = load_encoder(folder)
    dataset = open_dataset(workspace)
    stale = hold_fresh(workspace, stale_ok, lambda text: report({"event": "note", "text": text}) if report else None)
    if report is not None and loaded.weights.parent != folder:
        text = f"{folder} has no final weights: those of its newest checkpoint are used, {loaded.weights.parent.name}"
        report({"event": "note", "text": text})
    same_vocabulary(str(folder), loaded.vocabulary, dataset.vocabulary, workspace)
    encoder, own = loaded.encoder, loaded.config.model.pooling
    if pooling not in (None, own, "mean", "max"):
        raise ConfigError(
            f"--pooling {pooling}", f"the run has `{own}`, expected that, mean or max",
            f"pretrain with `--set model.pooling={pooling}`" if pooling in get_args(Pooling) else
            nearest(str(pooling), [own, "mean", "max"]),
        )  # fmt: skip
    how = None if pooling == own else pooling
    compute = choose_compute(device, loaded.config.train.precision, loaded.config.train.threads)
    if loaded.config.train.threads:
        compute = compute.with_threads(compute.threads, "as the run had")
    usual = f"{folder.name}.parquet"
    path = Path(out) if out is not None else _usual(workspace, folder)
    if path.is_dir():
        raise ConfigError(
            str(path), "is a folder, expected a file", f"give a file, as `--out {shell_line(str(path / usual))}`"
        )
    refuse_outside(path, workspace, "embeddings")
    if out is not None and os.path.lexists(path) and about_embeddings(path) is None:
        raise ConfigError(
            str(path), "is a file of another kind, expected a new one or embeddings, which are replaced",
            "give another file with `--out FILE`",
        )  # fmt: skip
    if out is not None and path.suffix.lower() not in (".parquet", ".pq"):
        raise ConfigError(
            str(path), "does not end in .parquet, expected a Parquet file",
            f"give one, as `--out {shell_line(str(path.with_suffix('.parquet')))}`",
        )  # fmt: skip
    computed = {name: str(getattr(compute, name)) for name in compute.reasons}
    chosen = [split for split in map(dataset.split, one_or_more(splits)) if split.n_triplets]
    n_subjects = sum(int((split.lengths > 0).sum()) for split in chosen)
    width = encoder.d_embedding if how is None else loaded.config.model.d_model
    max_length = loaded.config.batching.max_length
    if dry_run:
        n_cut = sum(int(np.maximum(split.lengths - max_length, 0).sum()) for split in chosen)
        return EmbedResult(path, n_subjects, width, n_cut, loaded.weights, computed, compute.reasons)
    if workspace / "embeddings" in path.parents and path.parent.is_dir():
        _remove_leftovers(path.parent)
    with made_folder(path.parent), _alone(path), explained(folder, loaded.config, device, _LESS):
        encoder.to(compute.device)
        found: list[_Part] = []
        batch: PackedBatch
        for split in chosen:
            loader = PackedLoader(split, dataset.vocabulary, loaded.config.batching, loaded.config.train.seed)
            for number, batch in enumerate(loader.sequential()):
                with torch.inference_mode(), compute.autocast():
                    vectors = _pooled(encoder, batch.to(compute.device), how).float().cpu()
                if not vectors.isfinite().all():
                    raise not_finite_embedding(loaded.weights, split.name, number, loader.sequential_source(number))
                found.append(_Part(split.name, batch.subject_id, batch.end_time, batch.n_cut, vectors))
                if report is not None:
                    done = sum(len(part.vectors) for part in found)
                    report({"event": "embed", "n_done": done, "n_subjects": n_subjects})
        for split in chosen:
            split.hold()
        if dataset.has_changed() and report is not None:
            report({"event": "note", "text": f"{dataset.folder} has changed: what was read is embedded"})
        made_of = (dataset.vocabulary.sha256, fingerprint_of(chosen), sha256_file(loaded.weights))
        read = {SPLITS_READ: ",".join(split.name for split in chosen)}
        about = dict(zip(OF, made_of, strict=True)) | read | ({STALE: stale} if stale is not None else {})
        table = _table(found, width, about)
        write_parquet(path, table)
    n_cut = sum(part.n_cut for part in found)
    return EmbedResult(path, len(table), width, n_cut, loaded.weights, computed, compute.reasons)


def _usual(workspace: Path, run: Path) -> Path:
    """Where a run's embeddings go: below `embeddings/` as the run lies below `runs/`, as arms of sweeps share names."""
    runs = (workspace / "runs").resolve()
    inside = run.resolve().relative_to(runs) if run.resolve().is_relative_to(runs) else Path(run.resolve().name)
    return workspace / "embeddings" / inside.with_name(f"{inside.name}.parquet")


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Keep other commands from writing the same file."""
    in_use = ConfigError(
        str(path), "is being written by another process, expected to write it alone",
        "wait for it to end, or give another file with `--out FILE`",
    )  # fmt: skip
    with alone_at(path, in_use):
        yield


def _remove_leftovers(folder: Path) -> None:
    """Remove what killed processes left beside embeddings that nobody is writing now."""
    for name in {path.stem[1:] for suffix in ("lock", "tmp") for path in folder.glob(f".*.{suffix}")}:
        with suppress(ConfigError), _alone(folder / name):
            remove(folder / f".{name}.tmp")


def _pooled(encoder: Encoder, batch: PackedBatch, how: str | None) -> Tensor:
    """`(d, width)`: the run's own readout, or the mean or maximum of the states of each document's triplets."""
    if how is None:
        return encoder.embed(batch)
    lengths = batch.cu_seqlens.diff().long()
    return torch.segment_reduce(encoder.states(batch).float(), how, lengths=lengths)


def _table(found: Sequence[_Part], width: int, about: dict[str, str]) -> pa.Table:
    """The rows by subject_id, and what they are of."""
    none = np.empty(0, np.int64)
    subject = np.concatenate([none, *(part.subject_id.numpy() for part in found)])
    times = np.concatenate([none, *(part.end_time.numpy() for part in found)])
    names = [part.split for part in found for _ in part.vectors]
    matrix = np.concatenate([np.empty((0, width), np.float32), *(part.vectors.numpy() for part in found)])
    order = np.argsort(subject, kind="stable")
    return pa.table(
        {
            "subject_id": pa.array(subject[order]),
            "time": pa.array(times[order], pa.timestamp("us")),
            "split": pa.array(np.array(names, dtype=object)[order], pa.string()),
            "embedding": pa.FixedSizeListArray.from_arrays(pa.array(matrix[order].reshape(-1)), width),
        },
        metadata=about,
    )
