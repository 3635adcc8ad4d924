"""Whether a small transformer can learn to tell invented records from real ones: by triplets, not by summaries."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from tawt.arrays import Bools, Floats, Ints
from tawt.assessment.spaces import as_split
from tawt.batching.batch import PackedBatch
from tawt.batching.loader import PackedLoader
from tawt.chance import Salt, shuffled
from tawt.config.batching import BatchingConfig
from tawt.config.model import ModelConfig
from tawt.dataset.records import Cohort, Records, joined
from tawt.dataset.vocabulary import Vocabulary
from tawt.fidelity.discriminate import N_FOLDS, folds
from tawt.fidelity.portrait import Some, some_of
from tawt.fidelity.suite import Discriminator
from tawt.models.encoder import Encoder

MOST_RECORDS, MOST_EVENTS = 300, 64
"""Records of each set, and the last events of each: more would take minutes."""
_MODEL = ModelConfig(d_model=32, n_layers=1, n_heads=2, d_ffn=64, dropout=0.0)
_BATCHING = BatchingConfig(tokens_per_batch=256, max_length=MOST_EVENTS, window="last", prefetch=1)
_EPOCHS, _MOST_STEPS, _RATE, _DECAY, _LARGEST = 6, 200, 5e-3, 0.05, 1.0


def transformer(vocabulary: Vocabulary, time_origin: str, calendar: str, seed: int = 0) -> Discriminator:
    """Return what learns to tell records apart by an encoder of tawt's own, mean pooled.

    Args:
        vocabulary: Of all sets.
        time_origin: What their times count from.
        calendar: What their dates mean.
        seed: Of who is drawn, of the weights and of the batches.
    """

    def batches(records: Records, members: Ints) -> Sequence[PackedBatch]:
        own = records.take(members[shuffled(len(members), Salt.TRANSFORMER, seed)])  # both sets are in each batch
        if not len(own.time):
            return ()
        return [*PackedLoader(as_split(own, time_origin, calendar), vocabulary, _BATCHING, seed).sequential()]

    def tell(real: Cohort, other: Cohort) -> tuple[Floats, Floats]:
        sides = [_some(one, seed) for one in (real, other)]
        n, m = (one.n_subjects for one in sides)
        both = replace(joined(sides), subject_id=np.arange(n + m))
        invented, fold = np.arange(n + m) >= n, np.concatenate([folds(n), folds(m)])
        dealt = [batches(both, np.flatnonzero(fold == i)) for i in range(N_FOLDS)]
        scores = np.zeros(n + m)
        with torch.random.fork_rng(devices=[]):
            for i in range(N_FOLDS):
                torch.manual_seed(seed)
                model = _Model(vocabulary)
                _learn(model, [batch for j, of in enumerate(dealt) if j != i for batch in of], invented, seed)
                with torch.inference_mode():
                    for batch in dealt[i]:
                        scores[batch.subject_id.numpy()] = model(batch).numpy()
        return scores[:n], scores[n:]

    return tell


class _Model(nn.Module):
    def __init__(self, vocabulary: Vocabulary) -> None:
        super().__init__()
        self.encoder = Encoder(_MODEL, vocabulary)
        self.logit = nn.Linear(self.encoder.d_embedding, 1)

    def forward(self, batch: PackedBatch) -> Tensor:
        found: Tensor = self.logit(self.encoder.embed(batch))[:, 0]
        return found


def _some(cohort: Cohort, seed: int) -> Records:
    n = cohort.n_subjects
    return joined(Some(cohort, some_of(n, min(n, MOST_RECORDS), seed)).parts())


def _learn(model: _Model, batches: Sequence[PackedBatch], invented: Bools, seed: int) -> None:
    truth = torch.from_numpy(invented.astype(np.float32))
    orders = [shuffled(len(batches), Salt.TRANSFORMER, seed, epoch) for epoch in range(_EPOCHS)]
    steps = np.concatenate(orders)[:_MOST_STEPS]
    optimizer = torch.optim.AdamW(model.parameters(), _RATE, weight_decay=_DECAY)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min(1.0, 10 * (step + 1) / len(steps), 1.1 - step / len(steps))
    )
    model.train()
    for i in steps:
        loss = functional.binary_cross_entropy_with_logits(model(batches[i]), truth[batches[i].subject_id])
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), _LARGEST)
        optimizer.step()
        schedule.step()
    model.eval()
