"""A metric: one number for each of several weightings of the same rows, or none and the reason why."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import ArrayLike

from tawt.arrays import Floats
from tawt.errors import ContractError

Better = Literal["larger", "smaller", "0", "1", "level", ""]
"""Which numbers of a metric are better: nearer to one, or nearer to the `level` of an interval; "" = neither."""
Z = 1.959963984540054
"""Of 95 % of a normal distribution."""
_CHUNK = 1 << 20
"""Rows times draws that are worked on at once: 8 MB an array."""


class Outcome(Protocol):
    """What came and what was predicted, of `n` rows."""

    @property
    def n_rows(self) -> int:
        """`n`."""
        ...

    def lacks(self, weights: Floats) -> str:
        """Return why nothing can be measured with the weights `(n,)`; "" where it can."""
        ...


@dataclass(frozen=True)
class Measure:
    """A number, or None and why there is none."""

    value: float | None
    """The number."""
    reason: str | None = None
    """Why there is none, in a few words."""


ADDS_UP = "no interval: draws of subjects only add to errors of groups"
"""Of a metric that is 0 at best and larger by whatever chance does, even of a perfect model."""


@dataclass(frozen=True)
class Metric:
    """One metric of one kind of outcome."""

    name: str
    """Its key in JSON."""
    title: str
    """What a table calls it."""
    better: Better
    """Which numbers of it are better."""
    score: Callable[[Any, Floats], Floats]
    """Outcome, weights `(k, n)` -> `(k,)`, NaN where it is not defined."""
    why: Callable[[Any, Floats], str] | None = None
    """Outcome, weights `(n,)` -> why it is not defined there, where that is its own reason."""
    no_interval: str = ""
    """Why draws of subjects say nothing of how far chance moved it; "" = they do."""

    def of(self, outcome: Outcome, weights: Floats) -> Floats:
        """Return the metric `(k,)` under each weighting, NaN where it is not defined.

        Args:
            outcome: Of `n` rows.
            weights: `(k, n)`, how often each row counts; 0 = not at all.
        """
        if not len(weights):
            return np.empty(0)
        at_once = max(1, _CHUNK // max(1, outcome.n_rows))
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            parts = [self.score(outcome, weights[i : i + at_once]) for i in range(0, len(weights), at_once)]
        found = np.concatenate(parts).astype(np.float64)
        found[~np.isfinite(found)] = np.nan
        return found

    def __call__(self, outcome: Outcome, weights: ArrayLike | None = None) -> Measure:
        """Return the metric of all rows, or why there is none.

        Args:
            outcome: Of `n` rows.
            weights: `(n,)`, not negative; None = each row counts once.

        Raises:
            ContractError: The weights are not `n` numbers, or one is negative.
        """
        row = held_weights(weights, outcome.n_rows)
        if reason := outcome.lacks(row):
            return Measure(None, reason)
        (value,) = self.of(outcome, row[None])
        if np.isfinite(value):
            return Measure(float(value))
        return Measure(None, (self.why(outcome, row) if self.why else "") or "not defined on these rows")


def measured(metrics: Iterable[Metric], outcome: Outcome, weights: ArrayLike | None = None) -> dict[str, Measure]:
    """Return several metrics of all rows by their names.

    Raises:
        ContractError: As of one.
    """
    return {metric.name: metric(outcome, weights) for metric in metrics}


def held_weights(weights: ArrayLike | None, n_rows: int) -> Floats:
    """Return the weights of rows `(n,)`, 1 each where None are given.

    Raises:
        ContractError: They are not as many, or one is negative or not finite.
    """
    if weights is None:
        return np.ones(n_rows)
    row = numbers(weights, "weights", n_rows)
    if (row < 0).any():
        raise ContractError("weights", f"{(row < 0).sum():,} are below 0, expected none")
    return row


def numbers(values: ArrayLike, name: str, n_rows: int | None = None, n_dims: int = 1) -> Floats:
    """Return values as finite float64.

    Args:
        values: Numbers or truths.
        name: What a message calls them.
        n_rows: How many there are to be; None = any number.
        n_dims: How many dimensions.

    Raises:
        ContractError: They are no numbers, not finite, of another shape or not as many.
    """
    try:
        array = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        raise ContractError(name, "are not numbers, expected numbers") from None
    if array.ndim != n_dims:
        raise ContractError(name, f"have {array.ndim} dimensions, expected {n_dims}")
    if n_rows is not None and len(array) != n_rows:
        raise ContractError(name, f"has {len(array):,} rows, expected {n_rows:,}, one for each truth")
    if n_bad := int((~np.isfinite(array)).sum()):
        raise ContractError(name, f"has {n_bad:,} numbers that are not finite, expected none")
    return array


def mean_of(values: Floats, weights: Floats) -> Floats:
    """Return the weighted mean `(k,)` of values `(n,)` under weights `(k, n)`."""
    mean: Floats = (weights @ values) / weights.sum(1)
    return mean


def wilson(share: Floats, n: Floats) -> tuple[Floats, Floats]:
    """Return the ends of the interval of 95 % of shares of so many independent rows.

    Source: Wilson 1927, Probable inference (the score interval).
    """
    middle, reach = share + Z**2 / (2 * n), Z * np.sqrt(share * (1 - share) / n + Z**2 / (4 * n**2))
    return (middle - reach) / (1 + Z**2 / n), (middle + reach) / (1 + Z**2 / n)
