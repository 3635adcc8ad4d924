"""The five checks of an answer without learning, of one `tawt risk`: what they are made of."""

from __future__ import annotations

from collections.abc import Callable, Mapping
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
from tawt.runs.find import workspace_of
from tawt.synthesis.shortcuts import ABLATIONS

_DAY = 24


def checks_of(
    workspace: Path, run: Path, labels: LabelSet, said: Mapping[str, Predictions], told: Estimates,
    loader: PackedLoader, rows: Ints, asks: Wanted, n_shortcuts: int, seed: int, again: Callable[[Any, Ints], Floats],
) -> tuple[Check, ...]:  # fmt: skip
    """Return the five checks.

    Args:
        workspace: Whose labels.
        run: The decoder.
        labels: `r` that have an answer.
        said: Answers of each estimator.
        told: What continuations say of all labels.
        loader: Of all labels.
        rows: `(r,)`, which of them have an answer.
        asks: What was asked.
        n_shortcuts: Labels of which the history is taken away.
        seed: Of what is drawn.
        again: Given batches and which labels they are of, answers them anew.
    """
    best = "M1" if "M1" in said else "M0"
    outcome, subject = said[best].outcome, said[best].subject_id
    assert isinstance(outcome, Binary) and loader.at is not None
    before = labels.prior[:, 0] if labels.prior.size and not np.isnan(labels.prior).any() else None
    share = told.n_without
    return (
        frequency(outcome, subject, before, _in_train(asks), _others(workspace, run, labels.name)),
        calibration(outcome, subject),
        completed(told.shares, told.bounds, share),
        shortcuts(
            outcome, subject, _numbers(labels, loader, rows),
            _taken(outcome, labels, loader, rows, n_shortcuts, seed, again), seed,
        ),
        _elsewhere(workspace, run, labels.name),
    )  # fmt: skip


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
    for path in sorted((workspace / RISKS).glob("*/risk.json")):
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


def _numbers(labels: LabelSet, loader: PackedLoader, rows: Ints) -> dict[str, Floats]:
    """Return what of each label's record is no medicine."""
    at = loader.at
    assert at is not None
    hours = labels.time / US_PER_HOUR
    return {
        "hours known": (at.end - at.began)[rows] / US_PER_HOUR,
        "events known": (at.documents.lengths + at.windows.n_cut)[rows].astype(np.float64),
        "time of day": hours % _DAY,
        "when asked": hours,
    }


def _taken(
    outcome: Binary, labels: LabelSet, loader: PackedLoader, rows: Ints, n: int, seed: int,
    again: Callable[[Any, Ints], Floats],
) -> dict[str, tuple[Binary, Binary, Ints]]:  # fmt: skip
    """Return what is answered once something was taken from the records, beside what was answered before."""
    if not n:
        return {}
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
        answer = again(batches, chosen)
        kept = (place[chosen] >= 0) & ~np.isnan(answer)
        own = place[chosen[kept]]
        found[name] = (
            Binary(outcome.truth[own], answer[kept]), Binary(outcome.truth[own], outcome.score[own]),
            labels.subject_id[own],
        )  # fmt: skip
    return found


def _elsewhere(workspace: Path, run: Path, name: str) -> Check:
    home = workspace_of(run.resolve())
    if home is None:
        return elsewhere(workspace.name, "", ())
    if home.resolve() == workspace.resolve():
        return elsewhere(str(workspace), str(workspace), ())
    there = _figures(home / RISKS / name / "risk.json", run)
    beside = [f"there: {there[0]:.1%} yes, AUROC {there[1]:.3f}"] if there is not None else ["not asked there"]
    return elsewhere(workspace.name, home.name, beside)
