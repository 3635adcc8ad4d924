"""Which tokens of a batch are hidden, and the batch as the model may see it.

What is hidden leaves no trace in any input:

- a hidden **value** takes its number, its token (bin or category) and its status along;
- a hidden **data_type** takes along whatever only that data_type can explain: the scale and shift of its
  number (the number is read with those of [MASK]), its bin or category, its own gap to the previous event
  of its type, and the gaps of *others* to it. Same-type gaps are made anew over the tokens whose data_type
  is visible, so a later token of the same type counts from the last visible one, as if the hidden one had
  not been there;
- a hidden **event** is both.

Hidden are single tokens, spans in time and whole variables of a document. Spans and variables cannot be filled in from
the neighbours: what is left is to know the patient.

Whether a token may lose its value follows from its data_type (does it carry values?), never from the
value's status.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tawt.batching.batch import PackedBatch
from tawt.batching.chance import draw
from tawt.batching.edit import bounds_of, documents_of, statics_of
from tawt.batching.gaps import US_PER_HOUR, timed_start, type_gaps
from tawt.config.objective import MaskedConfig
from tawt.contracts.dataset import SPECIAL_CODES
from tawt.contracts.value_status import ValueStatus
from tawt.dataset.vocabulary import Vocabulary

MASK = SPECIAL_CODES.index("[MASK]")
"""The data_type of a token whose own is hidden."""
HIDDEN = len(ValueStatus)
"""The status of a token whose value is hidden; only batches hold it, shards never do."""
TRAINING, VALIDATION = 4, 5
"""First salt of the masks of training and of validation batches."""
_SPAN, _VARIABLE = 1, 2


@dataclass(frozen=True)
class Masks:
    """What is hidden of each of `n` tokens; a hidden event is in both."""

    data_type: Tensor
    """`(n,)` bool, the data_type is hidden."""
    value: Tensor
    """`(n,)` bool, value, token and status are hidden."""
    variable: Tensor
    """`(n,)` bool, the token's data_type is hidden (or its values are) wherever it occurs in the document."""


def may_lose(vocabulary: Vocabulary) -> NDArray[np.int64]:
    """Return `(v,)`: 0 for special data_types (nothing), 1 for those without values (data_type), 2 for the
    rest (all)."""
    return np.array([{"special": 0, "none": 1}.get(kind, 2) for kind in vocabulary.value_kind], dtype=np.int64)


def draw_masks(batch: PackedBatch, config: MaskedConfig, losable: NDArray[np.int64], *salts: int) -> Masks:
    """Choose what to hide: single tokens, spans in time, whole variables.

    Each choice hangs on one number, which only the place in the batch (of the token, or of the document) and `salts`
    decide. Where choices meet, what any of them hides is hidden.

    Args:
        batch: On CPU.
        config: The shares.
        losable: `(v,)`, see `may_lose`.
        salts: What the masks are for: `TRAINING` or `VALIDATION`, seed, number of the batch.
    """
    may = losable[batch.data_type.numpy()]
    # 53 random bits, compared as integers with a share of 2^53
    chance = draw(np.arange(batch.n_tokens), *salts) >> np.uint64(11)
    event, data_type, rest = (
        np.uint64(share * 2.0**53) for share in (config.event, config.event + config.data_type, 1 - config.value)
    )
    no_type = (chance < data_type) & (may > 0)
    no_value = ((chance < event) & (may > 0)) | ((chance >= rest) & (may > 1))
    variable = np.zeros(batch.n_tokens, dtype=np.bool_)
    if config.spans:
        within = _within_spans(batch, config, salts)
        _add(within & (may > (config.span_hides == "value")), config.span_hides, no_type, no_value)
    if config.variables:
        words = draw(np.arange(batch.n_documents), *salts, _VARIABLE)[documents_of(batch)]
        chosen = draw(words + batch.data_type.numpy().astype(np.uint64)) >> np.uint64(11)
        variable = (chosen < np.uint64(config.variables * 2.0**53)) & (may > (config.variable_hides == "value"))
        _add(variable, config.variable_hides, no_type, no_value)
        if config.variable_hides == "value":
            # else a hidden data_type would be known to be a hidden variable's, or not to be, by its value's absence
            no_value |= no_type
    return Masks(torch.from_numpy(no_type), torch.from_numpy(no_value), torch.from_numpy(variable))


def _add(chosen: NDArray[np.bool_], hides: str, no_type: NDArray[np.bool_], no_value: NDArray[np.bool_]) -> None:
    no_value |= chosen
    if hides == "event":
        no_type |= chosen


def _within_spans(batch: PackedBatch, config: MaskedConfig, salts: tuple[int, ...]) -> NDArray[np.bool_]:
    """Return `(n,)`, whether a timed token lies in one of its document's spans.

    A span is a run of moments, not of hours: years without a record, as before a first admission, have no length. It is
    never the whole of them.
    """
    document, hours, timed = documents_of(batch), batch.hours.numpy(), ~batch.is_static.numpy()
    opens = timed.copy()  # whether a token is the first of a moment
    opens[1:] &= ~timed[:-1] | (hours[1:] != hours[:-1]) | (document[1:] != document[:-1])
    n_moments = np.bincount(document, opens, batch.n_documents).astype(np.int64)
    moment = np.cumsum(opens) - 1 - (np.cumsum(n_moments) - n_moments)[document]
    within = np.zeros(batch.n_tokens, dtype=np.bool_)
    for span in range(config.spans):
        length, place, part = (
            (draw(np.arange(batch.n_documents), *salts, _SPAN, span, n) >> np.uint64(11)) * 2.0**-53 for n in range(3)
        )
        # `part` rounds up as often as the share wants, so that short documents lose as much on average
        n_hidden = np.minimum(np.floor(n_moments * config.span_share * length + part), np.maximum(n_moments - 1, 0))
        start = np.floor(place * (n_moments - n_hidden + 1))
        within |= (moment >= start[document]) & (moment < (start + n_hidden)[document])
    return within & timed


def hide(batch: PackedBatch, masks: Masks) -> PackedBatch:
    """Return the batch without what is hidden; a pure function of what is left visible."""
    # by index and in numpy, whose calls are short beside those of torch: a batch is a few thousand numbers
    no_type, no_value = np.flatnonzero(masks.data_type.numpy()), np.flatnonzero(masks.value.numpy())
    data_type, value = batch.data_type.numpy().copy(), batch.value.numpy().copy()
    token, status = batch.value_token.numpy().copy(), batch.value_status.numpy().copy()
    data_type[no_type] = MASK
    value[no_value] = 0
    token[no_value] = 0
    token[no_type] = 0
    status[no_value] = HIDDEN
    type_gap = _visible_type_gaps(batch, data_type)
    type_gap[no_type] = -1
    return replace(
        batch,
        data_type=torch.from_numpy(data_type),
        value=torch.from_numpy(value),
        value_token=torch.from_numpy(token),
        value_status=torch.from_numpy(status),
        type_gap_hours=torch.from_numpy(type_gap),
    )


def _visible_type_gaps(batch: PackedBatch, data_type: NDArray[np.int64]) -> NDArray[np.float32]:
    """Same-type gaps where hidden data_types are [MASK]: those of visible tokens count visible ones alone."""
    bounds = bounds_of(batch)
    us = np.rint(batch.hours.numpy() * US_PER_HOUR)
    return type_gaps(us, data_type, timed_start(bounds[:-1] + statics_of(batch), bounds))
