"""What pictures show of sets: shares of data_types, values, gaps and lengths, none of which tells of few people.

What is counted by group of subjects is of more than ten people where more than ten groups have some of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from tawt.arrays import Bools, Floats, Ints
from tawt.contracts.cells import SMALL_CELL, Part, untold_parts
from tawt.dataset.scales import Scale
from tawt.fidelity.distributions import Distributions
from tawt.fidelity.groups import N_GROUPS, without
from tawt.fidelity.portrait import Portrait
from tawt.fidelity.temporal import WINDOWS, variance

N_BINS = 24
HOURS = np.geomspace(1 / 60, 8766 * 100, N_BINS + 1)
_THURSDAY = 3
"""Day of the week of 1970-01-01, from Monday on."""
COUNTS = np.geomspace(1, 1e4, N_BINS + 1)


@dataclass(frozen=True, eq=False)
class Line:
    """A line of a picture; NaN where too few people stand behind it."""

    x: Floats
    y: Floats


def prevalence(real: Portrait, other: Portrait) -> tuple[Ints, Floats, Floats]:
    """Return data_types, and the share of subjects of both sets who have each; those of few of either are left out."""
    a, b = without(real.pairs, None), without(other.pairs, None)
    told = (a.people > SMALL_CELL) & ((b.people == 0) | (b.people > SMALL_CELL))
    types = np.flatnonzero(told)
    return types, _had(a.people[types], float(a.n)), _had(b.people[types], float(b.n))


def _had(people: Floats, n: float) -> Floats:
    """Return the shares of `n` subjects who have something; where few have not, they are told as 10."""
    lack = n - people
    found: Floats = 1 - np.where(lack > 0, np.maximum(lack, min(SMALL_CELL, n)), 0) / n
    return found


def edges_of(sample: Distributions, kind: int, step: float = 0.0, zero: float = 0.0) -> Floats:
    """Return edges of the bins of a data_type's numbers: over all that many people reach, so they hang on nobody's own.

    Nothing where the numbers do not differ, or are of few people. A mean and a deviation would tell one number beyond
    all measure. Where numbers keep to a step, each bin holds as many of its multiples as any other: else a picture has
    teeth that no record has.

    Args:
        sample: Numbers of the real records.
        kind: The data_type.
        step: That nearly all of its numbers are multiples of; 0 = none.
        zero: What the multiples count from.
    """
    points = Scale.of(sample.of(kind), sample.groups_of(kind).astype(np.int64)).points
    if len(points) < 2 or points[0] == points[-1]:
        return np.zeros(0)
    room = (points[-1] - points[0]) / (N_BINS - 2)
    if not step:
        return np.linspace(points[0] - room, points[-1] + room, N_BINS + 1)
    width = int(np.ceil(room / step - 1e-6)) * step
    first, last = zero + np.round((points[[0, -1]] - zero) / step) * step
    low, n = first - step / 2, np.ceil((last - first) / width - 1e-6) + 1
    edges: Floats = low + width * np.arange(-1, n + 2)
    return edges


def histogram(sample: Distributions, kind: int, edges: Floats) -> Line:
    """Return the shares of numbers in bins, of all that the sample has of the kind."""
    value, group = sample.of(kind), sample.groups_of(kind)
    at = np.searchsorted(edges, value, side="right") - 1
    inside = (at >= 0) & (at < len(edges) - 1)
    n = len(edges) - 1
    cells = np.bincount(at[inside] * N_GROUPS + group[inside], minlength=n * N_GROUPS).reshape(n, N_GROUPS)
    beyond = np.bincount(group[~inside], minlength=N_GROUPS)
    return Line(0.5 * (edges[1:] + edges[:-1]), _told(np.concatenate([cells, beyond[None]]))[:-1])


def _told(cells: Ints) -> Floats:
    """Return shares of all in bins, `(b, g)`, whose sum is known; NaN where they are not told, 0 where nobody is."""
    n = cells.sum(1)
    return np.where(_untold(n, (cells > 0).sum(1)), np.nan, n / max(n.sum(), 1))


def _untold(n: Ints, people: Ints) -> Bools:
    """Return which parts of a known sum, `(b,)`, are not told: those of few, and others so that no rest is of few."""
    parts = [Part(f"{i:03}", int(rows), int(of)) for i, (rows, of) in enumerate(zip(n, people, strict=True))]
    gone = untold_parts(parts)
    return np.array([part.name in gone for part in parts], dtype=np.bool_)


def of_clock(portrait: Portrait, name: Literal["hours", "weekdays"]) -> Line:
    """Return the shares of events by hour of day, or by day of the week from Monday on."""
    counts: Floats = getattr(portrait.structure, name)
    if name == "weekdays":
        counts = np.roll(counts, _THURSDAY, 1)
    cells = counts.T.astype(np.int64)
    return Line(np.arange(len(cells), dtype=np.float64) + 0.5, _told(cells))


def recurrence(portrait: Portrait) -> Floats:
    """Return the share of moments of a data_type after which it comes again within each window, of all data_types."""
    again = portrait.temporal.again.sum(1)
    shares = again.sum(0).cumsum() / max(again.sum(), 1)
    told, begin = np.full(len(shares), np.nan), 0
    for end in range(1, len(shares) + 1):  # what lies between two that are told, and behind the last, is of many
        if not (_is_few(again[:, begin:end]) or _is_few(again[:, end:])):
            told[end - 1], begin = shares[end - 1], end
    return told[: len(WINDOWS)]


def _is_few(counts: Floats) -> bool:
    """Return whether few people have any, `(g, b)`."""
    return 0 < int(counts.any(1).sum()) <= SMALL_CELL


def variogram(portrait: Portrait, real: Portrait) -> Floats:
    """Return half the mean squared difference of values by the hours between them, in variances of the real ones."""
    scale = variance(without(real.temporal, None).moments)[None, :, None]
    pairs = np.where(np.isfinite(scale), portrait.temporal.pairs, 0)
    square = np.where(pairs > 0, portrait.temporal.square / scale, 0)
    n = pairs.sum(1)
    with np.errstate(invalid="ignore"):
        found: Floats = square.sum((0, 1)) / n.sum(0)
    return np.where((n > 0).sum(0) > SMALL_CELL, found, np.nan)[: len(WINDOWS)]


def roc(members: Floats, others: Floats, rates: Sequence[float]) -> Floats:
    """Return the share of members that are found at each share of others that are wrongly taken for one."""
    ranked = np.sort(others)[::-1]
    found = []
    for rate in rates:
        k = int(np.floor(rate * len(others) + 1e-9))
        bar = ranked[k] if k < len(ranked) else -np.inf
        hits = int((members > bar).sum()) if k >= 1 else -1
        few = 0 < hits <= SMALL_CELL or 0 < len(members) - hits <= SMALL_CELL or k < 1
        found.append(np.nan if few else hits / len(members))
    return np.array(found)


def scores_shown(real: Floats, other: Floats) -> tuple[Line, Line]:
    """Return how scores of a discriminator are dealt out in both sets, by their rank among all."""
    both = np.concatenate([real, other])
    rank = np.argsort(np.argsort(both, kind="stable"), kind="stable") / max(len(both), 1)
    edges = np.linspace(0, 1, 11)
    counts = [np.histogram(part, edges)[0] for part in (rank[: len(real)], rank[len(real) :])]
    untold = _untold(counts[0], counts[0]) | _untold(counts[1], counts[1])  # both together are a tenth of all
    a, b = (Line(0.5 * (edges[1:] + edges[:-1]), np.where(untold, np.nan, n / max(n.sum(), 1))) for n in counts)
    return a, b
