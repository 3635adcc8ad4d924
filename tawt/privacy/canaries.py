"""Records of nobody that are planted into train: does a model know them better than those that it never saw?

Source: Carlini et al. 2019, The Secret Sharer.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from tawt.arrays import Floats, Ints
from tawt.chance import Salt, draw, uniform
from tawt.contracts.cells import SMALL_CELL
from tawt.dataset.records import Records, joined
from tawt.errors import ConfigError
from tawt.evaluation.measure import Z
from tawt.privacy.found import Found, missing

MULTIPLICITIES = (1, 2, 4, 8)
BY_CHANCE = 1 / math.log(2)
"""Bits of exposure on average of a record that was never seen."""


@dataclass(frozen=True, eq=False)
class Planted:
    """Train with canaries in it, and what their exposure is measured by."""

    records: Records
    """Train, then each canary as often as it is planted, each time as another subject."""
    canaries: Records
    """Each canary once."""
    multiplicity: Ints
    """`(c,)`, how often each is planted."""
    candidates: Records
    """Drawn in the same way, and never planted."""


def plant(train: Records, n_each: int = 20, n_candidates: int = 1000, seed: int = 0) -> Planted:
    """Draw records of nobody, no two alike, and plant some of them.

    Each has as many events as some record of train, at random times within its span. What and with which value is
    drawn event by event, of data_types that more than 10 people have: no person stands behind two events of one.

    Args:
        train: Real records, statics among them.
        n_each: Canaries of each multiplicity.
        n_candidates: Records that are drawn and not planted.
        seed: Of all that is drawn.

    Raises:
        ConfigError: Train has no timed events of data_types that more than 10 people have.
    """
    people = train.people(1 + int(train.data_type.max(initial=0)))
    pool = np.flatnonzero(~train.is_static & (people[train.data_type] > SMALL_CELL))
    of = np.flatnonzero(np.bincount(train.subject[~train.is_static], minlength=train.n_subjects) > 0)
    if not len(pool):
        raise ConfigError("canaries", f"find no event that more than {SMALL_CELL} people have, expected some")
    multiplicity = np.repeat(np.array(MULTIPLICITIES, dtype=np.int64), n_each)
    drawn = _drawn(train, pool, of, len(multiplicity) + n_candidates, seed)
    canaries = drawn.take(np.arange(len(multiplicity)))
    often = canaries.take(np.repeat(np.arange(len(multiplicity)), multiplicity))
    often = _called(often, int(drawn.subject_id.max(initial=0)) + 1)
    return Planted(
        joined([train, often]), canaries, multiplicity,
        drawn.take(np.arange(len(multiplicity), drawn.n_subjects)),
    )  # fmt: skip


def _drawn(train: Records, pool: Ints, of: Ints, n: int, seed: int) -> Records:
    like = of[(uniform(draw(np.arange(n), Salt.CANARIES, seed, 0)) * len(of)).astype(np.int64)]
    static = np.bincount(train.subject[train.is_static], minlength=train.n_subjects)
    lengths = np.maximum(train.lengths - static, 3)[like]
    bounds = np.concatenate([[0], np.cumsum(lengths)])
    k, owner = int(bounds[-1]), np.repeat(np.arange(n), lengths)
    rows = pool[(uniform(draw(np.arange(k), Salt.CANARIES, seed, 1)) * len(pool)).astype(np.int64)]
    span = np.maximum(train.time[np.maximum(train.bounds[1:][like] - 1, 0)], 1)
    time = (uniform(draw(np.arange(k), Salt.CANARIES, seed, 2)) * span[owner]).astype(np.int64)
    order = np.lexsort((train.data_type[rows], time, owner))
    rows, time = rows[order], time[order]
    first = int(train.subject_id.max(initial=0)) + 1
    return Records(
        first + np.arange(n), train.origin[like], bounds, np.zeros(k, dtype=np.bool_), time,
        *(getattr(train, name)[rows] for name in ("data_type", "value", "value_token", "value_status")),
    )  # fmt: skip


def _called(records: Records, first: int) -> Records:
    columns = {name: getattr(records, name) for name in records.__dataclass_fields__}
    return Records(**columns | {"subject_id": first + np.arange(records.n_subjects)})


def exposure(canaries: Floats, candidates: Floats) -> Floats:
    """Return `(c,)`, bits: log2 of how many there are less log2 of the canary's rank by loss among them.

    Args:
        canaries: `(c,)`, loss of each under the model.
        candidates: `(n,)`, of records drawn in the same way that were not planted; equal losses count half.
    """
    ordered = np.sort(candidates)
    below, up_to = np.searchsorted(ordered, canaries, "left"), np.searchsorted(ordered, canaries, "right")
    found: Floats = np.log2(len(candidates) + 1) - np.log2(1 + (below + up_to) / 2)
    return found


def exposures(canaries: Floats, multiplicity: Ints, candidates: Floats) -> dict[int, Found]:
    """Return the mean exposure by how often canaries were planted, each with two standard errors to its sides."""
    bits, found = exposure(canaries, candidates), {}
    for times in np.unique(multiplicity):
        own = bits[multiplicity == times]
        if len(own) < 2:
            found[int(times)] = missing("one canary alone", len(own))
            continue
        spread = Z * float(own.std(ddof=1)) / math.sqrt(len(own))
        found[int(times)] = Found(float(own.mean()), float(own.mean()) - spread, float(own.mean()) + spread, len(own))
    return found
