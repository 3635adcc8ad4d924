"""Augmentations: each a pure function of (batch, amount, salts).

What happens to a document follows from its subject, its prediction time, the place of a token within it, and the
salts; never from what else lies in the batch. So packing does not matter, and no state is kept. A document never
loses its last token, its prediction time stays, and gaps are made anew over what is left.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from tawt.batching.batch import PackedBatch
from tawt.batching.chance import draw
from tawt.batching.edit import BoolArray, IntArray, bounds_of, documents_of, remake_gaps, select, statics_of
from tawt.batching.gaps import US_PER_HOUR
from tawt.config.augment import AugmentConfig
from tawt.contracts.value_status import ValueStatus
from tawt.dataset.vocabulary import Vocabulary

AUGMENT = 6
"""First salt of the draws of a training batch's augmentation."""
_VARIABLES, _EVENTS, _SHARE, _CROP, _FRONT, _JITTER, _SCALING, _WARP, _WAVES, _PHASE = range(10)
_UNIT = 2.0**-53

Words = NDArray[np.uint64]
Floats = NDArray[np.float64]


def uniform(words: Words) -> Floats:
    """Return numbers in `[0, 1)` from random words."""
    numbers: Floats = (words >> np.uint64(11)).astype(np.float64) * _UNIT
    return numbers


def _normal(words: Words) -> NDArray[np.float32]:
    """Return standard normal numbers, one per word: the halves of a word are the two uniforms of Box and Muller."""
    radius = ((words >> np.uint64(40)).astype(np.float32) + np.float32(0.5)) * np.float32(2.0**-24)
    angle = (words & np.uint64(0xFFFFFF)).astype(np.float32) * np.float32(2 * np.pi * 2.0**-24)
    return np.sqrt(-2 * np.log(radius)) * np.cos(angle)


def document_words(batch: PackedBatch, *salts: int) -> Words:
    """Return `(d,)` random words, of subject, prediction time and salts: windows of one subject differ."""
    return draw(draw(batch.subject_id.numpy(), *salts) + batch.end_time.numpy().astype(np.uint64))


def variable_dropout(batch: PackedBatch, amount: float, *salts: int) -> PackedBatch:
    """Remove each data_type of each document with the chance `amount`; statics too."""
    return select(batch, _keeps_variable(batch, documents_of(batch), amount, salts))


def event_dropout(batch: PackedBatch, amount: float, *salts: int) -> PackedBatch:
    """Remove each timed triplet with one chance per document, uniform between 0 and `amount`."""
    return select(batch, _keeps_event(batch, documents_of(batch), amount, salts))


def crop(batch: PackedBatch, amount: float, *salts: int) -> PackedBatch:
    """Cut off a share of each document's timed triplets, uniform between 0 and `amount`, at both ends."""
    return select(batch, _keeps_crop(batch, documents_of(batch), amount, salts))


def scaling(batch: PackedBatch, amount: float, vocabulary: Vocabulary, *salts: int) -> PackedBatch:
    """Multiply the normalized numbers of each data_type of a document by a factor, its logarithm normal with the
    standard deviation `amount`; bins follow."""
    at = _numbers(batch)
    value = _scaled(batch, batch.value.numpy()[at], at, documents_of(batch), amount, salts)
    return _with_values(batch, at, value, vocabulary)


def jitter(batch: PackedBatch, amount: float, vocabulary: Vocabulary, *salts: int) -> PackedBatch:
    """Add normal noise of the standard deviation `amount` to each normalized number; bins follow.

    The bound of a censored number stays: it is a property of the instrument, not a measurement.
    """
    at = _numbers(batch)
    value = _jittered(batch, batch.value.numpy()[at], at, documents_of(batch), amount, salts)
    return _with_values(batch, at, value, vocabulary)


def time_warp(batch: PackedBatch, amount: float, *salts: int, with_type_gaps: bool = True) -> PackedBatch:
    """Stretch and squeeze time smoothly: a gap changes by the share `amount` of itself at most, order is kept.

    The pace is `1 + a cos(2 pi k t / span + phase)` with `|a| <= amount` and half to two waves `k` per document, summed
    from the prediction time backwards, which stays. Both clocks are warped alike; statics have no time.
    """
    document = documents_of(batch)
    bounds, hours, timed = bounds_of(batch), batch.hours.numpy(), ~batch.is_static.numpy()
    first = np.minimum(bounds[:-1] + statics_of(batch), len(hours) - 1)
    end = batch.end_hours.numpy()
    span = np.maximum(end - hours[first], 1 / US_PER_HOUR)
    words = document_words(batch, *salts)
    rate = 2 * np.pi * (0.5 + 1.5 * uniform(draw(words, _WAVES))) / span
    phase = 2 * np.pi * uniform(draw(words, _PHASE))
    swing = amount * (2 * uniform(draw(words, _WARP)) - 1) / rate
    start = swing * np.sin(phase)

    def warped(clock: Floats) -> torch.Tensor:
        age = end[document] - clock
        age = age + swing[document] * np.sin(rate[document] * age + phase[document]) - start[document]
        moved = np.rint((end[document] - age) * US_PER_HOUR) / US_PER_HOUR
        return torch.from_numpy(np.where(timed, moved, clock))

    available = None if batch.available_hours is None else warped(batch.available_hours.numpy())
    return remake_gaps(replace(batch, hours=warped(hours), available_hours=available), with_type_gaps)


def augment(
    batch: PackedBatch, config: AugmentConfig, vocabulary: Vocabulary, *salts: int, with_type_gaps: bool = True
) -> PackedBatch:
    """Apply what the config turns on: crop, dropout of variables and events, scaling, jitter, time warp.

    Args:
        batch: On CPU.
        config: How much of each.
        vocabulary: Whose bins the numbers fall in.
        salts: What it is for, such as `AUGMENT`, seed, number of the batch.
        with_type_gaps: See `remake_gaps`; False saves a sixth of the time where masking follows.
    """
    removals = [
        (config.crop, _keeps_crop), (config.variable_dropout, _keeps_variable), (config.event_dropout, _keeps_event),
    ]  # fmt: skip
    document = documents_of(batch)
    kept = [keeps(batch, document, amount, salts) for amount, keeps in removals if amount]
    if kept:
        batch = select(batch, np.logical_and.reduce(kept), with_type_gaps=with_type_gaps and not config.time_warp)
        document = documents_of(batch)
    if config.scaling or config.jitter:
        at = _numbers(batch)
        value = batch.value.numpy()[at]
        if config.scaling:
            value = _scaled(batch, value, at, document, config.scaling, salts)
        if config.jitter:
            value = _jittered(batch, value, at, document, config.jitter, salts)
        batch = _with_values(batch, at, value, vocabulary)
    if config.time_warp:
        batch = time_warp(batch, config.time_warp, *salts, with_type_gaps=with_type_gaps)
    return batch


def _ranks(batch: PackedBatch, document: IntArray) -> Words:
    """Return `(n,)`, each token's place within its document."""
    return (np.arange(batch.n_tokens) - bounds_of(batch)[document]).astype(np.uint64)


def _keeps_variable(batch: PackedBatch, document: IntArray, amount: float, salts: tuple[int, ...]) -> BoolArray:
    words = document_words(batch, *salts)[document] + batch.data_type.numpy().astype(np.uint64)
    return uniform(draw(words, _VARIABLES)) >= amount


def _keeps_event(batch: PackedBatch, document: IntArray, amount: float, salts: tuple[int, ...]) -> BoolArray:
    words = document_words(batch, *salts)
    share = amount * uniform(draw(words, _SHARE))
    chance = uniform(draw(words[document] + _ranks(batch, document), _EVENTS))
    return (chance >= share[document]) | batch.is_static.numpy()


def _keeps_crop(batch: PackedBatch, document: IntArray, amount: float, salts: tuple[int, ...]) -> BoolArray:
    words = document_words(batch, *salts)
    bounds = bounds_of(batch)
    first = bounds[:-1] + statics_of(batch)
    n_timed = bounds[1:] - first
    n_cut = (amount * uniform(draw(words, _CROP)) * (n_timed + 1)).astype(np.int64)
    n_cut = np.minimum(n_cut, np.minimum((amount * n_timed).astype(np.int64), np.maximum(n_timed - 1, 0)))
    n_front = (uniform(draw(words, _FRONT)) * (n_cut + 1)).astype(np.int64)
    start, stop = first + n_front, bounds[1:] - (n_cut - n_front)
    place = np.arange(batch.n_tokens)
    return ((place >= start[document]) & (place < stop[document])) | batch.is_static.numpy()


def _numbers(batch: PackedBatch) -> IntArray:
    """Return the tokens that are a measured number."""
    return np.flatnonzero(batch.value_status.numpy() == ValueStatus.NUMERIC)


def _scaled(
    batch: PackedBatch, value: NDArray[np.float32], at: IntArray, document: IntArray, amount: float,
    salts: tuple[int, ...],
) -> NDArray[np.float32]:  # fmt: skip
    words = document_words(batch, *salts)[document[at]] + batch.data_type.numpy()[at].astype(np.uint64)
    return value * np.exp(np.float32(amount) * _normal(draw(words, _SCALING)))


def _jittered(
    batch: PackedBatch, value: NDArray[np.float32], at: IntArray, document: IntArray, amount: float,
    salts: tuple[int, ...],
) -> NDArray[np.float32]:  # fmt: skip
    words = document_words(batch, *salts)[document[at]] + _ranks(batch, document)[at]
    return value + np.float32(amount) * _normal(draw(words, _JITTER))


def _with_values(batch: PackedBatch, at: IntArray, value: NDArray[np.float32], vocabulary: Vocabulary) -> PackedBatch:
    """Return the batch with other numbers at some tokens: the old bin would give the old number away."""
    values, token = batch.value.numpy().copy(), batch.value_token.numpy().copy()
    values[at] = value
    if vocabulary.bin_edges:
        token[at] = vocabulary.bins(batch.data_type.numpy()[at], value)
    return replace(batch, value=torch.from_numpy(values), value_token=torch.from_numpy(token), layout=None)
