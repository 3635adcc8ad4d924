"""Numbers that lost their use, of an unknown unit, out of range or in a text: by data_type and unit, and in words.

A data_type or a unit of few people is not named, and what is of few rows is counted together with others, as soon as
the facts are made: see `tawt.contracts.cells.apart`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence, Set
from typing import Any

from tawt.contracts.cells import RARE, SMALL_CELL, apart, told
from tawt.contracts.value_status import STATUS_NAMES, ValueStatus
from tawt.transforms.number_texts import WORDED, WRITTEN
from tawt.transforms.unit_rules import PairRules

LOST = {"unit_unknown": ValueStatus.UNIT_UNKNOWN, "out_of_range": ValueStatus.OUT_OF_RANGE}
"""The statuses of numbers that came and cannot be used."""
IN_TEXT = "number_in_text"
"""Numbers that their source took for categories, in a data_type that is mostly numbers."""
_KINDS = (*LOST, IN_TEXT)
LISTED = ("value_status", "unit_rules", "numbers", "lost_numbers", "lost_percent")
"""The facts that are told in words of their own."""
_SHOWN = 5
_OTHER_UNITS = "other units"
_OTHER_CODES = "other data types"
_APART = "\t"


def counted(
    numbers: Iterable[Sequence[int]],
    texts: Iterable[tuple[str, int, int, int]],
    people_of_rules: Iterable[Sequence[int]],
    rules: PairRules,
    people: Mapping[str, int],
) -> dict[str, dict[str, Any]]:
    """Return the facts of numbers: how many each data_type has that lost some, how many it lost by status and unit, and
    the share where those do not say it.

    Args:
        numbers: Index of a rule, of a status, and rows with a number.
        texts: A code, its categories, and how many of those are numbers by their text: see `number_texts`.
        people_of_rules: Index of a rule, and subjects with a number that it is for.
        rules: For every pair of a data_type and a unit.
        people: Data_type -> subjects that have it.
    """
    pairs = {index: pair for pair, index in rules.index.items()}
    names = {int(status): name for name, status in LOST.items()}
    came: Counter[tuple[str, str | None]] = Counter()
    lost: Counter[tuple[str, str, str | None]] = Counter()
    for rule, status, n in numbers:
        came[pairs[rule]] += n
        if status in names:
            lost[(names[status], *pairs[rule])] += n
    codes: Counter[str] = Counter()
    for (code, _), n in came.items():
        codes[code] += n
    in_text = _in_text(texts, codes)
    codes.update({code: sum(forms.values()) for code, forms in in_text.items()})
    rare = {code for code, n in codes.items() if min(n, people[code]) <= SMALL_CELL}
    have: Counter[tuple[str, str | None]] = Counter()
    for rule, n in people_of_rules:
        have[pairs[rule]] += n
    by_status: dict[str, dict[str, Counter[str]]] = {}
    for (name, code, unit), n in lost.items():
        shown = "no unit" if unit is None else unit if have[code, unit] > SMALL_CELL else ""
        by_status.setdefault(name, {}).setdefault(code, Counter())[shown] += n
    for code, forms in in_text.items():
        by_status.setdefault(IN_TEXT, {})[code] = Counter({form: n for form, n in forms.items() if n})
    return _published(by_status, codes, rare)


def _published(
    by_status: Mapping[str, Mapping[str, Counter[str]]], codes: Mapping[str, int], rare: Set[str]
) -> dict[str, dict[str, Any]]:
    """Return the facts that may be written: none of them, no sum and no difference of them is a count of few.

    Args:
        by_status: What was lost of each data_type, by status and unit; "" = units that are not named.
        codes: The numbers of each data_type.
        rare: The data_types that are not named.
    """
    cells: dict[str, int] = {}
    alone: Counter[str] = Counter()
    joined: set[str] = set()
    for name, lost in by_status.items():
        of = apart({code: units.total() for code, units in lost.items()}, _OTHER_CODES, rare)
        units_of: dict[str, Counter[str]] = {}
        for code, told_as in of.items():
            units_of.setdefault(told_as, Counter()).update(lost[code])
            alone.update({code: lost[code].total()} if told_as == code else {})
            joined |= {code} if told_as != code and lost[code].total() > SMALL_CELL and code not in rare else set()
        for told_as, units in units_of.items():
            as_unit = apart(units, _OTHER_UNITS, ("",)) or dict.fromkeys(units, _OTHER_UNITS)
            for unit, n in units.items():
                key = _APART.join((name, told_as, as_unit[unit]))
                cells[key] = cells.get(key, 0) + n
    numbers: dict[str, int] = {}
    shares: dict[str, int] = {}
    counted_as = apart(codes, _OTHER_CODES, rare)
    for code in {*alone, *joined}:
        left = codes[code] - alone[code]
        lost_of = sum(lost[code].total() for lost in by_status.values() if code in lost)
        if code not in joined and counted_as.get(code) == code and not 0 < left <= SMALL_CELL:
            numbers[code] = codes[code]
        elif code not in joined and 0 < left <= SMALL_CELL:  # how many are left follows from no share either
            shares[code] = _percent(alone[code], alone[code] + SMALL_CELL)
        else:
            shares[code] = _percent(lost_of, codes[code])
    if whole := sum(codes[code] for code in {code for lost in by_status.values() for code in lost.keys() & rare}):
        of_rare = sum(lost[code].total() for lost in by_status.values() for code in lost.keys() & rare)
        shares[RARE] = _percent(of_rare, whole)
    return {
        "numbers": dict(sorted(numbers.items())),
        "lost_numbers": dict(sorted(cells.items())),
        "lost_percent": dict(sorted(shares.items())),
    }


def _percent(n: int, of: int) -> int:
    """Return a share in percent, rounded up to tens: by a finer one a count could be had from others."""
    return -(-10 * n // of) * 10


def _in_text(texts: Iterable[tuple[str, int, int, int]], numbers: Mapping[str, int]) -> dict[str, dict[str, int]]:
    """Return the numbers in texts of data_types that are mostly numbers, by their form.

    A word behind a number is a unit among numbers and a part of the name among texts: it does not make it one.
    """
    counts: dict[str, tuple[int, int, int]] = {}
    for code, *of in texts:
        n, written, worded = map(sum, zip(of, counts.get(code, (0, 0, 0)), strict=True))
        counts[code] = n, written, worded
    return {
        code: {WRITTEN: written, WORDED: worded}
        for code, (n, written, worded) in counts.items()
        if written + worded and 2 * (numbers.get(code, 0) + written) >= numbers.get(code, 0) + n
    }


def in_words(facts: Mapping[str, Any]) -> list[str]:
    """Return the rules of units that were used, and for each status the data_types that lost most, a line each."""
    rules = ", ".join(f"{rule} {text}" for rule, text in told(facts.get("unit_rules", {})).items())
    lines = [f"unit rules: {rules}"] if rules else []
    for name in _KINDS:
        lost = _by_code(facts, name)
        worst = sorted(lost, key=lambda code: (-lost[code].total(), code))[:_SHOWN]
        lines += [f"{name}: {_one(facts, code, lost[code])}" for code in worst]
        lines += [f"{name}: {len(lost) - _SHOWN:,} more data_types"] if len(lost) > _SHOWN else []
    return lines


def warning(facts: Mapping[str, Any], limit: float) -> str | None:
    """Return what to warn of: the data_types that lost a larger share of their numbers than the pipeline lets pass."""
    lost: Counter[str] = Counter()
    for name in _KINDS:
        lost.update({code: units.total() for code, units in _by_code(facts, name).items()})
    if "lost_percent" not in facts:
        return None
    shares = {code: lost[code] / n for code, n in facts["numbers"].items()}
    shares |= {code: percent / 100 for code, percent in facts["lost_percent"].items()}
    above = {code: share for code, share in shares.items() if share > limit}
    if not above:
        return None
    worst = sorted(above, key=lambda code: (-lost[code], code))
    named = ", ".join(f"{code} ({above[code]:.1%})" if code in facts["numbers"] else code for code in worst[:_SHOWN])
    more = f" and {len(above) - _SHOWN:,} more" if len(above) > _SHOWN else ""
    return f"{len(above):,} data_types lost more than {limit:.1%} of their numbers (`most_lost`): {named}{more}"


def statuses(counts: Mapping[str, int]) -> str:
    """Return what became of values: each status with its rows and their share of all, the most frequent first."""
    total, texts = sum(counts.values()), told(counts)
    # the order among those that are not told as they are would tell more
    order = sorted(counts, key=lambda name: (-counts[name] * _is_exact(texts[name]), STATUS_NAMES.index(name)))
    return ", ".join(f"{name} {_with_share(texts[name], counts[name], total)}" for name in order)


def _by_code(facts: Mapping[str, Any], status: str) -> dict[str, Counter[str]]:
    found: dict[str, Counter[str]] = {}
    # facts of before they were written without what is of few are not told
    for key, n in facts.get("lost_numbers", {}).items() if "lost_percent" in facts else ():
        name, code, unit = key.split(_APART, 2)
        if name == status:
            found.setdefault(code, Counter())[unit] += n
    return found


def _one(facts: Mapping[str, Any], code: str, units: Counter[str]) -> str:
    total, of = units.total(), facts["numbers"].get(code)
    listed = ", ".join(f"{unit} {n:,}" for unit, n in sorted(units.items(), key=lambda one: (-one[1], one[0]))[:3])
    return f"{code} {total:,}{f' of {of:,} ({total / of:.1%})' if of else ''}: {listed}"


def _with_share(text: str, n: int, total: int) -> str:
    """Return a count as it is told, with its share where it is told as it is."""
    return f"{text} ({n / total:.1%})" if _is_exact(text) else text


def _is_exact(text: str) -> bool:
    return text.replace(",", "").isdigit()
