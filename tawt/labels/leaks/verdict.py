"""What an audit says of one leak: clean, a leak with counts, or not verified."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from tawt.contracts.cells import SMALL_CELL
from tawt.labels.leaks.catalogue import BY_CODE

Status = Literal["clean", "leak", "not verified"]


@dataclass(frozen=True)
class Inflation:
    """How much better the same probe looks with the leak than without it."""

    metric: str
    """What is measured."""
    with_leak: float
    """With what leaks."""
    without: float
    """Without it."""

    @property
    def gain(self) -> float:
        """The difference."""
        return self.with_leak - self.without


@dataclass(frozen=True)
class Verdict:
    """One leak of the catalogue."""

    code: str
    """Of the catalogue."""
    status: Status
    told: str
    """Counts, and why it is not verified; never a cell, and no small number of people."""
    codes: tuple[str, ...] = ()
    """All codes that leak, for who measures it; those of few people are told nowhere."""
    inflation: Inflation | None = None
    """Measured where it can be."""
    subjects: frozenset[int] = frozenset()
    """All whose rows leak, for who measures it; told nowhere."""

    def to_json(self) -> dict[str, Any]:
        """Return it with what the catalogue says."""
        known = BY_CODE[self.code]
        of = None if self.inflation is None else {**asdict(self.inflation), "gain": self.inflation.gain}
        told = {key: value for key, value in asdict(self).items() if key not in ("codes", "subjects")}
        return {**told, "inflation": of, "name": known.name, "remedy": known.remedy, "tested": known.tested}


def clean(code: str, told: str) -> Verdict:
    """Return that nothing was found."""
    return Verdict(code, "clean", told)


def unverified(code: str, why: str) -> Verdict:
    """Return that nothing can be said, and why."""
    return Verdict(code, "not verified", why)


def worst_of(verdicts: Sequence[Verdict]) -> dict[str, Verdict]:
    """Return one verdict of each leak: of several the worst, and what those as bad as it say."""
    rank = {"clean": 0, "not verified": 1, "leak": 2}
    found: dict[str, Verdict] = {}
    for one in verdicts:
        other = found.get(one.code)
        if other is None or rank[one.status] > rank[other.status]:
            found[one.code] = one
        elif one.status == other.status:
            codes = tuple(dict.fromkeys((*other.codes, *one.codes)))
            found[one.code] = Verdict(
                one.code, one.status, f"{other.told}; {one.told}", codes, other.inflation or one.inflation,
                other.subjects | one.subjects,
            )  # fmt: skip
    return found


def named(codes: dict[str, int], most: int = 5) -> str:
    """Return codes with their subjects, the most frequent first; those of few people are counted."""
    shown = sorted(((n, code) for code, n in codes.items() if n > SMALL_CELL), key=lambda one: (-one[0], one[1]))
    text = ", ".join(f"{code} ({n:,} subjects)" for n, code in shown[:most])
    rest = len(codes) - len(shown[:most])
    if not text:
        return f"{rest:,} codes of fewer than {SMALL_CELL + 1} subjects"
    return text + (f" and {rest:,} more codes" if rest else "")
