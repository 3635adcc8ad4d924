"""Numbers that lost their use, of an unknown unit or out of range: counted by data_type and unit, told in words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tawt.contracts.value_status import STATUS_NAMES, ValueStatus
from tawt.transforms.units import SHOWN_FROM, PairRules

LOST = {"unit_unknown": ValueStatus.UNIT_UNKNOWN, "out_of_range": ValueStatus.OUT_OF_RANGE}
"""The statuses of numbers that came and cannot be used."""
LISTED = ("value_status", "numbers", "lost_numbers")
"""The facts that are told in words of their own."""
_SHOWN = 5
_OTHER = "other units"
_APART = "\t"


def counted(numbers: Iterable[Sequence[int]], rules: PairRules) -> dict[str, dict[str, int]]:
    """Return the facts of numbers: how many each data_type has that lost some, and how many it lost by status and unit.

    Args:
        numbers: Index of a rule, of a status, and rows with a number.
        rules: For every pair of a data_type and a unit.
    """
    pairs = {index: pair for pair, index in rules.index.items()}
    names = {int(status): name for name, status in LOST.items()}
    came: Counter[tuple[str, str | None]] = Counter()
    lost: Counter[tuple[str, str, str | None]] = Counter()
    for rule, status, n in numbers:
        came[pairs[rule]] += n
        if status in names:
            lost[(names[status], *pairs[rule])] += n
    told: Counter[str] = Counter()
    for (name, code, unit), n in lost.items():
        shown = "no unit" if unit is None else unit if came[code, unit] >= SHOWN_FROM else _OTHER
        told[_APART.join((name, code, shown))] += n
    codes: Counter[str] = Counter()
    for (code, _), n in came.items():
        codes[code] += n
    kept = sorted({code for _, code, _ in lost})
    return {"numbers": {code: codes[code] for code in kept}, "lost_numbers": dict(sorted(told.items()))}


def in_words(facts: Mapping[str, Any]) -> list[str]:
    """Return, for each status, the data_types that lost most, a line each, with their shares and units."""
    told = []
    for name in LOST:
        lost = _by_code(facts, (name,))
        worst = sorted(lost, key=lambda code: (-lost[code].total(), code))[:_SHOWN]
        told += [f"{name}: {_one(facts, code, lost[code])}" for code in worst]
        told += [f"{name}: {len(lost) - _SHOWN:,} more data_types"] if len(lost) > _SHOWN else []
    return told


def warning(facts: Mapping[str, Any], limit: float) -> str | None:
    """Return what to warn of: the data_types that lost a larger share of their numbers than the pipeline lets pass."""
    lost = {code: units.total() for code, units in _by_code(facts, tuple(LOST)).items()}
    above = {code: n / facts["numbers"][code] for code, n in lost.items() if n > limit * facts["numbers"][code]}
    if not above:
        return None
    worst = sorted(above, key=lambda code: (-lost[code], code))
    named = ", ".join(f"{code} ({above[code]:.1%})" for code in worst[:_SHOWN])
    more = f" and {len(above) - _SHOWN:,} more" if len(above) > _SHOWN else ""
    return f"{len(above):,} data_types lost more than {limit:.1%} of their numbers (`most_lost`): {named}{more}"


def shares(counts: Mapping[str, int]) -> list[tuple[str, int, float]]:
    """Return status, rows and share of all rows, the most frequent first."""
    total = sum(counts.values())
    order = sorted(counts, key=lambda name: (-counts[name], STATUS_NAMES.index(name)))
    return [(name, counts[name], counts[name] / total) for name in order]


def _by_code(facts: Mapping[str, Any], statuses: Sequence[str]) -> dict[str, Counter[str]]:
    found: dict[str, Counter[str]] = {}
    for key, n in facts.get("lost_numbers", {}).items():
        name, code, unit = key.split(_APART, 2)
        if name in statuses:
            found.setdefault(code, Counter())[unit] += n
    return found


def _one(facts: Mapping[str, Any], code: str, units: Counter[str]) -> str:
    n, total = units.total(), facts["numbers"][code]
    listed = ", ".join(f"{unit} {k:,}" for unit, k in sorted(units.items(), key=lambda one: (-one[1], one[0]))[:3])
    return f"{code} {n:,} of {total:,} ({n / total:.1%}): {listed}"
