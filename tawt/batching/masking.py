"""Which tokens of a batch are hidden, and the batch as the model may see it.

What is hidden leaves no trace in any input:

- a hidden **value** takes its number, its token (bin or category) and its status along;
- a hidden **data_type** takes along whatever only that data_type can explain: its bin or category, the scale and
  shift of its number (which is rounded to halves, and read with those of [MASK]), its own gap to the previous moment of
  its type, and the gaps of *others* to it. Same-type gaps count over the tokens whose data_type is visible, so a later
  token of the same type counts from the last visible one, as if the hidden one had not been there;
- a hidden **event** is both.

Hidden are single tokens, spans in time and whole variables of a document. Spans and variables cannot be filled in from
the neighbours: what is left is to know the patient.

Whether a token may lose its value follows from its data_type (does it carry values?), never from the
value's status.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tawt.arrays import Bools
from tawt.batching.batch import HIDDEN, MASK
from tawt.batching.host import HostBatch
from tawt.chance import Salt, draw, uniform
from tawt.config.objective import MaskedConfig
from tawt.dataset.vocabulary import Vocabulary

TRAINING, VALIDATION = Salt.TRAINING, Salt.VALIDATION
ROUNDED_STEP, ROUNDED_LIMIT = np.float32(0.5), np.float32(3.0)
"""A visible number under a hidden data_type is rounded to this, and beyond the limit it is the limit."""
_SPAN, _VARIABLE, _TOKEN = 1, 2, 3


@dataclass(frozen=True)
class Masks:
    """What is hidden of each of `n` tokens; a hidden event is in both."""

    data_type: Bools
    """`(n,)`, the data_type is hidden."""
    value: Bools
    """`(n,)`, value, token and status are hidden."""
    variable: Bools
    """`(n,)`, the token's data_type is hidden (or its values are) wherever it occurs in the document."""


def may_lose(vocabulary: Vocabulary) -> NDArray[np.int8]:
    """Return `(v,)`: 0 for special data_types (nothing), 1 for those without values (data_type), 2 for the
    rest (all)."""
    return np.array([{"special": 0, "none": 1}.get(kind, 2) for kind in vocabulary.value_kind], dtype=np.int8)


def draw_masks(batch: HostBatch, config: MaskedConfig, losable: NDArray[np.int8], *salts: int) -> Masks:
    """Choose what to hide: single tokens, spans in time, whole variables.

    Each choice hangs on one number, which only the document (its subject, prediction time and view), the triplet (or
    its data_type) and `salts` decide: a document has the same masks alone and in any batch, and any order of
    simultaneous triplets hides the same. No two triplets share a number, nor do equal ones of one moment. Where choices
    meet, what any of them hides is hidden.

    Args:
        batch: Before hiding.
        config: The shares.
        losable: `(v,)`, see `may_lose`.
        salts: What the masks are for: `TRAINING` or `VALIDATION`, seed, number of the batch.
    """
    may = losable.take(batch.data_type)
    words, losable_type = batch.triplet_words(_TOKEN, *salts), may > 0
    event, data_type, rest = (
        int(share * 2**32) for share in (config.event, config.event + config.data_type, 1 - config.value)
    )
    no_type = (words < data_type) & losable_type
    no_value = ((words < event) & losable_type) | ((words >= rest) & (may > 1))
    variable = np.zeros(batch.n_tokens, dtype=np.bool_)
    if config.spans:
        within = _within_spans(batch, config, salts)
        _add(within & (may > (config.span_hides == "value")), config.span_hides, no_type, no_value)
    if config.variables:
        chosen = uniform(batch.variable_words(_VARIABLE, *salts)) < config.variables
        variable = chosen & (may > (config.variable_hides == "value"))
        _add(variable, config.variable_hides, no_type, no_value)
        if config.variable_hides == "value":
            # else a hidden data_type would be known to be a hidden variable's, or not to be, by its value's absence
            no_value |= no_type
    return Masks(no_type, no_value, variable)


def _add(chosen: Bools, hides: str, no_type: Bools, no_value: Bools) -> None:
    no_value |= chosen
    if hides == "event":
        no_type |= chosen


def _within_spans(batch: HostBatch, config: MaskedConfig, salts: tuple[int, ...]) -> Bools:
    """Return `(n,)`, whether a timed token lies in one of its document's spans.

    A span is a run of moments, not of hours: years without a record, as before a first admission, have no length. It is
    never the whole of them.
    """
    document, moment, n_moments = batch.document, batch.moment, batch.n_moments
    words = batch.words(*salts)
    within = np.zeros(batch.n_tokens, dtype=np.bool_)
    for span in range(config.spans):
        length, place, part = (uniform(draw(words, _SPAN, span, n)) for n in range(3))
        # `part` rounds up as often as the share wants, so that short documents lose as much on average
        n_hidden = np.minimum(np.floor(n_moments * config.span_share * length + part), np.maximum(n_moments - 1, 0))
        start = np.floor(place * (n_moments - n_hidden + 1))
        within |= (moment >= start[document]) & (moment < (start + n_hidden)[document])
    return within & ~batch.is_static


def hide(batch: HostBatch, masks: Masks) -> HostBatch:
    """Return the batch without what is hidden; a pure function of what is left visible."""
    # by index, which is faster than by masks of which few are set
    no_type, no_value = np.flatnonzero(masks.data_type), np.flatnonzero(masks.value)
    data_type, value = batch.data_type.copy(), batch.value.copy()
    token, status = batch.value_token.copy(), batch.value_status.copy()
    data_type[no_type] = MASK
    value[no_type] = _rounded(value[no_type])
    value[no_value] = 0
    token[no_value] = 0
    token[no_type] = 0
    status[no_value] = HIDDEN
    return batch.but(data_type=data_type, value=value, value_token=token, value_status=status)


def _rounded(value: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return numbers on one coarse grid: a number to its last digit, as the grid of quantiles, names its data_type."""
    return np.rint(value.clip(-ROUNDED_LIMIT, ROUNDED_LIMIT) / ROUNDED_STEP) * ROUNDED_STEP + np.float32(0)
