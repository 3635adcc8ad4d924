"""Whether records hold what no record can: rules are counted on records as they came, then what breaks them goes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import reduce
from typing import Any

import numpy as np

from tawt.arrays import Bools, Floats, Ints
from tawt.config.pipeline import PipelineConfig
from tawt.config.rules import RulesConfig
from tawt.contracts.dataset import BIRTH, US_PER_HOUR
from tawt.contracts.value_status import ValueStatus
from tawt.dataset.reader import TripletDataset
from tawt.dataset.records import Records
from tawt.dataset.vocabulary import Vocabulary
from tawt.project import Project
from tawt.synthesis.values import Meanings
from tawt.transforms.units import Units

_US_PER_YEAR = 8766 * US_PER_HOUR
_NOTHING = -1
_NAMED = (
    "backwards", "out_of_range", "unknown_value", "unknown_unit", "births", "deaths", "after_death", "statics",
)  # fmt: skip


@dataclass
class Broken:
    """How often a rule is broken, counted before any repair."""

    events: int = 0
    """Events that break it."""
    of_events: int = 0
    """Events that it says something of."""
    records: int = 0
    """Records with such an event."""
    of_records: int = 0
    """Records."""
    repair: str = ""
    """What is done with them."""

    @property
    def rate(self) -> float:
        """Share of the events that it says something of."""
        return self.events / self.of_events if self.of_events else 0.0

    def __iadd__(self, other: Broken) -> Broken:
        for name in ("events", "of_events", "records", "of_records"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        return self


@dataclass(frozen=True, eq=False)
class Held:
    """Records after the rules."""

    records: Records
    """What is left of them, mended."""
    rejected: Ints
    """Subjects of the records that are left out."""
    n_dropped: int
    """Events taken out of those that are left."""
    n_clipped: int
    """Events moved in those that are left."""
    broken: dict[str, Broken] = field(default_factory=dict)
    """Rule -> how often it was broken."""


class Rules:
    """Rules, made ready for a vocabulary.

    Args:
        config: The rules.
        vocabulary: What the records are written in.
        ranges: Code -> lowest and highest plausible number, in the canonical unit.
        from_birth: Whether times count from the birth.
    """

    def __init__(
        self,
        config: RulesConfig,
        vocabulary: Vocabulary,
        ranges: Mapping[str, tuple[float, float]] = {},
        from_birth: bool = False,
    ) -> None:
        self.config, self.vocabulary, self.from_birth = config, vocabulary, from_birth
        self.meanings = Meanings(vocabulary)
        self._descriptions = [text or "" for text in vocabulary.table()["description"].to_pylist()]
        wide = (-np.inf, np.inf)
        self.low, self.high = (np.array([ranges.get(code, wide)[i] for code in vocabulary.codes]) for i in (0, 1))
        self.birth = vocabulary.codes.index(BIRTH) if BIRTH in vocabulary.codes else _NOTHING
        self._ages = np.array([re.split(r"[\W_]+", code.lower())[-1] == "age" for code in vocabulary.codes])
        self.of_sex = {name: self._codes([rule.codes], True) for name, rule in config.of_sex.items()}
        self.of_age = {name: self._codes([rule.codes], True) for name, rule in config.of_age.items()}
        self.births, self.deaths = self._codes([config.births.codes]), self._codes([config.deaths.codes])
        self.allowed = self._codes(config.after_death.allowed)
        self._of_sex = [[(self._codes([f.codes]), f.text) for f in facts] for facts in (config.female, config.male)]
        self.repairs: dict[str, str] = {name: getattr(config, name).repair for name in _NAMED}
        self.repairs |= {f"of_sex.{name}": rule.repair for name, rule in config.of_sex.items()}
        self.repairs |= {f"of_age.{name}": rule.repair for name, rule in config.of_age.items()}

    @classmethod
    def of(cls, config: RulesConfig, dataset: TripletDataset, pipeline: PipelineConfig, project: Project) -> Rules:
        """Return rules for records like those of a dataset, with the ranges of its pipeline and the seeds."""
        units, found = Units.of(pipeline, project), {}
        table = dataset.vocabulary.table()
        for code, unit in zip(dataset.vocabulary.codes, table["unit"].to_pylist(), strict=True):
            rule = units.rule(code, unit, unit, unit is not None)
            found[code] = (rule.low, rule.high)
        return cls(config, dataset.vocabulary, found, dataset.time_origin == "birth")

    @property
    def ranges(self) -> list[tuple[str, float, float]]:
        """Code, lowest and highest plausible number, of those that have any."""
        return sorted(
            (code, float(low), float(high))
            for code, low, high in zip(self.vocabulary.codes, self.low, self.high, strict=True)
            if np.isfinite([low, high]).any()
        )

    def _codes(self, patterns: Iterable[str], described: bool = False) -> Bools:
        """Return which data_types have one of some patterns in their code, or their description, `(v,)`."""
        found = [re.compile(one) for one in patterns]
        texts = zip(self.vocabulary.codes, self._descriptions, strict=True)
        return np.array([
            any(one.search(code) or (described and one.search(text)) for one in found) for code, text in texts
        ])  # fmt: skip

    def hold(self, records: Records) -> Held:
        """Count what breaks each rule, and mend or leave out what does."""
        marks = self.marks(records)
        subject, lengths = records.subject, records.lengths
        broken = {}
        for name, (looked, wrong) in marks.items():
            n_records = len(np.unique(subject[wrong]))
            broken[name] = Broken(int(wrong.sum()), int(looked.sum()), n_records, len(lengths), self.repairs[name])
        by: dict[str, Bools] = {}
        for repair in ("reject_record", "drop_event", "clip"):
            none = np.zeros(len(subject), dtype=np.bool_)
            own = [wrong for name, (_, wrong) in marks.items() if self.repairs[name] == repair]
            by[repair] = reduce(np.logical_or, own, none)
        rejected = np.unique(subject[by["reject_record"]])
        stays = np.setdiff1d(np.arange(len(lengths)), rejected)
        dropped, clipped = (by[name] & ~np.isin(subject, rejected) for name in ("drop_event", "clip"))
        mended = self._clipped(records, marks).keep(~dropped).take(stays)
        return Held(mended, records.subject_id[rejected], int(dropped.sum()), int((clipped & ~dropped).sum()), broken)

    def marks(self, records: Records) -> dict[str, tuple[Bools, Bools]]:
        """Return for each rule the events that it says something of, and those that break it, `(n,)` each."""
        kind, subject, timed = records.data_type, records.subject, ~records.is_static
        low, high = self._bounds(records)
        found = {
            "backwards": (timed, timed & (records.time < _running_most(records))),
            "out_of_range": (np.isfinite(low) | np.isfinite(high), (records.value < low) | (records.value > high)),
            "unknown_value": (np.ones_like(timed), self._unknown(records)),
            "unknown_unit": (np.ones_like(timed), records.value_status == ValueStatus.UNIT_UNKNOWN),
            "births": (self.births[kind], _again(subject, self.births[kind])),
            "deaths": (self.deaths[kind], _again(subject, self.deaths[kind])),
        }
        died = _first_time(records, self.deaths[kind] & timed)[subject]
        late = timed & (died != np.iinfo(np.int64).max)
        found["after_death"] = late, late & (records.time > died) & ~self.allowed[kind]
        sexes = [self._saying(records, facts) & records.is_static for facts in self._of_sex]
        twice = _again(subject * len(self.vocabulary) + kind, records.is_static)
        found["statics"] = records.is_static, twice | _again(subject, sexes[0] | sexes[1])
        counts = [np.bincount(subject[sex], minlength=records.n_subjects) > 0 for sex in sexes]
        known = counts[0] ^ counts[1]
        for name, of_sex in self.of_sex.items():
            other = counts[1] if self.config.of_sex[name].sex == "female" else counts[0]
            looked = of_sex[kind] & known[subject]
            found[f"of_sex.{name}"] = looked, looked & other[subject]
        age = self._age(records)[subject] + records.time / _US_PER_YEAR
        for name, of_age in self.of_age.items():
            youngest, oldest = self.config.of_age[name].years
            looked = of_age[kind] & np.isfinite(age) & timed
            found[f"of_age.{name}"] = looked, looked & ((age < youngest) | (age >= oldest + 1))
        return found

    def _bounds(self, records: Records) -> tuple[Floats, Floats]:
        """Return the plausible bounds of each number, normalized; endless where there are none."""
        coder = self.meanings.coder
        kind, number = records.data_type.astype(np.int64), records.has_number
        bounds = []
        for table, endless in ((self.low, -np.inf), (self.high, np.inf)):
            own = table[kind]
            at = number & np.isfinite(own)
            bound = np.full(len(kind), endless)
            bound[at] = coder.normalize(kind[at], own[at])
            bounds.append(bound)
        return bounds[0], bounds[1]

    def _unknown(self, records: Records) -> Bools:
        vocabulary, kind = self.vocabulary, records.data_type
        n_bins, status = vocabulary.n_bins[kind], records.value_status
        place = records.value_token - n_bins
        texts = (status == ValueStatus.CATEGORY) & (vocabulary.n_categories[kind] > 0)
        no_text = texts & ((place < 1) | (place > vocabulary.n_categories[kind]))
        number = records.has_number & ((n_bins == 0) | ~np.isfinite(records.value))
        found: Bools = number | no_text
        return found

    def _saying(self, records: Records, facts: Iterable[tuple[Bools, str | None]]) -> Bools:
        """Return which rows are one of some facts, `(n,)`."""
        found = np.zeros(len(records.data_type), dtype=np.bool_)
        for codes, pattern in facts:
            rows = np.flatnonzero(codes[records.data_type])
            if pattern is not None and len(rows):
                columns = (getattr(records, name)[rows] for name in ("data_type", "value_token", "value_status"))
                texts = self.meanings.texts(*columns)
                rows = rows[np.array([text is not None and bool(re.search(pattern, text)) for text in texts])]
            found[rows] = True
        return found

    def _age(self, records: Records) -> Floats:
        """Return the years of each subject at the moment that times count from; NaN where they are not known."""
        age = np.full(records.n_subjects, np.nan)
        rows = np.flatnonzero(self._ages[records.data_type] & records.has_number & records.is_static)
        columns = (getattr(records, name)[rows] for name in ("data_type", "value", "value_status"))
        age[records.subject[rows]] = self.meanings.numbers(*columns)
        if self.from_birth and self.birth != _NOTHING:
            age[records.subject[records.data_type == self.birth]] = 0.0
        return age

    def _clipped(self, records: Records, marks: Mapping[str, tuple[Bools, Bools]]) -> Records:
        columns: dict[str, Any] = {}
        if self.repairs["backwards"] == "clip":
            columns["time"] = np.where(marks["backwards"][1], _running_most(records), records.time)
        wrong = marks["out_of_range"][1]
        if self.repairs["out_of_range"] == "clip" and wrong.any():
            low, high = self._bounds(records)
            value, token = records.value.copy(), records.value_token.copy()
            value[wrong] = np.clip(value[wrong], low[wrong], high[wrong])
            token[wrong] = self.vocabulary.bins(records.data_type[wrong], value[wrong])
            columns |= {"value": value, "value_token": token}
        return replace(records, **columns)


def _running_most(records: Records) -> Ints:
    """Return the latest time of each timed row's record up to it, us; 0 for a static."""
    most = np.zeros_like(records.time)
    timed = np.flatnonzero(~records.is_static)
    if not len(timed):
        return most
    # ranks of times, lifted by record, so that one running maximum serves all of them
    times, rank = np.unique(records.time[timed], return_inverse=True)
    lift = records.subject[timed] * len(times)
    most[timed] = times[np.maximum.accumulate(rank + lift) - lift]
    return most


def _again(keys: Ints, rows: Bools) -> Bools:
    """Return which of some rows are not the first of their key, `(n,)`."""
    found = np.zeros(len(rows), dtype=np.bool_)
    at = np.flatnonzero(rows)
    found[at] = True
    found[at[np.unique(keys[at], return_index=True)[1]]] = False
    return found


def _first_time(records: Records, rows: Bools) -> Ints:
    """Return the earliest time of some rows of each record, `(s,)` us; the largest number where it has none."""
    first = np.full(records.n_subjects, np.iinfo(np.int64).max)
    np.minimum.at(first, records.subject[rows], records.time[rows])
    return first
