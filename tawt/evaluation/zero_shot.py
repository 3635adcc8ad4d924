"""What an answer without learning is to be told with: the five checks of zero-shot results, as functions of arrays.

Source: the checks that Nature Medicine (2026) asks of zero-shot predictions from generated timelines: performance by
    frequency of the event, calibration, share of timelines completed, shortcuts, and another distribution.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np

from tawt.arrays import Bools, Floats, Ints
from tawt.evaluation.metrics import AUROC, PREVALENCE, Binary
from tawt.evaluation.printed import in_cell
from tawt.evaluation.resample import Interval, draws_of, intervals
from tawt.evaluation.subgroups import Subgroup, by_group
from tawt.evaluation.withheld import FEW, WITHHELD, has_small_cell

State = Literal["checked", "not checked", "withheld"]
N_BINS, N_STRATA, N_DRAWS = 10, 3, 500
_FEW = FEW.removeprefix(WITHHELD)
BEFORE = ("never before", "once before", "more often before")


@dataclass(frozen=True)
class Check:
    """One of the five."""

    name: str
    """Which."""
    state: State
    """Whether there are figures; that there are says nothing of how good they are."""
    lines: tuple[str, ...] = ()
    """What is told of it."""
    figures: dict[str, Any] = field(default_factory=dict)
    """The same as numbers."""

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        return asdict(self)

    def text(self) -> str:
        """Return it as lines."""
        return "\n".join((f"{self.name}: {self.state}", *(f"  {line}" for line in self.lines)))


def _told(one: Interval) -> str:
    return in_cell(one, between=" ")


def _few(outcome: Binary, subject: Ints, rows: Ints) -> bool:
    """Return whether rows are of few subjects, or of few with the outcome or without it."""
    own = np.zeros(outcome.n_rows, dtype=np.bool_)
    own[rows] = True
    return has_small_cell(outcome, subject, own)


def by_past(outcome: Binary, subject: Ints, before: Floats, seed: int = 0) -> list[Subgroup]:
    """Measure rows apart by how often the outcome had come to the subject before: what recurs is easily foretold.

    Args:
        outcome: Of `n` rows.
        subject: `(n,)`.
        before: `(n,)`, how often.
        seed: Of the draws.
    """
    group = np.array(BEFORE, dtype=object)[np.clip(before, 0, 2).astype(np.int64)]
    return by_group((AUROC, PREVALENCE), outcome, draws_of(subject, N_DRAWS, seed), group)


def curve(outcome: Binary, subject: Ints, n_bins: int = N_BINS) -> list[dict[str, float]]:
    """Return mean prediction and share that came, from the lowest predictions to the highest; none of few.

    Bins hold about as many rows each, and are laid together until none is of few subjects, with the outcome or without.
    """
    order = np.argsort(outcome.score, kind="stable")
    ranked = outcome.score[order]
    ends = {
        int(np.searchsorted(ranked, ranked[i - 1], side="right"))
        for i in np.linspace(0, len(order), n_bins + 1)[1:].astype(int)
        if i
    }
    parts: list[Ints] = []
    start = 0
    for end in sorted(ends):
        rows = order[start:end]
        if not _few(outcome, subject, rows):
            parts.append(rows)
            start = end
    if start < len(order):  # what is left over is of few: it goes with the bin before
        if not parts:
            return []
        parts[-1] = np.concatenate([parts[-1], order[start:]])
        if _few(outcome, subject, parts[-1]):
            return []
    return [
        {"n": len(rows), "predicted": float(outcome.score[rows].mean()), "came": float(outcome.truth[rows].mean())}
        for rows in parts
    ]


def alone(outcome: Binary, number: Floats) -> float | None:
    """Return the AUROC of a number by itself, in the direction in which it is more than a half; None of a constant."""
    if not len(number) or (number == number[0]).all():
        return None
    found = AUROC(Binary(outcome.truth, number)).value
    return None if found is None else max(found, 1 - found)


def within_strata(outcome: Binary, number: Floats, n_strata: int = N_STRATA) -> float | None:
    """Return the AUROC among rows that are alike in a number: the mean over its strata, weighed by their pairs."""
    edges = np.unique(np.quantile(number, np.arange(1, n_strata) / n_strata))
    stratum, held, pairs = np.searchsorted(edges, number, side="left"), 0.0, 0.0
    for i in np.unique(stratum):
        own: Bools = stratum == i
        truth = outcome.truth[own]
        n = float(truth.sum() * (1 - truth).sum())
        if n:
            held += n * float(AUROC(Binary(truth, outcome.score[own])).value or 0)
            pairs += n
    return held / pairs if pairs else None


def frequency(
    outcome: Binary, subject: Ints, before: Floats | None, in_train: str, others: Mapping[str, tuple[float, float]],
) -> Check:  # fmt: skip
    """Tell how good the answer is beside how often what it asks for comes.

    Args:
        outcome: Of `n` rows.
        subject: `(n,)`.
        before: `(n,)`, how often it had come to each; None = nobody knows.
        in_train: How many subjects of train have it, as a text; "" = not known.
        others: Other tasks that the same decoder was asked -> (share of yes, AUROC).
    """
    if has_small_cell(outcome, subject):
        return Check("performance by frequency", "withheld", (_FEW,))
    share, figures = float(outcome.truth.mean()), {}
    lines = [f"yes: {share:.1%} of labels" + (f"; {in_train} of train have it" if in_train else "")]
    if before is not None:
        groups = by_past(outcome, subject, before)
        lines += [
            f"{one.name}: " + (one.withheld or f"AUROC {_told(one.metrics['auroc'])} in {one.n_subjects:,} subjects")
            for one in groups
        ]
        figures["before"] = {one.name: asdict(one) for one in groups}
    told = sorted([*others.items(), ("this one", (share, AUROC(outcome).value or 0.0))], key=lambda one: one[1][0])
    if others:
        lines += [f"{name}: {rate:.1%} yes, AUROC {auroc:.3f}" for name, (rate, auroc) in told]
    else:
        lines.append("no other task was asked of this decoder here: how it does with rarer ones is not known")
    return Check("performance by frequency", "checked", tuple(lines), figures | {"tasks": dict(told), "share": share})


def calibration(outcome: Binary, subject: Ints) -> Check:
    """Tell what came where how much was told; slope and ECE stand in the table."""
    bins = curve(outcome, subject)
    if not bins:
        return Check("calibration", "withheld", (_FEW,))
    lines = [f"told {one['predicted']:.3f}: came {one['came']:.3f} of {one['n']:,}" for one in bins]
    return Check("calibration", "checked", tuple(lines), {"curve": bins})


def completed(shares: Mapping[str, float], bounds: Mapping[str, tuple[float, float]], n_without: float) -> Check:
    """Tell which share of continuations was followed to the end of what is asked, and how far the rest moves answers.

    Args:
        shares: Estimator -> share that was.
        bounds: Estimator -> its mean, were all that is open a no, and were it a yes.
        n_without: Share that was followed, and that the task leaves out by its own rules.
    """
    lines = [
        f"{name}: {share:.1%}" + ("; mean between {:.4f} and {:.4f}".format(*bounds[name]) if name in bounds else "")
        for name, share in shares.items()
    ]  # fmt: skip
    if n_without:
        lines.append(f"{n_without:.1%} were followed, and are left out by the task's own rules")
    figures = {"shares": dict(shares), "bounds": {k: list(v) for k, v in bounds.items()}, "without": n_without}
    return Check("share completed", "checked", tuple(lines), figures)


def shortcuts(
    outcome: Binary, subject: Ints, numbers: Mapping[str, Floats],
    taken: Mapping[str, tuple[Binary, Binary, Ints]], seed: int = 0,
) -> Check:  # fmt: skip
    """Tell how much of an answer comes from what is no medicine.

    Args:
        outcome: Of `n` rows.
        subject: `(n,)`.
        numbers: What is no medicine -> `(n,)`.
        taken: What was taken from the records -> the outcome with what was answered then and before, and whose rows.
        seed: Of the draws.
    """
    if has_small_cell(outcome, subject):
        return Check("shortcuts", "withheld", (_FEW,))
    whole = AUROC(outcome).value
    found = {name: (alone(outcome, one), within_strata(outcome, one)) for name, one in numbers.items()}
    lines = [
        f"{name}: the same for all" if by_itself is None
        else f"{name}: AUROC {by_itself:.3f} by itself; the answer has {within:.3f} among equals, {whole:.3f} in all"
        for name, (by_itself, within) in found.items()
    ]  # fmt: skip
    figures: dict[str, Any] = {
        "alone": {k: v[0] for k, v in found.items()},
        "within": {k: v[1] for k, v in found.items()},
    }
    for name, (after, before, whose) in taken.items():
        if has_small_cell(after, whose):
            lines.append(f"{name.replace('_', ' ')}: {FEW}")
            continue
        draws = draws_of(whose, N_DRAWS, seed)
        left, had = (intervals((AUROC,), one, draws)[0]["auroc"] for one in (after, before))
        lines.append(f"{name.replace('_', ' ')}: AUROC {_told(left)} is left of {_told(had)}, {after.n_rows:,} labels")
        figures[name] = {"auroc": asdict(left), "before": asdict(had), "n": after.n_rows}
    if not taken:
        lines.append("history removed: not checked")
    return Check("shortcuts", "checked", tuple(lines), figures)


def elsewhere(workspace: str, home: str, beside: Sequence[str]) -> Check:
    """Tell whether the records are of another place than those that the decoder learned from.

    Args:
        workspace: Whose labels were asked about.
        home: Whose records the decoder learned from; "" = not known.
        beside: What the same task gave there, as lines.
    """
    if not home or workspace == home:
        why = "not known where the run learned" if not home else "the run learned from records of this very workspace"
        return Check(
            "another distribution", "not checked", (f"{why}: ask the same task in another, `tawt risk TASK -w OTHER`",)
        )
    return Check("another distribution", "checked", (f"asked of {workspace}, learned in {home}", *beside))
