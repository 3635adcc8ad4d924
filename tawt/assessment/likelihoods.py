"""How likely a decoder finds whole records: what the likelihood attack goes by."""

from __future__ import annotations

import numpy as np
import torch

from tawt.arrays import Floats
from tawt.assessment.spaces import as_split
from tawt.batching.host import HostBatch
from tawt.batching.loader import PackedLoader
from tawt.config.next_event import DRAWN
from tawt.dataset.records import Cohort
from tawt.objectives.next_event import loss_sums
from tawt.objectives.next_targets import make_targets
from tawt.runs.load import LoadedDecoder


def log_likelihoods(decoder: LoadedDecoder, cohort: Cohort, time_origin: str, calendar: str) -> Floats:
    """Return the log likelihood of each record's last window, `(n,)` nats: of when what came, and its values.

    Args:
        decoder: Without a latent: what is likely given that is no likelihood of the record.
        cohort: In its vocabulary.
        time_origin: What its times count from.
        calendar: What its dates mean.
    """
    found = np.zeros(cohort.n_subjects)
    first = 0
    for part in cohort.parts():
        split = as_split(part, time_origin, calendar)
        if split.n_triplets:
            alone = decoder.config.batching.model_copy(update={"tokens_per_batch": 1})  # a record a batch
            loader = PackedLoader(split, decoder.vocabulary, alone, decoder.config.train.seed)
            costs = list(loader.sequential(make=lambda batch, number: _cost(decoder, batch)))
            found[first + loader.in_order.documents.subjects] = -np.array(costs)
        first += part.n_subjects
    return found


@torch.no_grad()
def _cost(decoder: LoadedDecoder, host: HostBatch) -> float:
    """Return what the parts of one record cost, nats."""
    encoder, heads = decoder.encoder, decoder.heads
    targets = make_targets(
        host,
        decoder.vocabulary,
        heads.knots,
        heads.told_types,
        how=heads.how,
    )
    tokens = encoder.closed(*encoder.opened(host.tensors())).tokens
    tables = encoder.embedding.data_type.weight, encoder.embedding.value.category_rows
    sums = loss_sums(heads, tables, tokens, targets, DRAWN)
    return float(torch.stack([*sums.values()]).double().sum())


def by_event(likelihood: Floats, cohort: Cohort) -> Floats:
    """Return log likelihoods by event: long records are less likely as a whole, whoever they are."""
    lengths = np.concatenate([part.lengths for part in cohort.parts()])
    return likelihood / np.maximum(lengths, 1)
