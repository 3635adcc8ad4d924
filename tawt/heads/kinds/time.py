"""The time to an event, of which some are watched too short."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor
from torch.nn import functional

from tawt.arrays import Bools
from tawt.config.label import LabelConfig
from tawt.contracts.cells import SMALL_CELL
from tawt.errors import ConfigError
from tawt.evaluation.horizons import survival_at
from tawt.heads.kinds.binary import Labels
from tawt.heads.kinds.kind import Numbers, Said, as_tuple, hold_each, numbers_of
from tawt.heads.label_set import LabelSet

EVENTS_PER_BIN = 10
"""Training labels with an event that an interval of time has at least, unless there is but one interval."""


class Time(Labels):
    """The time to an event by the hazard in each of `k` intervals; whoever is censored counts up to then.

    Source: Gensheimer and Narasimhan, A scalable discrete-time survival model for neural networks, 2019.
    """

    name, plural, alone, family = "time", "times to an event", "", "time"
    reads, known_by, words = ("duration_hours",), "duration_hours", ("not seen", "seen")

    @classmethod
    def values(cls, table: pa.Table, column: str, where: str) -> tuple[Numbers, tuple[str, ...]]:
        if "boolean_value" not in table.column_names or table["boolean_value"].null_count == len(table):
            what = "has durations and no `boolean_value`, expected it to say which events were seen"
            raise ConfigError(where, what)
        return numbers_of(table["boolean_value"]), ()

    @classmethod
    def described(cls, rows: LabelSet, config: LabelConfig) -> dict[str, Any]:
        """Return the intervals, of equal numbers of events and up to the horizons that are asked for, with hazards."""
        seen, duration = rows.value[:, 0] > 0, rows.duration[:, 0]
        hold_each(rows, {"an event that was seen": int(seen.sum())})
        for horizon in config.horizons:
            if (duration >= horizon).sum() <= SMALL_CELL:
                what = (
                    f"has {horizon:g} h, and {SMALL_CELL} training labels or fewer of {rows.name} are watched so long"
                )
                raise ConfigError("objective.label.horizons", f"{what}, expected more", "give earlier ones")
        edges = _edges(duration, seen, config.n_bins, config.horizons)
        truth, weight = _intervals(seen, duration, edges)
        hazard = (truth * weight).sum(0) / np.maximum(weight.sum(0), 1)
        outputs = tuple(f"{edge:g} h" for edge in edges)
        return {"outputs": outputs, "prior": as_tuple(hazard), "edges": as_tuple(edges)}

    def targets(self, labels: LabelSet) -> tuple[Numbers, Numbers]:
        seen, watched = _intervals(labels.value[:, 0] > 0, labels.duration[:, 0], np.array(self.spec.edges))
        watched[labels.without] = 0.0
        return seen, watched

    def predict(self, outputs: Tensor) -> Tensor:
        # log of 1 - sigmoid, summed: the chance that nothing came up to the end of each interval
        return functional.logsigmoid(-outputs).cumsum(1).exp()

    def taught(self, outputs: Tensor) -> tuple[Tensor, Tensor]:
        # an interval counts as far as somebody is still there to watch
        return outputs.sigmoid(), torch.cat([torch.ones_like(outputs[:, :1]), self.predict(outputs)[:, :-1]], 1)

    def said(self, labels: LabelSet, said: Numbers, horizons: Sequence[float] = ()) -> Said:
        at = tuple(horizons) or self.spec.edges
        columns = {
            "time_to_event": labels.duration[:, 0], "event_observed": labels.value[:, 0] > 0,
            "predicted_risk": 1 - said.mean(1),
            "predicted_survival": survival_at(np.array(self.spec.edges), said, np.array(at)).tolist(),
        }  # fmt: skip
        return Said(columns, horizons=at)


def _edges(duration: Numbers, seen: Bools, n_bins: int, horizons: Sequence[float]) -> Numbers:
    """Return the ends of intervals: each horizon, and what parts the events between them into tens or more."""
    came = np.sort(duration[seen])
    # the longest times are of few people: watching ends before them
    told = came[: len(came) - SMALL_CELL] if len(came) > 2 * SMALL_CELL else came
    n_bins = max(1, min(n_bins, len(told) // EVENTS_PER_BIN))  # of fewer, a rate is mostly chance
    ends = np.quantile(told, np.arange(1, n_bins + 1) / n_bins, method="higher")
    own, kept = sorted({_nobodys(float(end), duration) for end in ends}), sorted(horizons)

    def n_events(low: float, high: float) -> int:
        return int(np.diff(np.searchsorted(came, (low, high), side="right"))[0])

    for edge in reversed(own):  # rounding moved some events into the interval before
        before = max((h for h in horizons if h < edge), default=-np.inf)
        after = min((one for one in kept if one >= edge), default=np.inf)
        there = [n_events(before, edge)] + ([n_events(edge, after)] if after < np.inf else [])
        if min(there) >= EVENTS_PER_BIN:
            kept.append(edge)
    return np.unique(kept or own[-1:])


def _nobodys(number: float, duration: Numbers) -> float:
    """Return a number that is not below another one, of two digits or as few more as make it nobody's own time."""
    step = 10.0 ** (np.floor(np.log10(max(number, 1e-3))) - 1)
    for parts in (1, 2, 20, 200, 2000):
        first = np.ceil(round(number / step * parts, 9))
        for place in range(parts + 1):
            edge = float(np.round((first + place) * step / parts, 9))
            if np.abs(duration - edge).min() > 1e-9 * max(1.0, edge):
                return edge
    return edge


def _intervals(seen: Bools, duration: Numbers, edges: Numbers) -> tuple[Numbers, Numbers]:
    """Return `(r, k)` in which interval an event came, and `(r, k)` in which there was somebody to watch.

    An interval in which watching ended is not counted: who was there for a part of it says less than a whole no.
    """
    of_event = np.searchsorted(edges, duration)  # of a time on an edge, the interval that ends there
    number = np.arange(len(edges))
    survived = np.searchsorted(edges, duration, side="right")
    watched = number < np.where(seen, of_event + 1, survived)[:, None]
    truth = (number == of_event[:, None]) & seen[:, None]
    return truth.astype(np.float64), watched.astype(np.float64)
