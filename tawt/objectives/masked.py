"""Masked reconstruction: what was hidden of a triplet, predicted from the rest of the document.

A data_type is predicted wherever it is hidden; the number, bin, category and status only where the data_type is
visible, since without it a number means nothing. A variable that was hidden wherever it occurs is also asked for as a
whole: its mean number, from the document's embedding. Every part is a sum over its own positions, so parts of several
batches add up.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from tawt.batching.example import MaskedTargets
from tawt.batching.host import HostBatch
from tawt.batching.layout import Layout
from tawt.batching.masking import Masks
from tawt.config.objective import MaskedConfig
from tawt.contracts.value_status import HAS_NUMBER_OF, ValueStatus
from tawt.dataset.vocabulary import Vocabulary
from tawt.models.heads import EmbeddingHeads, ReconstructionHeads
from tawt.objectives.baselines import Baselines
from tawt.objectives.losses import NumberLoss, cross_entropy, number_loss, ragged_cross_entropy
from tawt.objectives.targets import as_targets


def make_targets(
    batch: HostBatch, masks: Masks, vocabulary: Vocabulary, config: MaskedConfig, columns: NDArray[np.int64]
) -> MaskedTargets:
    """Read the truth off the batch as it was before hiding.

    Args:
        batch: Before hiding.
        masks: What will be hidden of it.
        vocabulary: Of the dataset.
        config: What numbers are predicted as.
        columns: `(f,)`, data_types whose mean is asked for where the whole variable is hidden.
    """
    data_type, all_status = batch.data_type, batch.value_status
    no_type, no_value = masks.data_type, masks.value
    type_at = np.flatnonzero(no_type)
    at = np.flatnonzero(no_value & ~no_type)
    kind, status, token = (column[at].astype(np.int64) for column in (data_type, all_status, batch.value_token))
    number = HAS_NUMBER_OF[status]
    n_bins = vocabulary.n_bins[kind]
    binned = number & (token > 0) & (token <= n_bins)
    place = token - n_bins - 1
    named = (status == ValueStatus.CATEGORY) & (place >= 0) & (vocabulary.n_categories[kind] > 0)
    # of what is hidden alone: a rank costs more than all else that is read off here
    value_is = as_targets(vocabulary, config, kind[number], batch.value[at[number]], token[number])
    document, mean, variable = _summaries(batch, masks, vocabulary, config, columns)
    arrays = {
        "type_at": type_at, "type_is": data_type[type_at].astype(np.int64),
        "value_at": at[number], "value_is": value_is, "value_type": kind[number],
        "token_at": at[binned], "token_is": token[binned] - 1, "token_type": kind[binned],
        "category_at": at[named], "category_is": place[named], "category_type": kind[named],
        "status_at": at, "status_is": status, "status_type": kind,
        "summary_at": document, "summary_is": mean, "summary_type": variable,
    }  # fmt: skip
    tensors: dict[str, Any] = {name: torch.from_numpy(array) for name, array in arrays.items()}
    return MaskedTargets(**tensors, n_categories=int(vocabulary.n_categories[kind[named]].sum()))


def _summaries(
    batch: HostBatch, masks: Masks, vocabulary: Vocabulary, config: MaskedConfig, columns: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.int64]]:
    """Return document, mean number and data_type of each variable that a document lost, `(s,)` each."""
    if not masks.variable.any():
        return np.zeros(0, np.int64), np.zeros(0, np.float32), np.zeros(0, np.int64)
    data_type, n_types = batch.data_type, len(vocabulary)
    asked = np.zeros(n_types, bool)
    asked[columns] = True
    lost = masks.variable & HAS_NUMBER_OF[batch.value_status] & asked[data_type]
    at = np.flatnonzero(lost)
    numbers = as_targets(vocabulary, config, data_type[at], batch.value[at], batch.value_token[at])
    pair, inverse, n = np.unique(batch.document[at] * n_types + data_type[at], return_inverse=True, return_counts=True)
    mean = np.bincount(inverse, numbers, len(pair)) / n
    return pair // n_types, mean.astype(np.float32), pair % n_types


def token_sums(
    heads: ReconstructionHeads,
    tables: tuple[Tensor, Tensor],
    tokens: Tensor,
    layout: Layout,
    targets: MaskedTargets,
    value_loss: NumberLoss,
) -> dict[str, Tensor]:
    """Return the loss of each part that `heads` has, summed over its positions: float32 scalars.

    Args:
        heads: Of the parts that are on.
        tables: The encoder's embeddings of data_types `(v, d_model)` and of categories `(n_category_rows, d_model)`,
            which classes are compared with.
        tokens: `(t, d_model)`, states of the batch after hiding.
        layout: Where each triplet's token is.
        targets: From the batch before hiding.
        value_loss: `squared` or `huber`.
    """
    table, category_rows = tables

    def states(at: Tensor) -> Tensor:
        # only what was hidden is gathered, and as embeddings are: their gradient sums in a fixed order
        return functional.embedding(at if layout.token_of is None else layout.token_of[at], tokens)

    def typed(at: Tensor, data_type: Tensor) -> Tensor:
        return heads.typed(states(at), data_type, table)

    t, sums = targets, {}
    if "data_type" in heads.parts:
        sums["data_type"] = cross_entropy(heads.types(states(t.type_at), table), t.type_is)
    if "value" in heads.parts:
        guess = heads.numbers(typed(t.value_at, t.value_type), t.value_type)
        sums["value"] = number_loss(guess, t.value_is, value_loss)
    if "token" in heads.parts:
        sums["token"] = cross_entropy(heads.bins(typed(t.token_at, t.token_type), t.token_type), t.token_is)
    if "category" in heads.parts:
        own = heads.categories(typed(t.category_at, t.category_type), t.category_type, category_rows, t.n_categories)
        sums["category"] = ragged_cross_entropy(*own, t.category_is)
    if "status" in heads.parts:
        sums["status"] = cross_entropy(heads.statuses(typed(t.status_at, t.status_type), t.status_type), t.status_is)
    return sums


def summary_sum(heads: EmbeddingHeads, embedding: Tensor, targets: MaskedTargets, value_loss: NumberLoss) -> Tensor:
    """Return the loss of the means of hidden variables, summed, from embeddings `(d, d_embedding)`."""
    assert heads.summary is not None
    guess = heads.summary(embedding)[targets.summary_at, heads.column_of[targets.summary_type]]
    return number_loss(guess, targets.summary_is, value_loss)


def counts(targets: MaskedTargets) -> dict[str, int]:
    """Return the number of positions of each part."""
    return {
        "data_type": len(targets.type_at), "value": len(targets.value_at), "token": len(targets.token_at),
        "category": len(targets.category_at), "status": len(targets.status_at), "summary": len(targets.summary_at),
    }  # fmt: skip


def baseline_sums(
    baselines: Baselines, targets: MaskedTargets, vocabulary: Vocabulary, value_loss: NumberLoss
) -> dict[str, float]:
    """Return what the trivial predictions cost at the same positions, summed as the losses are; on CPU."""
    t, offset = targets, torch.from_numpy(vocabulary.category_offset)
    sums = {
        "data_type": -baselines.log_type[t.type_is].sum(),
        "value": number_loss(baselines.mean[t.value_type], t.value_is, value_loss),
        "token": -baselines.log_bin[t.token_type, t.token_is].sum(),
        "category": -baselines.log_category[offset[t.category_type] + t.category_is].sum(),
        "status": -baselines.log_status[t.status_type, t.status_is].sum(),
        "summary": number_loss(baselines.mean[t.summary_type], t.summary_is, value_loss),
    }
    return {part: total.item() for part, total in sums.items()}
