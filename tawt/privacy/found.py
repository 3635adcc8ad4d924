"""A number of an attack, how far chance may have moved it, and what of it may be told."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from tawt.contracts.cells import SMALL_CELL
from tawt.evaluation.measure import wilson


@dataclass(frozen=True)
class Found:
    """What an attack found."""

    value: float | None
    low: float | None = None
    """Lower end of the interval of 95 %."""
    high: float | None = None
    """Upper end."""
    n: int = 0
    """Subjects that it rests on."""
    n_hits: int | None = None
    """How many of them it counts, where it is a share of people."""
    reason: str | None = None
    """Why there is no number."""
    untold: str | None = None
    """Why a number that is there is not told."""
    is_difference: bool = False
    """Whether it is one share less another, which may be below 0."""

    @property
    def is_few(self) -> bool:
        """Whether the number tells a count of few people: of those that it counts, or of the others."""
        hits = self.n_hits
        return hits is not None and (0 < hits <= SMALL_CELL or 0 < self.n - hits <= SMALL_CELL)

    def told(self) -> Found:
        """Return what may be told of it."""
        if 0 < self.n <= SMALL_CELL:
            return Found(None, n=0, reason=f"of fewer than {SMALL_CELL + 1} people")
        if self.untold:
            return Found(None, n=self.n, reason=self.untold)
        if not self.is_few:
            return self
        assert self.n_hits is not None
        share = (SMALL_CELL + 1) / self.n
        side = f"below {share:.3g}" if self.n_hits <= SMALL_CELL else f"above {1 - share:.3g}"
        return Found(None, n=self.n, reason=f"{side}: of fewer than {SMALL_CELL + 1} people")

    def to_json(self) -> dict[str, Any]:
        """Return what may be told as JSON."""
        return {
            name: value
            for name, value in asdict(self.told()).items()
            if name not in ("n_hits", "untold", "is_difference")
        }

    def text(self) -> str:
        """Return what may be told in a few words."""
        told = self.told()
        if told.value is None:
            return told.reason or "-"
        what = "difference " if told.is_difference else ""
        return f"{what}{told.value:.3g}" + ("" if told.low is None else f" ({told.low:.3g} to {told.high:.3g})")


def missing(reason: str, n: int = 0) -> Found:
    """Return that there is no number, and why."""
    return Found(None, n=n, reason=reason)


def share(n_hits: int, n: int) -> Found:
    """Return a share of independent subjects with its interval."""
    if not n:
        return missing("nobody is there")
    p = n_hits / n
    low, high = (float(end) for end in wilson(np.array(p), np.array(n)))
    return Found(p, min(p, max(0.0, low)), max(p, min(1.0, high)), n, n_hits)


def more(one: Found, other: Found) -> Found:
    """Return how much larger one share is than another of other subjects.

    Source: Newcombe 1998, Interval estimation for the difference between independent proportions (method 10).
    """
    if one.value is None or other.value is None:
        return missing(one.reason or other.reason or "no number")
    assert one.low is not None and one.high is not None and other.low is not None and other.high is not None
    value = one.value - other.value
    low = value - math.hypot(one.value - one.low, other.high - other.value)
    high = value + math.hypot(one.high - one.value, other.value - other.low)
    untold = f"one of both is of fewer than {SMALL_CELL + 1} people" if one.is_few or other.is_few else None
    return Found(value, low, high, min(one.n, other.n), untold=untold, is_difference=True)
