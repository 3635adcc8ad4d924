"""What a step of pretraining is made of: a batch as the model may see it, and what is to be predicted of it.

Made in the loader's thread by `tawt.objectives.prepare`, a pure function of (batch, seed, number of the batch).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from tawt.batching.batch import SIZE, PackedBatch, to_device

NOT_ASKED = math.inf
"""Stands for a truth that nobody asks for, among numbers: it fills a list up (`tawt.batching.fill`)."""
NO_CLASS = -100
"""The same among classes."""


@dataclass(frozen=True)
class MaskedTargets:
    """Where each part of masked reconstruction is predicted, and the truth there. Positions are triplets of the
    batch."""

    type_at: Tensor
    """`(a,)`, triplets whose data_type is hidden."""
    type_is: Tensor
    """`(a,)`, their data_type."""
    value_at: Tensor
    """`(b,)`, triplets whose number is hidden and whose data_type is visible."""
    value_is: Tensor
    """`(b,)` float32, the number as it is predicted."""
    value_type: Tensor
    """`(b,)`, their data_type."""
    token_at: Tensor
    """`(t,)`, triplets whose quantile bin is hidden and whose data_type is visible."""
    token_is: Tensor
    """`(t,)`, the bin, counted from 0."""
    token_type: Tensor
    """`(t,)`, their data_type."""
    category_at: Tensor
    """`(c,)`, triplets whose category is hidden."""
    category_is: Tensor
    """`(c,)`, its place within the data_type's own categories, 0 = OTHER."""
    category_type: Tensor
    """`(c,)`, their data_type."""
    n_categories: int = field(metadata=SIZE)
    """Categories that those data_types have, summed, so that nobody waits for the device to count them."""
    status_at: Tensor
    """`(e,)`, triplets whose status is hidden."""
    status_is: Tensor
    """`(e,)`, the status."""
    status_type: Tensor
    """`(e,)`, their data_type."""
    summary_at: Tensor
    """`(s,)`, documents that lost a whole variable with numbers; once per document and variable."""
    summary_is: Tensor
    """`(s,)` float32, mean of the variable's numbers in the document, as they are predicted."""
    summary_type: Tensor
    """`(s,)`, the variable's data_type."""


@dataclass(frozen=True)
class ForecastTargets:
    """What comes within the window after the prediction time of `a` documents, for `f` forecast data_types."""

    document: Tensor
    """`(a,)`, documents that were cut."""
    present: Tensor
    """`(a, f)` float32, 1 where the data_type comes in the window."""
    value_row: Tensor
    """`(b,)`, row in `document` of each number that came: the first of its data_type in the window, of
    simultaneous ones their mean."""
    value_column: Tensor
    """`(b,)`, its forecast data_type, counted within the `f`."""
    value_is: Tensor
    """`(b,)` float32, the number as it is predicted."""


@dataclass(frozen=True)
class NextTargets:
    """What follows a token, of the `k` triplets that are asked for. Tokens are the layout's, with [CLS]."""

    step_at: Tensor
    """`(s,)`, tokens of which it is asked what kind of step comes next."""
    step_is: Tensor
    """`(s,)`, that `Step`."""
    step_timed: Tensor
    """`(s,)` bool, whether a timed event came by then."""
    step_least: Tensor
    """`(s,)`, the first data_type that an event of the same moment can have."""
    step_ages: Tensor
    """`(s, r)` float32, hours since each of the decoder's `told_types` came last; -1 where it never did."""
    before: Tensor
    """`(k,)`, the token before each triplet."""
    step: Tensor
    """`(k,)`, the `Step` to it."""
    gap_hours: Tensor
    """`(k,)` float32, hours to it where that is later; else 0."""
    minute: Tensor
    """`(k,)`, minute of the hour of it; 0 of a static."""
    type_is: Tensor
    """`(k,)`, its data_type."""
    type_least: Tensor
    """`(k,)`, the first data_type that it can have, for those of one moment come in their order."""
    type_weight: Tensor
    """`(k,)` float32, what its data_type weighs in the loss."""
    type_ages: Tensor
    """`(k, r)` float32, as `step_ages`, but of when the triplet comes."""
    status_is: Tensor
    """`(k,)`, its status."""
    last: Tensor
    """`(k,)`, token of the triplet of the same data_type before it; 0 where there is none."""
    age_hours: Tensor
    """`(k,)` float32, how long before it that was; -1 where there is none."""
    gap_at: Tensor
    """`(g,)`, rows of `before` with a later event."""
    gap_is: Tensor
    """`(g,)` float32, hours to it."""
    gap_begins: Tensor
    """`(g,)`, minutes of the clock at which they begin."""
    gap_ends: Tensor
    """`(g,)`, and end."""
    gap_marks: Tensor
    """`(g, 60, f)` float32, see `tawt.models.decoder.schedule.Schedule.marks`."""
    gap_came: Tensor
    """`(g, r)` uint8, minute of the hour at which each of the decoder's `told_types` came last; `r` = 0 where none is
    told."""
    gap_ages: Tensor
    """`(g, r)` float32, as `step_ages`."""
    number_at: Tensor
    """`(b,)`, rows of `before` whose triplet has a number."""
    number_low: Tensor
    """`(b,)` float32, share of the data_type's numbers below it."""
    number_high: Tensor
    """`(b,)` float32, share not above it; the same where no others are equal."""
    number_last: Tensor
    """`(b,)` float32, rank of the number of the same data_type before it; -1 where there is none."""
    number_level: Tensor
    """`(b,)` float32, where those of the same data_type before it lie, see `tawt.models.decoder.places.level`."""
    number_others: Tensor
    """`(b, 2, r)` float32, see `tawt.models.decoder.others.Others`; `r` = 0 where nothing is told of others."""
    category_at: Tensor
    """`(c,)`, rows of `before` whose triplet has a category."""
    category_is: Tensor
    """`(c,)`, its place within the data_type's own, 0 = OTHER."""
    later_at: Tensor
    """`(l,)`, tokens of which it is asked when each of some data_types comes next."""
    later_hours: Tensor
    """`(l, q)` float32, see `tawt.models.decoder.later.later_cost`."""
    later_came: Tensor
    """`(l, q)` bool, see the same."""
    n_categories: int = field(metadata=SIZE)
    """See `MaskedTargets`."""


@dataclass(frozen=True)
class LabelTargets:
    """What a task's head is to say of each document; see `tawt.heads.targets`. `k` outputs."""

    truth: Tensor
    """`(d, k)` float32."""
    weight: Tensor
    """`(d, k)` float32, 0 where nothing is known."""
    facts: Tensor
    """`(d, f)` float32, what the head is told beside the embedding."""


@dataclass(frozen=True)
class LatentInputs:
    """What a latent is drawn from."""

    whole: PackedBatch
    """The documents with nothing hidden, laid out for the encoder that reads them."""
    noise: Tensor
    """`(d, n_queries * d_latent)` float32, standard normal."""


@dataclass(frozen=True)
class Example:
    """One packed batch, ready for the model."""

    batch: PackedBatch
    """With everything hidden, cut and augmented already, its layout made."""
    masked: MaskedTargets | None
    """None = the objective is off."""
    forecast: ForecastTargets | None
    """None = the objective is off."""
    next: NextTargets | None
    """None = the objective is off."""
    label: LabelTargets | None
    """None = the run has no task."""
    view_of: Tensor | None
    """`(d,)` int64, the subject that each document is a view of, for the contrastive objective; None = it is off."""
    counts: dict[str, int]
    """Positions of each part that is on (see `tawt.objectives.parts`)."""
    baseline: dict[str, float]
    """What the trivial prediction costs, summed over the positions of each part."""
    number: int
    """Number of the batch in its stream."""
    n_tokens: int
    """Triplets of the batch; without those that fill it up, if it is filled up."""
    latent: LatentInputs | None = None
    """None = there is no latent."""
    pairs: Any = None
    """What documents are paired with, `tawt.modalities.fusion.pairs.Pairs`; None = the objective is off."""

    def to(self, device: torch.device | str, non_blocking: bool = False) -> Example:
        """Return the example on a device."""
        return to_device(self, device, non_blocking)
