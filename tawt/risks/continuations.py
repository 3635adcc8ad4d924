"""What came in continuations of records, kept as records: what any question can be asked of afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch

from tawt.arrays import Bools, Ints
from tawt.contracts.meds import MEDS_TYPES
from tawt.contracts.value_status import ValueStatus
from tawt.dataset.records import Records, joined
from tawt.models.decoder.drawn import Drawn
from tawt.models.decoder.heads import Step
from tawt.models.decoder.sample import Sampler
from tawt.synthesis import written
from tawt.synthesis.rollout import records_of
from tawt.synthesis.values import Meanings

TRAJECTORY_TYPES: dict[str, pa.DataType] = {**MEDS_TYPES, "prediction_time": pa.timestamp("us")}
"""Column -> its type, of a file of `GeneratedTrajectorySchema`."""
# source: MEDS_trajectory_evaluation, schema.py: the MEDS data schema, and a prediction time that is never null


@dataclass(frozen=True, eq=False)
class Continued:
    """`s` continuations, of `d` records `n` each: those of the first record, then those of the second."""

    records: Records
    """What came of each; its subject is whose record it continues."""
    asked: Ints
    """`(s,)`, the prediction times, us since 1970-01-01."""
    number: Ints
    """`(s,)`, which continuation of its record each is, from 0."""
    is_whole: Bools
    """`(s,)`, whether it came to the record's end, or past the time up to which it was followed; else it was cut."""

    def last(self) -> Ints:
        """Return `(s,)`, us since 1970-01-01 of the last event of each; the prediction time where nothing came."""
        found = self.asked.copy()
        there = np.flatnonzero(self.records.lengths)
        ends = self.records.bounds[1:][there] - 1
        found[there] = np.maximum(found[there], self.records.time[ends] + self.records.origin[there])
        return found


class Keeper:
    """Hands on what a sampler draws, and keeps it."""

    def __init__(self) -> None:
        self._drawn: list[tuple[list[Drawn], Bools]] = []
        self._over: list[Bools] = []

    def events(self, sampler: Sampler, most: int, until: Ints | None) -> Iterator[Drawn]:
        """Give what is drawn, up to the end of each record or the first event beyond a time, which is kept too."""
        over: Bools = np.zeros(len(sampler.words), dtype=np.bool_)
        kept: list[Drawn] = []
        there: list[Bools] = []
        for drawn in sampler.events(most):
            here: Bools = ~over & (drawn.step != Step.END)
            kept.append(drawn)
            there.append(here)
            over = over | ~here
            if until is not None:  # what lies beyond is one event that says that somebody was there by then
                over = over | ((drawn.step != Step.STATIC) & (drawn.time > until))
            sampler.alive &= torch.from_numpy(~over)
            yield drawn
        self._over.append(over)
        self._drawn.append((kept, np.stack(there)))

    def continued(self, subject_id: Ints, origin: Ints, asked: Ints, n: int) -> Continued:
        """Return all that was kept.

        Args:
            subject_id: `(d,)`, of the records that were continued.
            origin: `(d,)`, what their times count from, us since 1970-01-01.
            asked: `(d,)`, their prediction times, us since 1970-01-01.
            n: Continuations of each.
        """
        whose, begun = np.repeat(subject_id, n), np.repeat(origin, n)
        ends = np.cumsum([there.shape[1] for _, there in self._drawn])[:-1]
        parts = zip(self._drawn, np.split(whose, ends), np.split(begun, ends), strict=True)
        records = joined(records_of(drawn, there, *of) for (drawn, there), *of in parts)
        number = np.tile(np.arange(n), len(subject_id))
        return Continued(records, np.repeat(asked, n), number, np.concatenate(self._over))


def as_events(continued: Continued, meanings: Meanings) -> pa.Table:
    """Return continuations as events, in canonical units: `continuation` is that of `continued` which has it, `number`
    which one of its record that is.

    What a panel expected and nobody measured is no event, here as there.
    """
    records = continued.records.keep(continued.records.value_status != ValueStatus.NOT_MEASURED)
    owner = records.subject
    asked = pa.array(continued.asked[owner]).cast(pa.timestamp("us"))
    events = written.as_events(records, meanings).append_column("prediction_time", asked)
    return events.append_column("continuation", pa.array(owner)).append_column(
        "number", pa.array(continued.number[owner])
    )


def trajectories(events: pa.Table, number: int) -> pa.Table:
    """Return one continuation of each record as `GeneratedTrajectorySchema` has it, by subject, prediction time, time.

    Args:
        events: As of `as_events`.
        number: Which continuation.
    """
    own = events.filter(pc.equal(events["number"], number))
    table = own.select([*TRAJECTORY_TYPES])
    keys = [(name, "ascending") for name in ("subject_id", "prediction_time")]
    order = pc.sort_indices(table, sort_keys=[*keys, ("time", "ascending", "at_start")])
    fields = [
        pa.field(name, type_, nullable=name not in ("subject_id", "code", "prediction_time"))
        for name, type_ in TRAJECTORY_TYPES.items()
    ]
    return table.take(order).cast(pa.schema(fields))
