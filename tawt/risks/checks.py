"""The five checks of an answer without learning, of one `tawt risk`: what they are made of."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tawt.arrays import Floats, Ints
from tawt.batching.loader import PackedLoader
from tawt.contracts.cells import few
from tawt.contracts.dataset import US_PER_HOUR
from tawt.contracts.workspace import RISKS
from tawt.errors import printable
from tawt.evaluation.metrics import Binary
from tawt.evaluation.predictions import Predictions
from tawt.evaluation.zero_shot import Check, calibration, completed, elsewhere, frequency, shortcuts
from tawt.files import read_json
from tawt.heads.label_set import LabelSet
from tawt.risks.asked import Wanted
from tawt.risks.estimates import Estimates, batches_of
from tawt.risks.result import RECORD
from tawt.risks.shortcuts import ABLATIONS
from tawt.runs.find import workspace_of

_DAY = 24


@dataclass(frozen=True, kw_only=True, eq=False)
class Grounds:
    """What continuations say of the labels of a task, `r` of which have an answer."""

    labels: LabelSet
    """Those that have one."""
    said: Mapping[str, Predictions]
    """Answers of each estimator."""
    told: Estimates
    """What continuations say of all labels."""
    loader: PackedLoader
    """Of all labels."""
    rows: Ints
    """`(r,)`, which of them have an answer."""
    again: Callable[[Any, Ints], Floats]
    """Given batches and which labels they are of, answers them anew."""


def checks_of(
    found: Grounds, asks: Wanted, *, workspace: Path, run: Path, n_shortcuts: int, seed: int
) -> tuple[Check, ...]:
    """Return the five checks.

    Args:
        found: What continuations say.
        asks: What was asked.
        workspace: Whose labels.
        run: The decoder.
        n_shortcuts: Labels of which the history is taken away.
        seed: Of what is drawn.
    """
    labels, told = found.labels, found.told
    best = found.said[asks.best]
    outcome, subject = best.outcome, best.subject_id
    assert isinstance(outcome, Binary)
    before = labels.prior[:, 0] if labels.prior.size and not np.isnan(labels.prior).any() else None
    return (
        frequency(outcome, subject, before, _in_train(asks), _others(workspace, run, labels.name)),
        calibration(outcome, subject),
        completed(told.shares, told.bounds, told.n_without),
        shortcuts(outcome, subject, _numbers(found), _taken(outcome, found, n_shortcuts, seed), seed),
        _elsewhere(workspace, run, labels.name),
    )


def _in_train(asks: Wanted) -> str:
    """Return how many subjects of train have the commonest code of the outcome."""
    if asks.ahead is None:
        return ""
    vocabulary = asks.decoder.vocabulary
    people = vocabulary.table()["n_subjects"].to_pylist()
    most = max(people[vocabulary.codes.index(code)] for code in asks.ahead.outcome)
    return f"{few(most)} subjects"


def _others(workspace: Path, run: Path, name: str) -> dict[str, tuple[float, float]]:
    """Return other tasks that the same decoder was asked here -> share of yes, AUROC."""
    found = {}
    for path in sorted((workspace / RISKS).glob(f"*/{RECORD}")):
        if path.parent.name != name and (figures := _figures(path, run)) is not None:
            found[printable(path.parent.name)] = figures
    return found


def _figures(path: Path, run: Path) -> tuple[float, float] | None:
    kept = read_json(path)
    if not isinstance(kept, dict) or kept.get("run") != run.name:
        return None
    try:
        of = kept["rows"][0]["metrics"]
        share, auroc = of["prevalence"]["value"], of["auroc"]["value"]
    except (KeyError, IndexError, TypeError):
        return None
    return None if share is None or auroc is None else (float(share), float(auroc))


def _numbers(found: Grounds) -> dict[str, Floats]:
    """Return what of each label's record is no medicine."""
    at, rows = found.loader.at, found.rows
    assert at is not None
    hours = found.labels.time / US_PER_HOUR
    return {
        "hours known": (at.end - at.began)[rows] / US_PER_HOUR,
        "events known": (at.documents.lengths + at.windows.n_cut)[rows].astype(np.float64),
        "time of day": hours % _DAY,
        "when asked": hours,
    }


def _taken(outcome: Binary, told: Grounds, n: int, seed: int) -> dict[str, tuple[Binary, Binary, Ints]]:
    """Return what is answered once something was taken from the records, beside what was answered before."""
    if not n:
        return {}
    loader, rows = told.loader, told.rows
    sizes = [len(loader.in_order.plan[i]) for i in range(len(loader.in_order))]
    stride = -(-sum(sizes) // n)  # so that every batch that is asked gives one at least
    asked = range(0, len(sizes), stride)
    each = {i: min(n * (k + 1) // len(asked) - n * k // len(asked), sizes[i]) for k, i in enumerate(asked)}
    first = np.concatenate([[0], np.cumsum(sizes)])
    chosen = np.concatenate([first[i] + np.arange(each[i]) for i in asked])
    place = np.full(int(first[-1]), -1)
    place[rows] = np.arange(len(rows))
    found = {}
    for name, take in ABLATIONS.items():
        batches = batches_of(loader, stride, lambda batch, i, take=take: take(batch, seed + i).first(each[i]))  # type: ignore[misc]
        answer = told.again(batches, chosen)
        kept = (place[chosen] >= 0) & ~np.isnan(answer)
        own = place[chosen[kept]]
        found[name] = (
            Binary(outcome.truth[own], answer[kept]), Binary(outcome.truth[own], outcome.score[own]),
            told.labels.subject_id[own],
        )  # fmt: skip
    return found


def _elsewhere(workspace: Path, run: Path, name: str) -> Check:
    home = workspace_of(run.resolve())
    if home is None:
        return elsewhere(workspace.name, "", ())
    if home.resolve() == workspace.resolve():
        return elsewhere(str(workspace), str(workspace), ())
    there = _figures(home / RISKS / name / RECORD, run)
    beside = [f"there: {there[0]:.1%} yes, AUROC {there[1]:.3f}"] if there is not None else ["not asked there"]
    return elsewhere(workspace.name, home.name, beside)
