"""Predicting the next event of a record: when, what, and with which value."""

from __future__ import annotations

from pydantic import Field, model_validator

from tawt.config.base import Conflict, Section

DRAWN = ("step", "gap", "next_type", "next_status", "next_number", "next_category")
"""Parts of the next event, in the order in which they are drawn: their likelihoods make that of a record."""
NEXT = (*DRAWN, "later")
"""These, and what is asked beside."""


MOST_WHOLE = 168
"""Whole hours within a gap that is told by the clock, at most."""
MOST_DAYS = 400
"""Whole days within a gap that is told by the day, at most."""


class NextConfig(Section):
    """A marked process of events: `p(step) p(gap | step) p(type | gap) p(status, value | type)`, each given the record
    so far. Needs `model.causal` and a token per triplet."""

    weight: float = Field(0.0, ge=0, le=1e6)
    """Weight of the objective; 0 = off."""
    step_weight: float = Field(1.0, ge=0, le=1e6)
    """Weight of the cross-entropy of what kind of step comes: the record's end, a static fact, an event of the same
    moment or of a later one."""
    gap_weight: float = Field(1.0, ge=0, le=1e6)
    """Weight of the log likelihood of the gap to a later moment."""
    type_weight: float = Field(1.0, ge=0, le=1e6)
    """Weight of the cross-entropy of the data_type."""
    status_weight: float = Field(1.0, ge=0, le=1e6)
    """Weight of the cross-entropy of the value's status."""
    number_weight: float = Field(1.0, ge=0, le=1e6)
    """Weight of the log likelihood of a number's quantile rank, of a mixture of truncated logistics."""
    category_weight: float = Field(1.0, ge=0, le=1e6)
    """Weight of the cross-entropy of the category."""
    later_weight: float = Field(0.0, ge=0, le=1e6)
    """Weight of when each of some data_types comes next, nats of all of them behind one event in four: what is told
    early and matters late is kept in mind so. Nothing is drawn from it."""
    n_later: int = Field(64, ge=1, le=4096)
    """These data_types, so many: the most frequent of those that are rarer than events typically are."""
    n_gaps: int = Field(16, ge=1, le=256)
    """Log-normals in the mixture of gaps."""
    n_hours: int = Field(0, ge=0, le=MOST_WHOLE)
    """Whole hours up to which a gap may also be told by the minute of the hour at which it ends, as charting keeps to
    the clock; 0 = log-normals alone. Goes with `minute` in `model.time`."""
    n_days: int = Field(0, ge=0, le=MOST_DAYS)
    """Whole days up to which a gap may also be told by the hour of the day at which it ends and its minute, as rounds
    keep to the day; 0 = not by the day."""
    quiet_hours: float = Field(0.0, ge=0, le=8766)
    """Each hour of a gap, up to this many, makes the event after it weigh one more when its data_type is learned, for
    what ends a stay is one event after hundreds. It is told the gap, so its chance stays what it is; 0 = all alike."""
    n_due: int = Field(0, ge=0, le=4096)
    """Data_types, the most frequent ones, of which it is told how long ago each came last, so that what is measured
    twice a day comes twice a day; 0 = none."""
    due_by_hour: bool = False
    """Whether it is told of these as well whether that was whole hours ago, as what keeps to the clock comes at one
    minute of the hour again and hardly shortly before."""
    due_to_others: bool = False
    """Whether it is told of these as well which came and how long ago, of all at once: one discharge rules out another
    of the same moment, and an admission without one calls for it."""
    hours_after: bool = False
    """Whether each minute at which a gap may end is told which of these came last at that minute of an hour, and how
    long ago: what comes whole hours after another. Needs `n_hours` and `n_due`."""
    n_numbers: int = Field(6, ge=1, le=256)
    """Logistics in the mixture of numbers."""
    numbers_so_far: bool = False
    """Whether a number is told the one of its data_type before it and the mean of all before it, around which it lies
    as far as the state says: so these need not be kept in mind."""
    numbers_of_others: bool = False
    """Whether it is told the same of the `n_due` data_types as well: what one measures hangs on what others did. Needs
    `numbers_so_far`. Of few people it may bring a set too near to them: `tawt assess` tells."""

    @model_validator(mode="after")
    def _fits(self) -> NextConfig:
        if self.numbers_of_others and not (self.numbers_so_far and self.n_due):
            needs = ("numbers_of_others", "numbers_so_far", "n_due")
            raise Conflict("numbers_of_others needs numbers_so_far, and n_due above 0", *needs)
        if self.hours_after and not (self.n_hours and self.n_due):
            raise Conflict("hours_after needs n_hours and n_due above 0", "hours_after", "n_hours", "n_due")
        return self

    @property
    def parts(self) -> dict[str, float]:
        """Weights of the parts that are on."""
        each = {part: self.weight * getattr(self, f"{part.removeprefix('next_')}_weight") for part in NEXT}
        return {part: weight for part, weight in each.items() if weight > 0}
