"""The same person under two ids: records that share what no third one has, even where some of it was changed."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from tawt.arrays import Codes, Floats, Ints, Words
from tawt.chance import draw
from tawt.contracts.cells import few
from tawt.dataset.reader import Split, TripletDataset
from tawt.dataset.shard import Columns
from tawt.dataset.vocabulary import Vocabulary
from tawt.evaluation.shared_traces import LEAST, alike
from tawt.labels.leaks.verdict import Verdict, clean, unverified

N_BETWEEN, N_NEAR, LEAST_NUMBERS, LEAST_BETWEEN = 200, 5, 6, 3
"""Records of held_out that are held to lines, neighbours whose lines are tried, numbers that tell a line, and records
on lines from which they are no accident."""
_ON_LINE = 1e-4
_MOST_NUMBERS = 32
Hashed = Callable[[Ints, Ints, Ints], tuple[Words, int]]
"""Data_types, tokens and values of events in order -> a hash of each, and how many in a row are a trace."""


def audit_copies(dataset: TripletDataset) -> list[Verdict]:
    """Look for records that are in a dataset twice: in two splits, and within held_out."""
    names = dataset.split_names
    of = np.concatenate([np.full(dataset.split(n).n_subjects, i) for i, n in enumerate(names)])
    who = np.concatenate([dataset.split(n).subject_ids for n in names])
    n_traces = sum(dataset.split(n).n_triplets for n in names)
    beside = dataset.folder.parent  # there is room for the triplets, and so for traces of them
    place = beside if os.access(beside, os.W_OK) else None
    found = [alike(_traces(dataset, kind), n_traces, place) for kind in (_exact, _coarse)]
    n_known, pairs = max(n for n, _ in found), np.concatenate([pairs for _, pairs in found])
    a, b = of[pairs].T
    apart = np.unique(pairs[a != b])
    inside = np.unique(pairs[(a == b) & (a == (names.index("held_out") if "held_out" in names else -1)), 1])
    if len(apart):
        told = f"{few(len(apart))} records have a copy, or nearly one, in another split"
        one = Verdict("DUPLICATE_RECORD", "leak", told, subjects=frozenset(who[apart].tolist()))
    elif not n_known:
        one = unverified(
            "DUPLICATE_RECORD", f"no record has {LEAST} events of its own by which it could be known again"
        )
    else:
        one = clean("DUPLICATE_RECORD", f"no two of {n_known:,} records in two splits are the same, or nearly so; one "
                    "person in two stays that share no event cannot be known by them")  # fmt: skip
    return [one, _synthetic(dataset, frozenset(who[inside].tolist()))]


def _exact(code: Ints, token: Ints, value: Ints) -> tuple[Words, int]:
    """Two events in a row with their exact values; times may have been moved."""
    return draw(code.view(np.uint64) ^ draw(value.view(np.uint64))), 2


def _coarse(code: Ints, token: Ints, value: Ints) -> tuple[Words, int]:
    """Five events in a row with the bins of their values, which may have been changed a little."""
    return draw(code.view(np.uint64) ^ draw(token.view(np.uint64))), 5


def _traces(dataset: TripletDataset, kind: Hashed) -> Iterator[Words]:
    """Yield the distinct hashes of runs of events of each record, in the order of the splits."""
    empty = np.empty(0, dtype=np.uint64)
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
            run = each[: len(each) - n + 1]
            for step in range(1, n):
                run = draw(run) ^ each[step : len(each) - n + 1 + step]
            yield np.unique(draw(run))


def _synthetic(dataset: TripletDataset, twice: frozenset[int]) -> Verdict:
    """Records of held_out that are there twice, or that lie between two of train."""
    code = "SYNTHETIC_IN_EVALUATION"
    if "held_out" not in dataset.split_names or "train" not in dataset.split_names:
        return unverified(code, "there is no held_out beside train")
    if twice:
        return Verdict(
            code, "leak", f"{few(len(twice))} records of held_out are there twice, or nearly so", subjects=twice
        )
    between, n = _between(*_means(dataset))
    if between >= LEAST_BETWEEN:
        return Verdict(code, "leak", f"{few(between)} of {n:,} records of held_out lie between two of train")
    return clean(code, f"no record of held_out is there twice, and none of {n:,} lies between two of train; what "
                 "else is invented must be told by whoever made the tables")  # fmt: skip


def _means(dataset: TripletDataset) -> tuple[Floats, Floats]:
    """Return the mean value of the data_types with numbers that most records of train have, of each record of train
    and of the first of held_out, `(n, f)` each; NaN where there is none."""
    vocabulary, train, held_out = dataset.vocabulary, dataset.split("train"), dataset.split("held_out")
    has = np.zeros(len(vocabulary), dtype=np.int64)
    for i in range(train.n_subjects):
        has[np.unique(_numbers(train.columns(i), vocabulary)[0])] += 1
    often = np.argsort(-has, kind="stable")[: min(_MOST_NUMBERS, int((has > 0).sum()))]
    return _means_of(train, train.n_subjects, vocabulary, often), _means_of(held_out, N_BETWEEN, vocabulary, often)


def _means_of(split: Split, most: int, vocabulary: Vocabulary, often: Ints) -> Floats:
    place = np.full(len(vocabulary), len(often))
    place[often] = np.arange(len(often))
    out = np.full((min(most, split.n_subjects), len(often)), np.nan)
    for i in range(len(out)):
        data_type, value = _numbers(split.columns(i), vocabulary)
        n = np.bincount(place[data_type], minlength=len(often) + 1)[:-1]
        total = np.bincount(place[data_type], value.astype(np.float64), minlength=len(often) + 1)[:-1]
        out[i, n > 0] = total[n > 0] / n[n > 0]
    return out


def _numbers(own: Columns, vocabulary: Vocabulary) -> tuple[Codes, NDArray[np.float32]]:
    at = (own.value_token > 0) & (own.value_token <= vocabulary.n_bins[own.data_type])
    return own.data_type[at], own.value[at]


def _between(train: Floats, test: Floats) -> tuple[int, int]:
    """Return how many test rows lie on a line between two rows of train, and how many were looked at."""
    if not len(train) or not len(test) or not train.shape[1]:
        return 0, 0
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
