"""Augmentations: each a pure function of (batch, amount, salts).

What happens to a document follows from its subject, its prediction time, its triplets and the salts; never from what
else lies in the batch, nor from the order of simultaneous triplets. So packing does not matter, and no state is kept.
A document is never empty, and its prediction time stays.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from tawt.arrays import Bools, HalfWords, Ints
from tawt.batching.host import HostBatch
from tawt.chance import Salt, draw, uniform
from tawt.config.augment import AugmentConfig
from tawt.contracts.dataset import US_PER_HOUR
from tawt.contracts.value_status import ValueStatus
from tawt.dataset.vocabulary import Vocabulary

AUGMENT = Salt.AUGMENT
_VARIABLES, _EVENTS, _SHARE, _CROP, _FRONT, _JITTER, _SCALING, _WARP, _WAVES, _PHASE = range(10)


def _normal(words: HalfWords) -> NDArray[np.float32]:
    """Return standard normal numbers, one per word: the halves of a word are the two uniforms of Box and Muller."""
    radius = ((words >> np.uint32(16)).astype(np.float32) + np.float32(0.5)) * np.float32(2.0**-16)
    angle = (words & np.uint32(0xFFFF)).astype(np.float32) * np.float32(2 * np.pi * 2.0**-16)
    return np.sqrt(-2 * np.log(radius)) * np.cos(angle)


def thinned(batch: HostBatch, config: AugmentConfig, *salts: int) -> HostBatch:
    """Remove what the config says; values and times stay.

    - `crop`: cut off a share of each document's moments at both ends, uniform between 0 and the amount;
    - `variable_dropout`: remove each data_type of each document with the chance, statics too;
    - `event_dropout`: remove each timed triplet with one chance per document, uniform between 0 and the amount.

    Args:
        batch: Documents.
        config: How much of each.
        salts: What it is for, such as `AUGMENT`, seed, number of the packing.
    """
    removals = [
        (config.crop, _keeps_crop), (config.variable_dropout, _keeps_variable), (config.event_dropout, _keeps_event),
    ]  # fmt: skip
    kept = [keeps(batch, amount, salts) for amount, keeps in removals if amount]
    return batch.select(np.logical_and.reduce(kept)) if kept else batch


def altered(batch: HostBatch, config: AugmentConfig, vocabulary: Vocabulary, *salts: int) -> HostBatch:
    """Change values and times as the config says, in this order.

    - `scaling`: multiply the normalized numbers of each data_type of a document by a factor, its logarithm normal with
      the standard deviation; bins follow;
    - `jitter`: add normal noise of the standard deviation to each normalized number; bins follow. The bound of a
      censored number stays: it is a property of the instrument, not a measurement;
    - `time_warp`: stretch and squeeze time smoothly, see `_warped`.

    Args:
        batch: Documents.
        config: How much of each.
        vocabulary: Whose bins the numbers fall in.
        salts: What it is for, such as `AUGMENT`, seed, number of the batch.
    """
    if config.scaling or config.jitter:
        at = np.flatnonzero(batch.value_status == ValueStatus.NUMERIC)
        value = batch.value[at]
        if config.scaling:
            value = value * np.exp(np.float32(config.scaling) * _normal(batch.variable_words(_SCALING, *salts)[at]))
        if config.jitter:
            value = value + np.float32(config.jitter) * _normal(batch.triplet_words(_JITTER, *salts)[at])
        batch = _with_values(batch, at, value, vocabulary)
    return _warped(batch, config.time_warp, salts) if config.time_warp else batch


def _keeps_variable(batch: HostBatch, amount: float, salts: tuple[int, ...]) -> Bools:
    return uniform(batch.variable_words(_VARIABLES, *salts)) >= amount


def _keeps_event(batch: HostBatch, amount: float, salts: tuple[int, ...]) -> Bools:
    share = amount * uniform(draw(batch.words(*salts), _SHARE))
    return (uniform(batch.triplet_words(_EVENTS, *salts)) >= share[batch.document]) | batch.is_static


def _keeps_crop(batch: HostBatch, amount: float, salts: tuple[int, ...]) -> Bools:
    words, document, n = batch.words(*salts), batch.document, batch.n_moments
    n_cut = (amount * uniform(draw(words, _CROP)) * (n + 1)).astype(np.int64)
    n_cut = np.minimum(n_cut, np.minimum((amount * n).astype(np.int64), np.maximum(n - 1, 0)))
    n_front = (uniform(draw(words, _FRONT)) * (n_cut + 1)).astype(np.int64)
    within = (batch.moment >= n_front[document]) & (batch.moment < (n - n_cut + n_front)[document])
    return within | batch.is_static


def _warped(batch: HostBatch, amount: float, salts: tuple[int, ...]) -> HostBatch:
    """Stretch and squeeze time: a gap changes by the share `amount` of itself at most, order is kept.

    The pace is `1 + a cos(2 pi k t / span + phase)` with `|a| <= amount` and half to two waves `k` per document, summed
    from the prediction time backwards, which stays. Both clocks are warped alike; statics have no time.
    """
    document, first = batch.document, np.minimum(batch.first_timed, batch.n_tokens - 1)
    end = batch.end / US_PER_HOUR
    span = np.maximum(end - batch.hours[first], 1 / US_PER_HOUR)
    words = batch.words(*salts)
    rate = 2 * np.pi * (0.5 + 1.5 * uniform(draw(words, _WAVES))) / span
    phase = 2 * np.pi * uniform(draw(words, _PHASE))
    swing = amount * (2 * uniform(draw(words, _WARP)) - 1) / rate
    still = swing * np.sin(phase)

    def warped(clock: Ints) -> Ints:
        age = end[document] - clock / US_PER_HOUR
        age = age + swing[document] * np.sin(rate[document] * age + phase[document]) - still[document]
        moved = np.rint((end[document] - age) * US_PER_HOUR).astype(np.int64)
        return np.where(batch.is_static, clock, moved)

    available = None if batch.available is None else warped(batch.available)
    return replace(batch, time=warped(batch.time), available=available)


def _with_values(batch: HostBatch, at: Ints, value: NDArray[np.float32], vocabulary: Vocabulary) -> HostBatch:
    """Return the batch with other numbers at some tokens: the old bin would give the old number away."""
    values, token = batch.value.copy(), batch.value_token.copy()
    values[at] = value
    if vocabulary.bin_edges:
        token[at] = vocabulary.bins(batch.data_type[at], value)
    return batch.but(value=values, value_token=token)
