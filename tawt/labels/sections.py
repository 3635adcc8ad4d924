"""What a task says, section by section: the keys of an ACES file, and those that say what ACES cannot."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from tawt.config.base import Conflict, Section
from tawt.contracts.contract import own_contract
from tawt.errors import nearest
from tawt.labels.language import Bound, bound, counts, derived, duration

PLACEHOLDER = "???"
"""Stands in a task for a predicate that a dataset has to say."""
LabelType = Literal["binary", "count", "value", "multiclass", "time_to_event"]
Column = str | bool | int | float


@cache
def event_columns() -> tuple[str, ...]:
    """Return the columns of the relation `events`."""
    return tuple(own_contract("events").names)


def _texts(given: Any) -> Any:
    one = (given,) if isinstance(given, str | int) and not isinstance(given, bool) else given
    return tuple(map(str, one)) if isinstance(one, list | tuple) else one


def _is(reader: Any) -> Any:
    """Return a check of a text that keeps the text."""

    def check(text: str) -> str:
        reader(text)
        return text

    return AfterValidator(check)


Texts = Annotated[tuple[str, ...], BeforeValidator(_texts)]
Side = Annotated[str | None, _is(lambda text: text is None or bound(text))]
Counts = Annotated[tuple[int | None, int | None], BeforeValidator(counts)]


class Code(Section):
    """Which codes a predicate is about; one of the two."""

    any: Texts | None = None
    """These codes."""
    regex: Annotated[str, Field(min_length=1)] | None = None
    """Every code in which this regular expression is found."""

    @model_validator(mode="after")
    def _is_one(self) -> Code:
        if (self.any is None) == (self.regex is None):
            raise Conflict("one of them says which codes are meant", "any", "regex")
        return self


class Predicate(Section):
    """What may hold at a moment of a record: plain (`code`) or derived (`expr`)."""

    code: Code | None = None
    """A code, `{any: [...]}` or `{regex: ...}`."""
    value_min: float | None = None
    """Smallest number that counts."""
    value_max: float | None = None
    """Largest number that counts."""
    value_min_inclusive: bool | None = None
    """Whether `value_min` itself counts; not by default, as in ACES."""
    value_max_inclusive: bool | None = None
    """Whether `value_max` itself counts; not by default, as in ACES."""
    other_cols: dict[str, Column] = {}
    """Further columns of an event and what they must be; they may stand beside `code` too."""
    expr: Annotated[str, _is(derived)] | None = None
    """`and(a, b)` or `or(a, b)` of other predicates at one moment; it may nest."""
    static: bool = False
    """Whether it is a fact without a time, which then must hold for the subject."""

    @model_validator(mode="before")
    @classmethod
    def _as_written(cls, given: Any) -> Any:
        if given == PLACEHOLDER:
            return {}
        if not isinstance(given, Mapping):
            raise ValueError("a mapping with `code` or `expr`")
        columns = {k: v for k, v in given.items() if k not in cls.model_fields and k in event_columns()}
        out = {k: v for k, v in given.items() if k not in columns}
        if columns and isinstance(out.get("other_cols", {}), Mapping):
            out["other_cols"] = {**out.get("other_cols", {}), **columns}
        if isinstance(code := out.get("code"), str | int) and not isinstance(code, bool):
            out["code"] = None if code == PLACEHOLDER else {"any": [str(code)]}
        return out

    @model_validator(mode="after")
    def _fits(self) -> Predicate:
        if self.expr is not None and self.model_fields_set - {"expr", "static"}:
            raise Conflict("a derived predicate has no other keys", "expr")
        if unknown := [name for name in self.other_cols if name not in event_columns()]:
            raise Conflict(f"names the column `{unknown[0]}` ({nearest(unknown[0], event_columns())})", "other_cols")
        return self

    @property
    def placeholder(self) -> bool:
        """Whether a dataset has to say yet what it is."""
        return self.code is None and self.expr is None

    @property
    def inputs(self) -> tuple[str, ...]:
        """The predicates that it is derived from."""
        return derived(self.expr).names if self.expr is not None else ()


class Window(Section):
    """A stretch of a record between two points."""

    start: Side
    """Where it begins; null = where the record does."""
    end: Side
    """Where it ends; null = where the record does."""
    start_inclusive: bool
    """Whether what happens at its very start is within."""
    end_inclusive: bool
    """Whether what happens at its very end is within."""
    has: dict[str, Counts] = {}
    """Predicate -> how many times it must be within, at least and at most."""
    label: Texts = ()
    """The predicate, or several, that are asked for within this window."""
    index_timestamp: Literal["start", "end"] | None = None
    """Which side of this window is the prediction time."""

    @property
    def bounds(self) -> tuple[Bound | None, Bound | None]:
        """Where it begins and ends; None = where the record does."""
        start = None if self.start is None else bound(self.start)
        return start, None if self.end is None else bound(self.end)

    @property
    def from_end(self) -> bool:
        """Whether its end is found first, and its start from there."""
        start, _ = self.bounds
        return start is None or start.sibling == "end"

    @property
    def outer(self) -> Bound:
        """The side that is found from another point."""
        start, end = self.bounds
        outer = end if self.from_end else start
        assert outer is not None
        return outer

    @property
    def predicates(self) -> dict[str, str]:
        """Predicate -> the key of the window that names it."""
        named = {one.predicate: key for key, one in zip(("start", "end"), self.bounds, strict=True) if one}
        return named | {name: f"has.{name}" for name in self.has} | dict.fromkeys(self.label, "label")


class Written(Section):
    """A task: which moments of which records are asked about, and what for."""

    metadata: Any = None
    """Whatever its author says of it."""
    description: str | None = None
    """What is asked, in words."""
    predicates: dict[str, Predicate] = {}
    """What may hold at a moment, by name."""
    patient_demographics: dict[str, Predicate] = {}
    """Facts without a time that must all hold for a subject."""
    trigger: str
    """The predicate of which each moment may become a sample."""
    windows: dict[str, Window] = {}
    """Stretches of the record around it, and what must be within."""
    label_type: LabelType = "binary"
    """Whether the label predicate is there, how often, with what value, in which bin, or when first."""
    label_agg: Literal["first", "last", "min", "max", "mean", "slope"] = "first"
    """Which value, of several in the window; `slope` is per day. Values of one moment are averaged before."""
    bins: tuple[float, ...] = ()
    """Edges between the classes of `multiclass`, ascending; an edge belongs to the class above it."""
    new_onset: bool | None = None
    """Whether a sample is left out where the label predicate was there up to the prediction time. By default it is for
    `time_to_event` and with `horizons`, and not for what ACES itself can say."""
    horizons: Annotated[tuple[str, ...], BeforeValidator(_texts), Field(max_length=50)] = ()
    """Lengths from the start of the label's window, as `30 days`: each is a label of its own."""
    max_per_subject: Annotated[int, Field(ge=1)] | None = None
    """Most samples of one subject."""
    sampling: Annotated[str, Field(pattern=r"^(all|first|random(\(\d{1,9}\))?)$")] = "all"
    """Which samples of a subject, where there are more: `first`, or `random(SEED)`; `all` keeps all."""

    @model_validator(mode="before")
    @classmethod
    def _without_nulls(cls, given: Any) -> Any:
        if not isinstance(given, Mapping):
            return given
        return {k: v for k, v in given.items() if v is not None or k not in ("windows", "patient_demographics")}

    @property
    def all_predicates(self) -> dict[str, Predicate]:
        """The predicates and the demographics, by name; the latter are static."""
        facts = {name: one.model_copy(update={"static": True}) for name, one in self.patient_demographics.items()}
        return self.predicates | facts

    @property
    def label_window(self) -> str | None:
        """The window in which the label is."""
        return next((name for name, window in self.windows.items() if window.label), None)

    @property
    def index_window(self) -> str | None:
        """The window of which one side is the prediction time."""
        return next((name for name, window in self.windows.items() if window.index_timestamp), None)

    @property
    def only_new(self) -> bool:
        """Whether samples of whom the label predicate is known before are left out."""
        return (
            self.new_onset if self.new_onset is not None else bool(self.horizons) or self.label_type == "time_to_event"
        )

    @property
    def horizon_lengths(self) -> tuple[int, ...]:
        """The horizons in microseconds."""
        return tuple(map(duration, self.horizons))

    @property
    def seed(self) -> int:
        """The seed of `sampling: random(SEED)`."""
        return int(re.sub(r"\D", "", self.sampling) or 0)

    def needed(self) -> Iterator[tuple[str, str]]:
        """Yield each predicate that is named, and the key that names it; of derived ones also what they are made of."""
        known = self.all_predicates
        open_ = [(self.trigger, "trigger")]
        open_ += [
            (p, f"windows.{w}.{key}") for w, one in self.windows.items() for p, key in one.predicates.items() if p
        ]
        open_ += [(name, f"patient_demographics.{name}") for name in self.patient_demographics]
        seen: set[str] = set()
        while open_:
            name, key = open_.pop(0)
            if name in seen:
                continue
            seen.add(name)
            yield name, key
            if name in known:
                open_ += [(part, f"predicates.{name}.expr") for part in known[name].inputs]
