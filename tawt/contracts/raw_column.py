"""One column of a raw table: what its cells are."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, ValidationInfo, field_validator, model_validator

from tawt.config.base import Conflict
from tawt.config.pipeline import Marks
from tawt.contracts.contract import Column, YesNo
from tawt.contracts.types import TYPES

_PARTS = {
    "Yy": "", "mbB": "Yy", "d": "mbB", "j": "Yy", "HI": "", "M": "HI", "S": "M", "fg": "S", "p": "I", "I": "p",
    "aA": "d",
}  # fmt: skip
"""Letters behind a `%` in a form of times, of which each stands there once, and beside which of others."""
_NO_FLAG = frozenset("YbBaApfg")


def has_short_year(form: str) -> bool:
    """Return whether a form of times writes years with two digits."""
    return "y" in _letters(form)


def _letters(form: str) -> list[str]:
    """Return the letters of a form; a `-`, for a number without zeros before it, is left out."""
    return [one[1:2] if one[:1] == "-" and one[1:2] not in _NO_FLAG else one[:1]
            for one in form.replace("%%", "").split("%")[1:]]  # fmt: skip


def _is_form(form: str) -> bool:
    """Return whether a form says a time: its year, and of the rest nothing twice or without what it is part of."""
    letters = _letters(form)
    found = [sum(map(letters.count, part)) for part in _PARTS]
    return (
        bool({*letters} & {*"Yy"})
        and {*letters} <= {*"".join(_PARTS)}
        and not ({*letters} & {"j"} and {*letters} & {*"mbBd"})
        and max(found) == 1
        and all(not n or not beside or {*letters} & {*beside} for n, beside in zip(found, _PARTS.values(), strict=True))
    )


def _texts(given: Any) -> Any:
    """Return texts as they stand: a number would be a name that nobody wrote."""
    texts = tuple(given) if isinstance(given, list | tuple) else (given,)
    if not all(isinstance(one, str) and one.strip() for one in texts):
        raise ValueError("a text or a list of texts, numbers in quotes")
    return texts


Texts = Annotated[tuple[str, ...], BeforeValidator(_texts, json_schema_input_type=str | list[str])]
"""Several texts; one by itself is meant as one."""
Bound = Annotated[int, Field(strict=True)] | Annotated[float, Field(strict=True)] | str | None


class RawColumn(Column):
    """One column of a raw table: what its cells are."""

    key: YesNo = False
    """Whether a record is of no use without it (whose it is, what, when): a bad cell quarantines the record. Any other
    bad cell is left out, and counted."""
    as_: Annotated[str | None, Field(alias="as", pattern=r"^[^\r\n]+$")] = None
    """Its name in staging, where that is another."""
    format: Texts = ()
    """Days and times only: how they are written, as `%d.%m.%Y %H:%M`, one form or several; else year, month, day. A
    year of two digits (`%y`) is one of the hundred years up to `high`, which must then be given."""
    marks: Marks | None = None
    """Cells that stand for a missing one in this column, as `-1` or `NA`, in the place of those that the pipeline says;
    `[]` = none but empty ones."""
    decimal: Literal[".", ",", ""] | None = None
    """Numbers, and values as text: the sign before the decimals, `.` by default. Empty = nobody knows which it is: no
    number with a comma or a point is read. A number that is written otherwise is never read as another one."""
    thousands: Literal[".", ",", " ", "'", "’", "\u00a0", "\u202f"] | None = None
    """The sign between thousands, as in `1.234,5`; by default there is none."""
    low: Bound = None
    """The smallest number, day or time that can be; a cell below is left out as `out_of_range`."""
    high: Bound = None
    """The largest one."""

    @property
    def cell_type(self) -> str:
        """Text, for macros to read; a list is one already."""
        return self.type if TYPES[self.type].macro is None else "string"

    @property
    def plain(self) -> str:
        """Its name in staging."""
        return self.as_ or self.name

    @property
    def signs(self) -> tuple[str, str] | None:
        """The signs before decimals and between thousands, where one is said."""
        if self.decimal is None and self.thousands is None:
            return None
        return ("," if self.thousands == "." else ".") if self.decimal is None else self.decimal, self.thousands or ""

    @field_validator("as_")
    @classmethod
    def _is_another(cls, name: str | None, info: ValidationInfo) -> str | None:
        return None if name == info.data.get("name") else name

    @model_validator(mode="after")
    def _fits_its_type(self) -> RawColumn:
        type_ = TYPES[self.type]
        if self.signs is not None and (self.type == "subject" or type_.macro not in ("whole", "number", "words")):
            raise Conflict(f"cells of type {self.type} have no decimals", "decimal", "thousands", "type")
        if self.decimal and self.decimal == self.thousands:
            raise Conflict("one sign cannot stand before decimals and between thousands", "decimal", "thousands")
        if self.format and not type_.is_time:
            raise Conflict(f"cells of type {self.type} have no form", "format", "type")
        for form in self.format:
            if not _is_form(form):
                raise Conflict(
                    "is no form of a day or a time that names its year, with nothing twice or without its whole, "
                    "as `%d.%m.%Y %H:%M` (a zone is no part of it; `%I` needs `%p`; minutes are `%M`, months `%m`)",
                    "format",
                )
        if self.high is None and any(map(has_short_year, self.format)):
            raise Conflict(
                "a year of two digits is of no century without `high`: with 2025-12-31 it is one of the hundred years "
                "up to then", "format", "high",
            )  # fmt: skip
        for key, bound in (("low", self.low), ("high", self.high)):
            if bound is None:
                continue
            if type_.is_time:
                try:
                    datetime.fromisoformat(str(bound))
                except ValueError:
                    raise Conflict("is no day or time, as 1900-01-01", key) from None
            elif not type_.is_number or isinstance(bound, str) or (type_.macro == "whole" and bound != int(bound)):
                raise Conflict(f"is no bound of cells of type {self.type}", key, "type")
        if type(self.low) is type(self.high) and self.low is not None and self.low > self.high:  # type: ignore[operator]
            raise Conflict("nothing lies between them, for low is above high", "low", "high")
        return self
