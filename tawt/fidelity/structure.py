"""The shape of records: how many events, how far apart, how many at once, at which hour and on which day."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from tawt.arrays import Floats, Ints
from tawt.contracts.dataset import US_PER_HOUR
from tawt.dataset.records import Records
from tawt.fidelity.distributions import Distributions, apart, distributions_of
from tawt.fidelity.groups import N_GROUPS, Figures, mean_of
from tawt.fidelity.pieces import begins_moment
from tawt.fidelity.values import compared_types, total_variation

SHAPES = ("events", "span", "gaps", "at_once")
"""Kinds of the sample of shapes: events of a subject, hours from the first to the last, hours between moments, and
events of a moment."""


@dataclass(frozen=True, eq=False)
class Structure:
    """Samples and counts, by group of subjects or of all."""

    shapes: Distributions
    """By `SHAPES`."""
    gaps: Distributions
    """Hours from one event to the next of its data_type, by data_type."""
    hours: Floats
    """`(g, 24)`, events by hour of day."""
    weekdays: Floats
    """`(g, 7)`, events by day of the week."""


def structure_of(piece: Records, group: Ints) -> Structure:
    """Measure some records.

    Args:
        piece: The records.
        group: `(s,)`, of the subjects.
    """
    subject, timed = piece.subject, ~piece.is_static
    begins = np.flatnonzero(begins_moment(piece) & timed)
    who, when = subject[begins], piece.time[begins]
    inner = np.flatnonzero(who[1:] == who[:-1]) + 1
    size = np.diff(begins, append=0)
    last_of_subject = np.flatnonzero(np.diff(who, append=-1))
    size[last_of_subject] = piece.bounds[1:][who[last_of_subject]] - begins[last_of_subject]
    there = np.flatnonzero(piece.lengths > 0)
    starts = np.flatnonzero(np.diff(who, prepend=-1))
    span = (when[last_of_subject] - when[starts]) / US_PER_HOUR
    gap = (when[inner] - when[inner - 1]) / US_PER_HOUR
    rows = np.concatenate([piece.bounds[:-1][there], begins[starts], begins[inner], begins])
    kinds = np.repeat(np.arange(len(SHAPES)), [len(x) for x in (there, starts, inner, begins)])
    numbers = np.concatenate([piece.lengths[there], span, gap, size])
    at, apart_hours = next_of_type(piece)
    again = np.isfinite(apart_hours)
    clock = (piece.origin[subject] + piece.time)[timed]
    hour = np.floor_divide(clock, US_PER_HOUR)
    g = group[subject][timed]
    return Structure(
        distributions_of(piece, rows, kinds, numbers, group),
        distributions_of(piece, at[again], piece.data_type[at[again]], apart_hours[again], group),
        np.bincount(g * 24 + hour % 24, minlength=N_GROUPS * 24).reshape(N_GROUPS, 24).astype(np.float64),
        np.bincount(g * 7 + hour // 24 % 7, minlength=N_GROUPS * 7).reshape(N_GROUPS, 7).astype(np.float64),
    )


def in_series(piece: Records, rows: Ints) -> tuple[Ints, Ints]:
    """Return some triplets by record, data_type and time, `(m,)`, and the places among them where a moment begins.

    Args:
        piece: The records.
        rows: `(m,)`, numbers of the triplets.
    """
    columns = np.stack([piece.subject[rows], piece.data_type[rows], piece.time[rows]])
    order = np.lexsort(columns[::-1])
    return rows[order], np.flatnonzero((np.diff(columns[:, order], prepend=-1) != 0).any(0))


def next_of_type(piece: Records) -> tuple[Ints, Floats]:
    """Return triplets, one for each moment of a data_type in a record, and the hours until the next of it, NaN where
    there is none; `(m,)` each."""
    order, starts = in_series(piece, np.flatnonzero(~piece.is_static))
    at = order[starts]
    same = (np.diff(piece.subject[at]) == 0) & (np.diff(piece.data_type[at]) == 0)
    hours = np.full(len(at), np.nan)
    hours[:-1][same] = np.diff(piece.time[at])[same] / US_PER_HOUR
    return at, hours


def structure_compared(
    n_types: int, calendar: str
) -> Callable[[Structure, Structure], Callable[[Structure, Structure], Figures]]:
    """Return what compares the shapes of two sets.

    Args:
        n_types: `v`, data_types of the vocabulary.
        calendar: What dates mean: `kept`, `shifted` (the hour of the day alone), or `none`.
    """

    def compare(real: Structure, other: Structure) -> Callable[[Structure, Structure], Figures]:
        types = compared_types(real.gaps, other.gaps, n_types)
        weights = real.gaps.sizes(n_types)[types].astype(np.float64)

        def look(real: Structure, other: Structure) -> Figures:
            found: dict[str, float | None] = {
                name: _ks(real.shapes, other.shapes, kind) for kind, name in enumerate(SHAPES)
            }
            found["gaps_by_type"] = mean_of(np.array([_ks(real.gaps, other.gaps, kind) for kind in types]), weights)
            if calendar != "none":
                found["hours"] = total_variation(real.hours, other.hours)
            if calendar == "kept":
                found["weekdays"] = total_variation(real.weekdays, other.weekdays)
            return found

        return look

    return compare


def _ks(real: Distributions, other: Distributions, kind: int) -> float:
    x, y = real.of(kind), other.of(kind)
    return apart(x, y)[0] if len(x) and len(y) else math.nan
