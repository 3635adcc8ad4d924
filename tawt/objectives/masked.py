"""Masked reconstruction: what was hidden of a triplet, predicted from the rest of the document.

A data_type is predicted wherever it is hidden; the number, category and status only where the data_type is
visible, since without it a number means nothing. Every part is a sum over its own positions, so parts of
several batches add up.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
from torch import Tensor
from torch.nn import functional

from tawt.batching.batch import PackedBatch
from tawt.batching.masking import Masks
from tawt.config.train import MaskedConfig
from tawt.contracts.value_status import HAS_NUMBER, ValueStatus
from tawt.dataset.vocabulary import Vocabulary
from tawt.models.build import PretrainModel
from tawt.models.pooling import segment_max, segment_sum
from tawt.objectives.baselines import Baselines

PARTS = ("data_type", "value", "category", "status")
"""The parts of the loss, in the order they are logged."""


@dataclass(frozen=True)
class Targets:
    """Where each part is predicted, and the truth there."""

    type_at: Tensor
    """`(a,)`, tokens whose data_type is hidden."""
    type_is: Tensor
    """`(a,)`, their data_type."""
    value_at: Tensor
    """`(b,)`, tokens whose number is hidden."""
    value_is: Tensor
    """`(b,)` float32, the clipped number."""
    value_type: Tensor
    """`(b,)`, their data_type."""
    category_at: Tensor
    """`(c,)`, tokens whose category is hidden."""
    category_is: Tensor
    """`(c,)`, its place within the data_type's own categories, 0 = OTHER."""
    category_type: Tensor
    """`(c,)`, their data_type."""
    status_at: Tensor
    """`(e,)`, tokens whose status is hidden."""
    status_is: Tensor
    """`(e,)`, the status."""
    status_type: Tensor
    """`(e,)`, their data_type."""

    def counts(self) -> dict[str, int]:
        """Return the number of positions of each part."""
        at = (self.type_at, self.value_at, self.category_at, self.status_at)
        return {part: len(where) for part, where in zip(PARTS, at, strict=True)}

    def to(self, device: torch.device) -> Targets:
        """Return the targets on a device."""
        return Targets(**{f.name: getattr(self, f.name).to(device) for f in fields(self)})


def make_targets(batch: PackedBatch, masks: Masks, vocabulary: Vocabulary, config: MaskedConfig) -> Targets:
    """Read the truth off the batch as it was before hiding; on CPU."""
    type_at = masks.data_type.nonzero()[:, 0]
    status_at = (masks.value & ~masks.data_type).nonzero()[:, 0]
    kind, status = batch.data_type[status_at], batch.value_status[status_at]
    has_number = torch.isin(status, torch.tensor(HAS_NUMBER))
    value_at = status_at[has_number]
    place = batch.value_token[status_at] - torch.from_numpy(vocabulary.n_bins)[kind] - 1
    has_own = torch.from_numpy(vocabulary.n_categories)[kind] > 0
    has_category = (status == ValueStatus.CATEGORY) & (place >= 0) & has_own
    return Targets(
        type_at=type_at,
        type_is=batch.data_type[type_at],
        value_at=value_at,
        value_is=batch.value[value_at].clamp(-config.max_value, config.max_value),
        value_type=kind[has_number],
        category_at=status_at[has_category],
        category_is=place[has_category].long(),
        category_type=kind[has_category],
        status_at=status_at,
        status_is=status,
        status_type=kind,
    )


def loss_sums(model: PretrainModel, states: Tensor, targets: Targets) -> dict[str, Tensor]:
    """Return each part's loss summed over its positions, float32 scalars.

    Args:
        model: Its heads and embedding tables are used.
        states: `(n, d_model)`, from the batch after hiding.
        targets: From the batch before hiding.
    """
    heads, embedding = model.heads, model.encoder.embedding
    logits = heads.types(states[targets.type_at], embedding.data_type.weight)
    number = heads.numbers(states[targets.value_at]).float()
    own, position = heads.categories(states[targets.category_at], targets.category_type, embedding.value.category_rows)
    status = heads.statuses(states[targets.status_at], targets.status_type)
    return {
        "data_type": functional.cross_entropy(logits.float(), targets.type_is, reduction="sum"),
        "value": (number - targets.value_is).square().sum(),
        "category": _ragged_cross_entropy(own.float(), position, targets.category_is),
        "status": functional.cross_entropy(status.float(), targets.status_is, reduction="sum"),
    }


def baseline_sums(baselines: Baselines, targets: Targets, vocabulary: Vocabulary) -> dict[str, Tensor]:
    """Return what the trivial predictions cost at the same positions, summed as `loss_sums` does."""
    offset = torch.from_numpy(vocabulary.category_offset).to(targets.category_type.device)
    return {
        "data_type": -baselines.log_type[targets.type_is].sum(),
        "value": (baselines.mean[targets.value_type] - targets.value_is).square().sum(),
        "category": -baselines.log_category[offset[targets.category_type] + targets.category_is].sum(),
        "status": -baselines.log_status[targets.status_type, targets.status_is].sum(),
    }


def weights(config: MaskedConfig) -> dict[str, float]:
    """Return the weight of each part in the loss."""
    return {part: getattr(config, f"{part}_weight") for part in PARTS}


def _ragged_cross_entropy(logits: Tensor, position: Tensor, truth: Tensor) -> Tensor:
    """Cross-entropy where each position has its own number of classes, laid end to end; `truth` counts
    within its own."""
    n = len(truth)
    column = logits[:, None]
    top = segment_max(column.detach(), position, n)[:, 0]
    log_total = segment_sum((logits - top[position]).exp(), position, n).log() + top
    first = torch.searchsorted(position, torch.arange(n, device=position.device))
    return (log_total - logits[first + truth]).sum()
