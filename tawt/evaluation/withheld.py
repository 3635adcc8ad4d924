"""What an evaluation does not tell: figures of few subjects, or of few with an outcome, or without it."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
from numpy.typing import NDArray

from tawt.arrays import Bools, Ints
from tawt.contracts.cells import SMALL_CELL
from tawt.evaluation.calibration import MCE, bins_of
from tawt.evaluation.classes import Columns
from tawt.evaluation.measure import Outcome
from tawt.evaluation.metrics import Binary
from tawt.evaluation.resample import Interval
from tawt.evaluation.survival import Survival

WITHHELD = "withheld: "
"""How a reason begins why a figure is not told."""
FEW = f"{WITHHELD}fewer than {SMALL_CELL + 1} subjects in a cell"
DIFFERENCE = f"{WITHHELD}the others and the whole would tell a small cell"
_BIN = f"{WITHHELD}a bin has fewer than {SMALL_CELL + 1} rows"


def n_subjects(subject: Ints, rows: Bools) -> int:
    """Return how many subjects have one of these rows."""
    return len(np.unique(subject[rows]))


def has_small_cell(outcome: Outcome, subject: Ints, rows: Bools | None = None) -> bool:
    """Return whether 1 to 10 subjects have one of these rows (None = all), or one with an outcome, or one without."""
    rows = np.ones(outcome.n_rows, dtype=bool) if rows is None else rows
    return _is_small(subject, rows) or any(_has_few(subject, rows, truth) for truth in _truths(outcome))


def without(reason: str) -> Interval:
    """Return what stands in the place of a figure that is not told."""
    return Interval(None, None, None, 0, 0, reason)


def withheld_text(split: str, n_subjects: int | None, only: int | None = None) -> str:
    """Return a sentence that says why nothing is told of a split, and what would do.

    Args:
        split: What was measured.
        n_subjects: Of whom there is a label; None = few.
        only: So many labels were asked about of more that there are; None = all were.
    """
    few = f"fewer than {SMALL_CELL + 1}"
    if only is not None:
        what = "subjects" if n_subjects is None else "subjects with one of the answers"
        return f"no figure is told: `--only {only}` leaves {few} {what} of {split}. Raise it, or leave it out."
    why = (
        f"{split} has {few} subjects with a label"
        if n_subjects is None
        else f"of {n_subjects:,} subjects of {split}, {few} have one of the answers"
    )
    return (
        f"no figure is told: {why}. Ask about a task of which more have each answer, as `tawt label` counts them, or "
        "about more records."
    )


def withheld(metrics: Collection[str], outcome: Outcome, subject: Ints, rows: Bools | None = None) -> dict[str, str]:
    """Return which metrics of some rows are not told, each with the reason.

    Where the rows, or those with an outcome, or without it, are of few subjects, nothing is told. Of several classes,
    or labels, those of few are not told, nor a mean of all; where no other is left, nothing is. The largest error of
    a bin tells of a person where a bin has 10 rows or fewer.

    Args:
        metrics: Their names.
        outcome: Of `n` rows.
        subject: `(n,)`, whose each row is.
        rows: `(n,)`, which are measured; None = all.
    """
    rows = np.ones(outcome.n_rows, dtype=bool) if rows is None else rows
    if isinstance(outcome, Columns) and not _is_small(subject, rows):
        truths = dict(zip(outcome.names, _truths(outcome), strict=True))
        small = {name for name, truth in truths.items() if _has_few(subject, rows, truth)}
        if len(small) < len(truths):
            of_all = ("macro_",) if small else ()
            return {one: FEW for one in metrics if one.partition(":")[2] in small or one.startswith(of_all)}
    elif not has_small_cell(outcome, subject, rows):
        if not isinstance(outcome, Binary) or MCE.name not in metrics:
            return {}
        weight = bins_of(outcome, rows[None].astype(np.float64)).weight
        return {MCE.name: _BIN} if ((weight > 0) & (weight <= SMALL_CELL)).any() else {}
    return dict.fromkeys(metrics, FEW)


def _is_small(subject: Ints, rows: Bools) -> bool:
    return 0 < n_subjects(subject, rows) <= SMALL_CELL


def _has_few(subject: Ints, rows: Bools, truth: NDArray[np.float64]) -> bool:
    return any(_is_small(subject, rows & (truth == one)) for one in (0, 1))


def _truths(outcome: Outcome) -> list[NDArray[np.float64]]:
    """Yes-or-no columns whose counts the metrics would tell."""
    match outcome:
        case Binary():
            return [outcome.truth]
        case Columns():
            return [*outcome.truth.T]
        case Survival():
            return [outcome.event.astype(np.float64)]
    return []
