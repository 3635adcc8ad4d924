"""Leaks that records, features and labels show: what knows too much, copies, and statistics of other rows."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

from tawt.arrays import Bools, Floats, Ints
from tawt.contracts.cells import SMALL_CELL, few
from tawt.dataset.reader import TripletDataset
from tawt.dataset.truncated import truncate
from tawt.evaluation.copies import audit_copies
from tawt.evaluation.features import Features, Recipe, features_of
from tawt.evaluation.known import Known, known_at
from tawt.evaluation.metrics import AUROC, Binary
from tawt.labels.leaks.verdict import Verdict, clean, named, unverified

PROXIES = re.compile(
    r"comfort (care|measures)|palliat|hospice|do not (resuscitate|intubate)|\b(dnr|dni|cmo)\b|brain death|autopsy|"
    r"organ (donor|donation)|post.?mortem",
    re.IGNORECASE,
)
"""What is done because the outcome is near."""
LISTED, LEAK, PROXY = 0.95, 0.99, 0.9
_RECIPES: tuple[Recipe, Recipe] = ("summaries", "missingness")
_LATEST, _SHOWN, _FEWEST = 0.95, 5, 5


@dataclass(frozen=True, eq=False)
class Told:
    """What was known at `n` prediction times, and what came."""

    dataset: TripletDataset
    known: Known
    features: Features
    """Of the recipe `summaries`."""
    whether: Features
    """Of the recipe `missingness`."""
    subject_id: Ints
    """`(n,)`."""
    time: Ints
    """`(n,)`, us since 1970-01-01."""
    truth: Floats
    """`(n,)`, 1 or 0; NaN = not known."""
    train: Bools
    """`(n,)`, which may be learned from; each is known."""


def tell(dataset: TripletDataset, subject_id: Ints, time: Ints) -> Told:
    """Look up what was known, whatever is asked."""
    known = known_at(dataset, subject_id, time)
    features, whether = (features_of(known, dataset, recipe) for recipe in _RECIPES)
    nothing = np.full(len(subject_id), np.nan)
    return Told(dataset, known, features, whether, subject_id, time, nothing, np.zeros(len(nothing), dtype=bool))


def audit_records(told: Told) -> list[Verdict]:
    """Look for what features and records show, whatever is asked."""
    return [_truncation(told), *audit_copies(told.dataset), _hindsight(told), _proxies(told)]


def moments(dataset: TripletDataset, subject_id: Ints, time: Ints) -> tuple[Ints, Ints]:
    """Return each subject once, with its first prediction time, or the middle of its record if that ends before.

    Nothing can be deleted behind the end of a record, and what must not change must not at any time.
    """
    order = np.lexsort((time, subject_id))
    at = order[np.unique(subject_id[order], return_index=True)[1]]
    subject, chosen = subject_id[at], time[at].copy()
    for name in dataset.split_names:
        split = dataset.split(name)
        for i in np.flatnonzero(np.isin(split.subject_ids, subject) & (split.lengths > split.n_static)).tolist():
            place = int(np.searchsorted(subject, split.subject_ids[i]))
            timed, origin = split.columns(i).timestamp[int(split.n_static[i]) :], int(split.origins[i])
            if timed[-1] + origin <= chosen[place]:
                chosen[place] = timed[(len(timed) - 1) // 2] + origin
    return subject, chosen


def _truncation(told: Told) -> Verdict:
    subject, time = moments(told.dataset, told.subject_id, told.time)
    changed = np.zeros(len(subject), dtype=bool)
    cut = truncate(told.dataset, subject, time)
    gone = sum(_rows(told, name, subject) - cut.split(name).n_triplets for name in cut.split_names)
    for recipe in ("summaries", "four", "missingness", "demographics"):
        both = [features_of(known_at(d, subject, time), d, recipe) for d in (told.dataset, cut)]
        if both[0].names != both[1].names:
            changed[:] = True
            continue
        a, b = (np.ascontiguousarray(one.matrix).view(np.uint64) for one in both)
        changed |= (a != b).any(1)
    if changed.any():
        what = (
            f"features of {few(int(changed.sum()))} of {len(subject):,} subjects change when {gone:,} later triplets go"
        )
        return Verdict("FUTURE_EVENT", "leak", what)
    return clean(
        "FUTURE_EVENT", f"features of {len(subject):,} subjects, without {gone:,} later triplets, are equal to the bit"
    )


def _rows(told: Told, name: str, subject: Ints) -> int:
    split = told.dataset.split(name)
    return int(split.lengths[np.isin(split.subject_ids, subject)].sum())


def _hindsight(told: Told) -> Verdict:
    """Codes that stand at the end of nearly all records, and seldom elsewhere, and were known at a prediction time.

    What is measured every hour stands at the end too, and tells nothing of it.
    """
    n = len(told.dataset.vocabulary)
    has, at_end, rows, last = np.zeros((4, n), dtype=np.int64)
    for name in told.dataset.split_names:
        split = told.dataset.split(name)
        for i in np.flatnonzero(split.lengths > split.n_static).tolist():
            own = split.columns(i).rows(int(split.n_static[i]), int(split.lengths[i]))
            has[np.unique(own.data_type)] += 1
            ends = own.data_type[own.timestamp == own.timestamp[-1]]
            at_end[np.unique(ends)] += 1
            rows += np.bincount(own.data_type, minlength=n)
            last += np.bincount(ends, minlength=n)
    late = (has > SMALL_CELL) & (at_end >= _LATEST * has) & (2 * last >= rows)
    found = _subjects_of(told, late)
    if found:
        return Verdict("HINDSIGHT_VARIABLE", "leak", f"at the end of records, and read: {named(found)}", tuple(found))
    return clean(
        "HINDSIGHT_VARIABLE", f"{int(late.sum()):,} codes stand at the end of records, and no feature reads one"
    )


def _subjects_of(told: Told, types: Bools) -> dict[str, int]:
    """Return the codes among some data_types that were known at a prediction time -> of how many subjects."""
    at = types[told.known.data_type]
    pairs = np.unique(np.stack([told.known.data_type[at], told.subject_id[told.known.row[at]]]), axis=1)
    which, n = np.unique(pairs[0], return_counts=True)
    return {told.dataset.vocabulary.codes[i]: c for i, c in zip(which.tolist(), n.tolist(), strict=True)}


def audit_features(told: Told) -> list[Verdict]:
    """Hold features to the answers to one question."""
    n = [int((told.truth[told.train] == value).sum()) for value in (0, 1)]
    if min(n) < _FEWEST:
        why = f"train has fewer than {_FEWEST} labels of one answer: no feature can be held to them"
        return [unverified(code, why) for code in ("OUTCOME_ENCODING", "SINGLE_FEATURE_DOMINANCE", "MISSINGNESS_PROXY")]
    return [_outcome(told), _dominance(told), _missingness(told)]


def _outcome(told: Told) -> Verdict:
    """Features that are one number of those with the outcome and another of those without."""
    found: dict[str, int] = {}
    yes, no = told.truth == 1, told.truth == 0
    for i, name in enumerate(told.features.names):
        column = told.features.matrix[:, i]
        there = ~np.isnan(column)
        a, b = column[there & yes], column[there & no]
        if min(len(a), len(b)) >= _FEWEST and (a == a[0]).all() and (b == b[0]).all() and a[0] != b[0]:
            found[_code(name)] = len(np.unique(told.subject_id[there & (yes | no)]))
    if found:
        return Verdict("OUTCOME_ENCODING", "leak", f"tell the label on each row: {named(found)}", tuple(found))
    return clean("OUTCOME_ENCODING", f"none of {len(told.features.names):,} features is the label")


def _proxies(told: Told) -> Verdict:
    table = told.dataset.vocabulary.table()
    texts = table["description"].to_pylist() if "description" in table.column_names else [None] * len(table)
    words = [f"{code} {text or ''}" for code, text in zip(told.dataset.vocabulary.codes, texts, strict=True)]
    hit = np.array([PROXIES.search(text.replace("_", " ")) is not None for text in words])
    found = _subjects_of(told, hit)
    if found:
        return Verdict("OUTCOME_PROXY", "leak", f"known at a prediction time: {named(found)}", tuple(found))
    return clean("OUTCOME_PROXY", f"{int(hit.sum()):,} codes have such words, and none was known at a prediction time")


def _dominance(told: Told) -> Verdict:
    found = _aurocs(told, told.features, LISTED)
    above = {_code(name): told_n for name, (auroc, told_n) in found.items() if auroc > LEAK}
    said = _said(found)
    if above:
        return Verdict("SINGLE_FEATURE_DOMINANCE", "leak", f"alone above {LEAK}: {said}", tuple(above))
    if found:
        return unverified("SINGLE_FEATURE_DOMINANCE", f"alone above {LISTED}: {said}; follow them to their tables")
    return clean("SINGLE_FEATURE_DOMINANCE", f"no feature alone is above {LISTED}")


def _missingness(told: Told) -> Verdict:
    found = _aurocs(told, told.whether, PROXY)
    if found:
        codes = tuple({_code(name) for name in found})
        return Verdict("MISSINGNESS_PROXY", "leak", f"whether it is there alone, above {PROXY}: {_said(found)}", codes)
    return clean("MISSINGNESS_PROXY", f"whether something is there tells no more than {PROXY}")


def _aurocs(told: Told, features: Features, least: float) -> dict[str, tuple[float, int]]:
    """Return the features that rank training rows so well by themselves -> AUROC, and rows."""
    found = {}
    for i, name in enumerate(features.names):
        column = features.matrix[:, i]
        at = told.train & ~np.isnan(column)
        positives = int(told.truth[at].sum())
        if min(positives, int(at.sum()) - positives) < _FEWEST:
            continue
        value = AUROC(Binary(told.truth[at], column[at])).value
        if value is not None and max(value, 1 - value) > least:
            found[name] = max(value, 1 - value), int(at.sum())
    return found


def _said(found: dict[str, tuple[float, int]]) -> str:
    best = sorted(found.items(), key=lambda one: -one[1][0])
    text = ", ".join(f"{name} ({auroc:.3f})" for name, (auroc, _) in best[:_SHOWN])
    return text + (f" and {len(best) - _SHOWN:,} more" if len(best) > _SHOWN else "")


def _code(feature: str) -> str:
    return feature.rpartition(":")[0] or feature
