"""The same person under two ids: records that share what no third one has, even where some of it was changed."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from tawt.arrays import Floats, Ints
from tawt.chance import draw
from tawt.contracts.cells import few
from tawt.dataset.reader import TripletDataset
from tawt.labels.leaks.verdict import Verdict, clean, unverified

LEAST, MOST_ALIKE = 10, 3
"""Traces of a record from which it can be known again, and records that may share one of them."""
SKETCH, SHARED = 64, 5
"""Traces of a record that are kept, the smallest of their hashes, and how many of them two must share."""
COPY = 0.5
"""Share of the shorter record's own traces from which it is a copy."""
N_BETWEEN, N_NEAR, LEAST_NUMBERS, LEAST_BETWEEN = 200, 5, 6, 3
"""Records of held_out that are held to lines, neighbours whose lines are tried, numbers that tell a line, and records
on lines from which they are no accident."""
_ON_LINE = 1e-4
Hashed = Callable[[Ints, Ints, Ints], tuple[Ints, int]]
"""Data_types, tokens and values of events in order -> a hash of each, and how many in a row are a trace."""


def audit_copies(dataset: TripletDataset) -> list[Verdict]:
    """Look for records that are in a dataset twice: in two splits, and within held_out."""
    names = dataset.split_names
    of = np.concatenate([np.full(dataset.split(n).n_subjects, i) for i, n in enumerate(names)])
    who = np.concatenate([dataset.split(n).subject_ids for n in names])
    pairs: set[tuple[int, int]] = set()
    n_known = 0
    for kind in (_exact, _coarse):
        n, found = _copies(dataset, kind)
        n_known = max(n_known, n)
        pairs |= found
    apart = {i for a, b in pairs if of[a] != of[b] for i in (a, b)}
    held = names.index("held_out") if "held_out" in names else -1
    inside = {b for a, b in pairs if of[a] == of[b] == held}
    if apart:
        told = f"{few(len(apart))} records have a copy, or nearly one, in another split"
        one = Verdict("DUPLICATE_RECORD", "leak", told, subjects=frozenset(who[[*apart]].tolist()))
    elif not n_known:
        one = unverified(
            "DUPLICATE_RECORD", f"no record has {LEAST} events of its own by which it could be known again"
        )
    else:
        one = clean("DUPLICATE_RECORD", f"no two of {n_known:,} records in two splits are the same, or nearly so; one "
                    "person in two stays that share no event cannot be known by them")  # fmt: skip
    return [one, _synthetic(dataset, frozenset(who[[*inside]].tolist()) if inside else frozenset())]


def _exact(code: Ints, token: Ints, value: Ints) -> tuple[Ints, int]:
    """Two events in a row with their exact values; times may have been moved."""
    return draw(code.view(np.uint64) ^ draw(value.view(np.uint64))).view(np.int64), 2


def _coarse(code: Ints, token: Ints, value: Ints) -> tuple[Ints, int]:
    """Five events in a row with the bins of their values, which may have been changed a little."""
    return draw(code.view(np.uint64) ^ draw(token.view(np.uint64))).view(np.int64), 5


def _traces(dataset: TripletDataset, kind: Hashed) -> Iterator[Ints]:
    """Yield the distinct hashes of runs of events of each record, in the order of the splits."""
    empty = np.empty(0, dtype=np.int64)
    for name in dataset.split_names:
        split = dataset.split(name)
        for i in range(split.n_subjects):
            own = split.columns(i).rows(int(split.n_static[i]), int(split.lengths[i]))
            value = np.ascontiguousarray(own.value).view(np.int32).astype(np.int64)
            order = np.lexsort((value, own.data_type, own.timestamp))  # rows of one moment have no order of their own
            each, n = kind(own.data_type[order].astype(np.int64), own.value_token[order].astype(np.int64), value[order])
            if len(each) < n:
                yield empty
                continue
            run = each[: len(each) - n + 1].view(np.uint64).copy()
            for step in range(1, n):
                run = draw(run) ^ each[step : len(each) - n + 1 + step].view(np.uint64)
            yield np.unique(draw(run).view(np.int64))


def _copies(dataset: TripletDataset, kind: Hashed) -> tuple[int, set[tuple[int, int]]]:
    """Return how many records can be known again, and the pairs that share most of what is their own."""
    traces = list(_traces(dataset, kind))
    found, n = np.unique(np.concatenate(traces), return_counts=True)
    rare = found[n <= MOST_ALIKE]
    own = [one[np.isin(one, rare, assume_unique=True)] for one in traces]
    known = np.array([len(one) >= LEAST for one in own])
    at = [one[:SKETCH] if known[i] else one[:0] for i, one in enumerate(own)]
    value = np.concatenate(at)
    record = np.repeat(np.arange(len(at)), [len(one) for one in at])
    order = np.lexsort((record, value))
    value, record = value[order], record[order]
    met: dict[tuple[int, int], int] = {}
    for gap in range(1, MOST_ALIKE):
        same = value[gap:] == value[:-gap]
        for a, b in zip(record[:-gap][same].tolist(), record[gap:][same].tolist(), strict=True):
            met[a, b] = met.get((a, b), 0) + 1
    pairs = {
        (a, b) for (a, b), n in met.items()
        if n >= SHARED
        and len(np.intersect1d(own[a], own[b], assume_unique=True)) >= COPY * min(len(own[a]), len(own[b]))
    }  # fmt: skip
    return int(known.sum()), pairs


def _synthetic(dataset: TripletDataset, twice: frozenset[int]) -> Verdict:
    """Records of held_out that are there twice, or that lie between two of train."""
    code = "SYNTHETIC_IN_EVALUATION"
    if "held_out" not in dataset.split_names or "train" not in dataset.split_names:
        return unverified(code, "there is no held_out beside train")
    if twice:
        return Verdict(
            code, "leak", f"{few(len(twice))} records of held_out are there twice, or nearly so", subjects=twice
        )
    between, n = _between(_means(dataset, "train"), _means(dataset, "held_out"))
    if between >= LEAST_BETWEEN:
        return Verdict(code, "leak", f"{few(between)} of {n:,} records of held_out lie between two of train")
    return clean(code, f"no record of held_out is there twice, and none of {n:,} lies between two of train; what "
                 "else is invented must be told by whoever made the tables")  # fmt: skip


def _means(dataset: TripletDataset, name: str) -> Floats:
    """Return the mean value of each data_type with numbers of each record, `(n, f)`; NaN where there is none."""
    split, vocabulary = dataset.split(name), dataset.vocabulary
    numeric = np.flatnonzero(vocabulary.n_bins > 0)
    place = np.full(len(vocabulary), -1)
    place[numeric] = np.arange(len(numeric))
    out = np.full((split.n_subjects, len(numeric)), np.nan)
    for i in range(split.n_subjects):
        own = split.columns(i)
        at = (own.value_token > 0) & (own.value_token <= vocabulary.n_bins[own.data_type])
        n = np.bincount(place[own.data_type[at]], minlength=len(numeric))
        total = np.bincount(place[own.data_type[at]], own.value[at].astype(np.float64), minlength=len(numeric))
        out[i, n > 0] = total[n > 0] / n[n > 0]
    return out


def _between(train: Floats, test: Floats) -> tuple[int, int]:
    """Return how many of the first test rows lie on a line between two rows of train, and how many were looked at."""
    if not len(train) or not len(test) or not train.shape[1]:
        return 0, 0
    often = np.argsort(-(~np.isnan(train)).sum(0), kind="stable")[:32]
    train, test = train[:, often], test[:N_BETWEEN, often]
    found = looked = 0
    for row in test:
        there = ~np.isnan(row)
        whole = train[~np.isnan(train[:, there]).any(1)][:, there] - row[there]
        if there.sum() < LEAST_NUMBERS or len(whole) < 2:
            continue
        looked += 1
        size = np.sqrt((whole**2).sum(1))
        unit = whole[size > 1e-6] / size[size > 1e-6, None]
        near = np.argsort(size[size > 1e-6], kind="stable")[:N_NEAR]
        found += bool((unit[near] @ unit.T < -1 + _ON_LINE).any())
    return found, looked
