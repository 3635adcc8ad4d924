"""What a record must not hold, as a YAML file says it, and what is done with one that does."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from tawt.config.base import Section, is_pattern

Pattern = Annotated[str, AfterValidator(is_pattern)]
"""A regular expression that is looked for in the code."""
Drop = Literal["drop_event", "reject_record"]
Mend = Literal["drop_event", "clip", "reject_record"]
Years = Annotated[float, Field(ge=0)]


def _ascends(years: tuple[float, float]) -> tuple[float, float]:
    if years[0] > years[1]:
        raise ValueError("two ages, the lower one first")
    return years


Ages = Annotated[tuple[Years, Years], AfterValidator(_ascends)]
"""From an age up to another."""


class Dropped(Section):
    """A rule whose events are taken out, or their records with them."""

    repair: Drop = "drop_event"
    """`drop_event` or `reject_record`."""


class Clipped(Section):
    """A rule that can also be kept by moving what breaks it to the nearest that does not."""

    repair: Mend = "clip"
    """`clip`, `drop_event` or `reject_record`."""


class Once(Dropped):
    """Events that a record has once at most: the first one stays."""

    codes: Pattern
    """What they are."""


class AfterDeath(Dropped):
    """What comes later than the first death."""

    allowed: tuple[Pattern, ...] = ()
    """Codes that may, as those of administration."""


class Fact(Section):
    """A row that says something of its subject."""

    codes: Pattern
    """Codes that it may have."""
    text: Pattern | None = None
    """Looked for in its text, which it then must have."""


class OfSex(Dropped):
    """Codes that people of one sex have."""

    codes: Pattern
    """What they are; also looked for in their descriptions."""
    sex: Literal["female", "male"]
    """Who has them; of whom nothing is known may have them too."""


class OfAge(Dropped):
    """Codes that people of some ages have."""

    codes: Pattern
    """What they are; also looked for in their descriptions."""
    years: Ages
    """From and up to this age; at an age that is not known all may come."""


class RulesConfig(Section):
    """What records are held to. A file takes the place of `pipelines/rules.yaml` as a whole; a rule that is left out
    is as it stands here."""

    backwards: Clipped = Clipped()
    """Time before that of the row before; clipped to that."""
    out_of_range: Clipped = Clipped()
    """A number outside of what is plausible, by the pipeline and the seeds; clipped to the bound."""
    unknown_value: Dropped = Dropped()
    """A number or text that the data_type does not have in the vocabulary."""
    unknown_unit: Dropped = Dropped()
    """A number that came in a unit from which nothing leads to the data_type's."""
    births: Once = Once(codes=r"^(MEDS_)?BIRTH(//|$)")
    """A second birth."""
    deaths: Once = Once(codes=r"^(MEDS_)?DEATH(//|$)")
    """A second death."""
    after_death: AfterDeath = AfterDeath()
    """Anything later than the first death."""
    statics: Dropped = Dropped()
    """A static data_type for the second time, or a second sex."""
    female: tuple[Fact, ...] = ()
    """What says that a subject is female."""
    male: tuple[Fact, ...] = ()
    """What says that a subject is male."""
    of_sex: dict[str, OfSex] = {}
    """Rules by sex, by name."""
    of_age: dict[str, OfAge] = {}
    """Rules by age, by name."""
