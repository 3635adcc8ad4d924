"""How far chance among patients may have moved a number: twenty groups of them, each left out in turn.

Draws with replacement put every patient in several times, and what is a distance, as KS is, grows by it: their interval
would lie beside the number. A set without a twentieth of its patients is a set like the whole. What is counted is
counted by group, in one pass, and all sets lose the same group at once: the spread is that of all of them together.

Source: Shao and Wu 1989, A general theory for jackknife variance estimation (several left out at once, which is right
where leaving out one is not).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, TypeVar

import numpy as np

from tawt.arrays import Bools, Floats, Ints
from tawt.contracts.cells import SMALL_CELL

N_GROUPS = 20
_T = 2.093
"""97.5 % quantile of t with 19 degrees of freedom."""
LEAST_SUBJECTS = 5 * N_GROUPS
"""With fewer there is no interval."""


@dataclass(frozen=True)
class Measure:
    """A number and how far chance may have moved it."""

    value: float | None
    low: float | None = None
    """Lower end of the interval of 95 %."""
    high: float | None = None
    """Upper end."""
    reason: str | None = None
    """Why there is no number, or no interval."""

    def text(self) -> str:
        """Return the number and its interval in words; `-` where there is none."""
        if self.value is None:
            return "-"
        return f"{self.value:.3f}" + (f" ({self.low:.3f} to {self.high:.3f})" if self.low is not None else "")


T = TypeVar("T")
Figures = Mapping[str, float | None]
"""Metric -> its number; None or NaN where it is not defined."""


def group_of(first: int, n: int) -> Ints:
    """Return the group of each subject, by its number in the cohort."""
    return np.arange(first, first + n) % N_GROUPS


def without_group(n: int, group: int | None) -> Bools:
    """Return which of `n` subjects are in another group, `(n,)`; None = all are."""
    found: Bools = group_of(0, n) != (-1 if group is None else group)
    return found


def by_group(values: Any, group: Ints) -> Any:
    """Return the sums over the rows of each group, `(N_GROUPS, ...)`, of `(n, ...)`."""
    found = np.zeros((N_GROUPS, *values.shape[1:]), dtype=np.float32 if values.ndim > 2 else np.float64)
    for g in np.unique(group):
        found[g] = values[group == g].sum(0)
    return found


def added(one: T, other: T) -> T:
    """Return two tallies, dataclasses of counts, of arrays `(N_GROUPS, ...)`, distributions and tallies, as one."""
    return _with(one, lambda name: _added(getattr(one, name), getattr(other, name)))


def without(tally: T, group: int | None) -> T:
    """Return a tally with its groups added up, `(...)` each, but for one; None = all of it."""
    return _with(tally, lambda name: _without(getattr(tally, name), group))


def _with(tally: T, of: Callable[[str], Any]) -> T:
    named: Any = tally
    found: T = replace(named, **{one.name: of(one.name) for one in fields(named)})
    return found


def _added(one: Any, other: Any) -> Any:
    if isinstance(one, np.ndarray | int):
        return one + other
    return one.added(other) if hasattr(one, "added") else added(one, other)


def _without(one: Any, group: int | None) -> Any:
    if not isinstance(one, np.ndarray):
        return one.without(group)
    return one[without_group(len(one), group)].sum(0)


def measured(compare: Callable[[T, T], Callable[[T, T], Figures]], real: T, other: T, n: int) -> dict[str, Measure]:
    """Compare two tallies, and say how far chance may have moved each number.

    Args:
        compare: Chooses by the whole sets what is looked at, and returns what looks.
        real: Tally of real records.
        other: The same of others.
        n: Subjects of the smaller set.
    """
    whole = without(real, None), without(other, None)
    look = compare(*whole)
    return told(look(*whole), lambda g: look(without(real, g), without(other, g)), n)


def told(whole: Figures, left: Callable[[int], Figures], n: int) -> dict[str, Measure]:
    """Return numbers with their intervals, from what they are without each group.

    Args:
        whole: Of all.
        left: Returns the same without a group.
        n: Subjects of the smallest set.
    """
    if n < LEAST_SUBJECTS:
        why = f"fewer than {LEAST_SUBJECTS} subjects: no interval"
        return {name: Measure(x, reason=why) if _is(x) else Measure(None, reason=NONE) for name, x in whole.items()}
    each = [left(g) for g in range(N_GROUPS)]
    return {name: _measure(x, [one[name] for one in each]) for name, x in whole.items()}


NONE = "not defined: too little of it"


def _measure(x: float | None, each: Sequence[float | None]) -> Measure:
    if not _is(x):
        return Measure(None, reason=NONE)
    assert x is not None
    if not all(map(_is, each)):
        return Measure(float(x), reason="not defined without each group: no interval")
    values: Floats = np.array(each, dtype=np.float64)
    half = _T * math.sqrt((N_GROUPS - 1) / N_GROUPS * float(((values - values.mean()) ** 2).sum()))
    return Measure(float(x), float(x) - half, float(x) + half)


def _is(x: float | None) -> bool:
    return x is not None and math.isfinite(x)


def mean_of(values: Floats, weights: Floats) -> float:
    """Return a weighted mean, NaN where nothing weighs."""
    own = np.isfinite(values) & (weights > 0)
    return float(values[own] @ weights[own] / weights[own].sum()) if own.any() else math.nan


def share_told(own: float, whole: float) -> float:
    """Return a share of people or of what they have, NaN of nothing; 1 to 10 are told as 10 are."""
    return min(max(own, SMALL_CELL if own else 0), whole) / whole if whole else math.nan
