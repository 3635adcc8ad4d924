"""Documents -> embeddings: what `tawt embed` writes and `TawtEmbedder` returns."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tawt.arrays import Ints
from tawt.batching.at_times import Asked
from tawt.batching.batch import PackedBatch
from tawt.batching.loader import PackedLoader
from tawt.config.model import Pooling
from tawt.dataset.reader import Split
from tawt.dataset.vocabulary import Vocabulary
from tawt.errors import ConfigError, DatasetError, nearest
from tawt.models.encoder import Encoder
from tawt.runs.load import LoadedEncoder, load_encoder, same_vocabulary
from tawt.training.device import Compute, choose_compute
from tawt.training.watch import not_finite_embedding


@dataclass(frozen=True, eq=False)
class Embedding:
    """How documents become vectors."""

    loaded: LoadedEncoder
    """The pretrained encoder."""
    how: str | None
    """`mean` or `max` of the states of a document's triplets; None = the run's own readout."""
    compute: Compute
    """Device and precision."""

    @property
    def width(self) -> int:
        """Numbers per embedding."""
        return self.loaded.encoder.d_embedding if self.how is None else self.loaded.config.model.d_model

    def loader(self, split: Split, asked: Asked | None = None) -> PackedLoader | None:
        """Return the documents of a split: its subjects as they end, or as they were known at prediction times.

        None where there is no document: no subject has a triplet, or nothing was known of any by then.

        Args:
            split: Whose subjects.
            asked: Prediction times; those of other subjects are passed over.
        """
        if not split.n_triplets or (asked is not None and not np.isin(asked.subject_id, split.subject_ids).any()):
            return None
        try:
            return self.loaded.loader(split, asked)
        except DatasetError:
            if asked is None:
                raise
            return None

    def vectors(
        self, loader: PackedLoader, start: int = 0, stop: int | None = None
    ) -> Iterator[tuple[Ints, NDArray[np.float32]]]:
        """Yield the ends of the documents of each batch of `loader.sequential`, us since 1970-01-01, and their vectors.

        Args:
            loader: Of `loader`.
            start: Number of the first batch.
            stop: Number of the batch before which to end; None = all.

        Raises:
            DatasetError: A data_type in the shard is not in the vocabulary.
            TrainingError: An embedding is not finite.
        """
        encoder = self.loaded.encoder.to(self.compute.device)
        batch: PackedBatch
        for number, batch in enumerate(loader.sequential(start, stop), start):
            with torch.inference_mode(), self.compute.autocast():
                vectors = _pooled(encoder, batch.to(self.compute.device), self.how).float().cpu()
            if not vectors.isfinite().all():
                rows = loader.sequential_source(number)
                raise not_finite_embedding(self.loaded.weights, loader.split.name, number, rows)
            yield batch.end_time.numpy(), vectors.numpy()


def load_embedding(
    run: Path, vocabulary: Vocabulary, workspace: Path, pooling: Pooling | None = None, device: str = "auto"
) -> Embedding:
    """Load a run or a shared model to embed the documents of a workspace with.

    Raises:
        CheckpointError: The run is absent or broken, or has another vocabulary than the workspace.
        ConfigError: The pooling was not trained, or the run's config does not hold.
        DeviceError: The device is not there.
    """
    loaded = load_encoder(run)
    same_vocabulary(str(run), loaded.vocabulary, vocabulary, workspace)
    own, train = loaded.config.model.pooling, loaded.config.train
    if pooling not in (None, own, "mean", "max"):
        raise ConfigError(
            f"--pooling {pooling}", f"the run has `{own}`, expected that, mean or max",
            f"pretrain with `--set model.pooling={pooling}`" if pooling in get_args(Pooling) else
            nearest(str(pooling), [own, "mean", "max"]),
        )  # fmt: skip
    compute = choose_compute(device, train.precision, train.threads)
    if train.threads:
        compute = compute.with_threads(compute.threads, "as the run had")
    return Embedding(loaded, None if pooling == own else pooling, compute)


def _pooled(encoder: Encoder, batch: PackedBatch, how: str | None) -> Tensor:
    """`(d, width)`: the run's own readout, or the mean or maximum of the states of each document's triplets."""
    if how is None:
        return encoder.embed(batch)
    lengths = batch.cu_seqlens.diff().long()
    return torch.segment_reduce(encoder.states(batch).float(), how, lengths=lengths)
