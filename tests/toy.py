"""A known process of records with labels, and sets that are made from it well and badly; its figures are known.

Six hidden groups of subjects; of 60 codes each group has its own shares, and in 35 of 100 events the code after the last
one comes. Lengths are log-normal, gaps exponential by group. A value is its code's mean, a shift of the group for this
code, an effect of the subject, and noise that stays to 8 tenths to the next event of the code. The label hangs on the group
and the effect.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tawt.contracts.value_status import ValueStatus
from tawt.dataset.records import Records

N_GROUPS, N_CODES, FIRST = 6, 60, 4
N_TYPES = FIRST + N_CODES
"""Data_types of the vocabulary; those of special meaning come first."""
N_BINS = 10
_HOUR, _ALPHA, _NEXT = 3_600_000_000, 0.8, 0.35
_EDGES = np.linspace(-2.4, 2.4, N_BINS - 1)
_world = np.random.default_rng(12)
_SHARES = _world.dirichlet(np.full(N_CODES, 0.3), N_GROUPS)
_MEAN, _SHIFT = _world.normal(0, 1, N_CODES), _world.normal(0, 0.5, (N_GROUPS, N_CODES))
_GAP_HOURS, _RISK = np.geomspace(0.5, 12, N_GROUPS), np.array([-2.5, -1.5, -0.5, 0.0, 0.8, 1.5])


@dataclass(frozen=True, eq=False)
class Toy:
    """Records, and a label of each subject."""

    records: Records
    label: np.ndarray
    """`(n,)` bool."""


def oracle(n: int, seed: int) -> Toy:
    """Draw fresh subjects of the process."""
    rng = np.random.default_rng([12, seed])
    group, effect = rng.integers(N_GROUPS, size=n), rng.normal(0, 0.5, n)
    length = np.clip(np.exp(rng.normal(np.log(20), 0.5, n)), 3, 120).astype(np.int64)
    code, noise = np.zeros((n, length.max()), np.int64), np.zeros((n, length.max()))
    cumulated, last = _SHARES.cumsum(1), rng.normal(0, 0.5, (n, N_CODES))
    for j in range(length.max()):
        own = np.flatnonzero(length > j)
        drawn = (cumulated[group[own]] < rng.random((len(own), 1))).sum(1).clip(max=N_CODES - 1)
        follows = (rng.random(len(own)) < _NEXT) & (j > 0)
        code[own, j] = np.where(follows, (code[own, j - 1] + 1) % N_CODES, drawn)
        at = own, code[own, j]
        last[at] = _ALPHA * last[at] + rng.normal(0, 0.5 * (1 - _ALPHA**2) ** 0.5, len(own))
        noise[own, j] = last[at]
    there = np.arange(length.max()) < length[:, None]
    who, code, noise = np.repeat(np.arange(n), length), code[there], noise[there]
    value = _MEAN[code] + _SHIFT[group[who], code] + effect[who] + noise
    gap = rng.exponential(_GAP_HOURS[group[who]])
    label = rng.random(n) < 1 / (1 + np.exp(-(_RISK[group] + 2 * effect)))
    return Toy(_records(seed, length, gap, code, value), label)


def indep(train: Toy, seed: int) -> Toy:
    """Shuffle codes, gaps, the values of each code, and labels over all subjects: every marginal stays, nothing else."""
    rng, real = np.random.default_rng([13, seed]), train.records
    code = rng.permutation(real.data_type) - FIRST
    value = np.empty(len(code), np.float32)
    for c in np.unique(code):
        value[code == c] = rng.permutation(real.value[real.data_type == c + FIRST])
    first = real.bounds[:-1]
    gap = np.diff(real.time, prepend=0)
    later = np.ones(len(gap), bool)
    later[first] = False
    gap[later] = rng.permutation(gap[later])
    return Toy(_records(seed, real.lengths, gap / _HOUR, code, value), rng.permutation(train.label))


def copy(train: Toy, share: float, seed: int) -> Toy:
    """Take a share of the subjects of train, times and values moved by a hundredth, and fresh ones beside them."""
    rng, n = np.random.default_rng([14, seed]), train.records.n_subjects
    taken = rng.permutation(n)[: round(share * n)]
    own, fresh = train.records.take(taken), oracle(n, seed)
    rest = fresh.records.take(np.arange(n - len(taken)))
    value = own.value + rng.normal(0, 0.01, len(own.value))
    gap = np.diff(own.time, prepend=0) / _HOUR * (1 + rng.normal(0, 0.01, len(own.value)))
    lengths = np.concatenate([own.lengths, rest.lengths])
    records = _records(
        seed, lengths, np.concatenate([gap, np.diff(rest.time, prepend=0) / _HOUR]),
        np.concatenate([own.data_type, rest.data_type]) - FIRST, np.concatenate([value, rest.value]),
    )  # fmt: skip
    return Toy(records, np.concatenate([train.label[taken], fresh.label[: n - len(taken)]]))


def _records(seed: int, length: np.ndarray, gap: np.ndarray, code: np.ndarray, value: np.ndarray) -> Records:
    bounds = np.concatenate([[0], np.cumsum(length)])
    gap = np.maximum((gap * _HOUR).astype(np.int64), 1)
    gap[bounds[:-1]] = 0
    time = np.cumsum(gap)
    n = len(code)
    return Records(
        subject_id=seed * 10_000_000 + np.arange(len(length)),
        origin=np.zeros(len(length), np.int64),
        bounds=bounds,
        is_static=np.zeros(n, bool),
        time=time - np.repeat(time[bounds[:-1]], length),
        data_type=(code + FIRST).astype(np.int32),
        value=value.astype(np.float32),
        value_token=(1 + np.searchsorted(_EDGES, value)).astype(np.int32),
        value_status=np.full(n, ValueStatus.NUMERIC, np.uint8),
    )


def mixed(n: int, seed: int, days: float = 40) -> Records:
    """Draw records of all kinds of triplets, without a process: statics, categories, missing values, shared moments.

    The first record is empty; of 8 data_types 4 and 5 have categories, 6 and 7 numbers, 8 has both, 9 and up neither.
    """
    rng = np.random.default_rng([15, seed])
    length, rows = np.append(0, rng.integers(1, 40, n - 1)), []
    for own in length:
        code = rng.integers(4, 12, own)
        static = (np.arange(own) < rng.integers(0, 3)) & (code < 7)
        time = np.where(static, 0, rng.integers(0, 1 + int(days * 8), own) * 3 * _HOUR)
        has = np.where(code < 6, ValueStatus.CATEGORY, np.where(code < 8, ValueStatus.NUMERIC, ValueStatus.NONE))
        status = np.where((code == 8) & (rng.random(own) < 0.5), ValueStatus.CATEGORY, has)
        status = np.where((code == 8) & (status == ValueStatus.NONE), ValueStatus.CENSORED_LOW, status)
        status = np.where((rng.random(own) < 0.1) & (code < 9), ValueStatus.ABSENT, status)
        number = np.isin(status, (ValueStatus.NUMERIC, ValueStatus.CENSORED_LOW))
        value = np.where(number, np.round(rng.normal(0, 1, own), 1), 0)
        token = np.where(
            number, 1 + np.searchsorted(_EDGES, value), np.where(status == 2, N_BINS + rng.integers(1, 5, own), 0)
        )
        order = np.lexsort((code, time, ~static))
        rows.append([column[order] for column in (static, time, code, value, token, status)])
    static, time, code, value, token, status = (np.concatenate(column) for column in zip(*rows, strict=True))
    bounds = np.concatenate([[0], np.cumsum(length)])
    return Records(
        seed * 10_000_000 + np.arange(n), rng.integers(0, 10**15, n), bounds, static.astype(bool), time, code.astype(np.int32),
        value.astype(np.float32), token.astype(np.int32), status.astype(np.uint8),
    )  # fmt: skip
