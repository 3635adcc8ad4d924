"""How the numbers of a column are written: which sign stands before decimals, and which between thousands."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

_NUMERAL = re.compile(
    r"\s*(?:[<>]=?)?\s*[-+]?(?P<digits>\d[\d.,]*|[.,]\d+)(?P<unit>\s*[^\d\s.,:/].{0,11})?\s*", re.ASCII
)
_BLANKS = re.compile(r"(?<=\d)[ '’\u00a0\u202f](?=\d{3}(?!\d))", re.ASCII)
_OTHER = {",": ".", ".": ","}
_SLIPS = 0.02
"""Share of the cells that may say otherwise than the rest."""


@dataclass
class Numerals:
    """Counts of what the signs in a column's numbers say."""

    decimal: Counter[str] = field(default_factory=Counter)
    """Sign -> cells in which it can only stand before decimals: `4,5`, `0.125`, `1234.567`."""
    thousands: Counter[str] = field(default_factory=Counter)
    """Sign -> cells in which it can only stand between thousands: `1.234,5`, `1.234.567`, `12 345`."""
    undecided: Counter[str] = field(default_factory=Counter)
    """Sign -> cells in which it may be either, for three digits stand behind it: `1.234`."""

    def note(self, cell: str, n: int = 1) -> None:
        """Count a cell, if it is a number or a bound with a sign in it."""
        for kind, sign in _signs_in(cell) or ():
            {"decimal": self.decimal, "thousands": self.thousands}.get(kind, self.undecided)[sign] += n

    def says(self, sign: str) -> int:
        """Return the cells that say that a sign, a comma or a point, stands before decimals."""
        return self.decimal[sign] + self.thousands[_OTHER[sign]]

    def signs(self, beside: Sequence[Numerals] = ()) -> tuple[str, str] | None:
        """Return the signs before decimals and between thousands; None = a point, if any.

        Where no cell decides it, other columns do, if they all say the same. Signs of which nobody knows what they are,
        or that are now this and now that, are `("", "")`: no number with one of them can be read.

        Args:
            beside: Those of other columns of the source.
        """
        n_said = {sign: self.says(sign) for sign in _OTHER}
        if not any(n_said.values()) and self.undecided:
            n_said = {sign: sum(one.says(sign) for one in beside) for sign in _OTHER}
        said = [sign for sign, n in n_said.items() if n > _SLIPS * sum(n_said.values())]
        if len(said) > 1 or (self.undecided and not said):
            return "", ""
        decimal = said[0] if said else "."
        other = _OTHER[decimal]
        thousands = other if self.thousands[other] or self.undecided[other] else ""
        if blanks := [sign for sign in self.thousands if sign not in _OTHER]:
            thousands = "" if thousands or blanks[1:] else blanks[0]
        return None if (decimal, thousands) == (".", "") else (decimal, thousands)


def is_number(cell: str) -> bool:
    """Return whether a cell is a number that has commas, blanks or several points in it, and nothing behind it."""
    found = _NUMERAL.fullmatch(_BLANKS.sub("", cell))
    return found is not None and not found["unit"] and _signs_in(cell) not in (None, [])


def _signs_in(cell: str) -> list[tuple[str, str]] | None:
    """Return what each sign in a number is, as far as the cell tells; None = it is no number."""
    bare, blanks = _BLANKS.sub("", cell), {*_BLANKS.findall(cell)}
    found = _NUMERAL.fullmatch(bare)
    if found is None or len(blanks) > 1:
        return None
    first, *groups = re.split(r"[.,]", found["digits"])
    signs = re.findall(r"[.,]", found["digits"])
    said = [("thousands", blank) for blank in blanks]
    if not signs:
        return said
    may_group = 0 < len(first) <= 3 and first[0] != "0" and not blanks
    if len(signs) == 1:
        return [*said, ("either" if may_group and len(groups[0]) == 3 else "decimal", signs[0])]
    if not may_group or len({*signs[:-1]}) > 1 or any(len(group) != 3 for group in groups[:-1]):
        return None
    if signs[-1] == signs[0]:
        return [("thousands", signs[0])] if len(groups[-1]) == 3 else None
    return [("thousands", signs[0]), ("decimal", signs[-1])]
