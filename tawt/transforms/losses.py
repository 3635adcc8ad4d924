"""Numbers that lost their use, of an unknown unit, out of range or in a text: by data_type and unit, and in words.

A count that could point at people is told as `<11`, and a data_type or a unit of so few people is not named.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tawt.contracts.cells import RARE, SMALL_CELL, told
from tawt.contracts.value_status import STATUS_NAMES, ValueStatus
from tawt.transforms.number_texts import WORDED, WRITTEN
from tawt.transforms.units import PairRules

LOST = {"unit_unknown": ValueStatus.UNIT_UNKNOWN, "out_of_range": ValueStatus.OUT_OF_RANGE}
"""The statuses of numbers that came and cannot be used."""
IN_TEXT = "number_in_text"
"""Numbers that their source took for categories, in a data_type that is mostly numbers."""
_KINDS = (*LOST, IN_TEXT)
LISTED = ("value_status", "unit_rules", "numbers", "lost_numbers")
"""The facts that are told in words of their own."""
_SHOWN = 5
_OTHER = "other units"
_APART = "\t"


def counted(
    numbers: Iterable[Sequence[int]],
    texts: Iterable[tuple[str, int, int, int]],
    people_of_rules: Iterable[Sequence[int]],
    rules: PairRules,
    people: Mapping[str, int],
) -> dict[str, dict[str, int]]:
    """Return the facts of numbers: how many each data_type has that lost some, and how many it lost by status and unit.

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
    named = {code: code if min(n, people[code]) > SMALL_CELL else RARE for code, n in codes.items()}
    have: Counter[tuple[str, str | None]] = Counter()
    for rule, n in people_of_rules:
        have[pairs[rule]] += n
    by_unit: Counter[str] = Counter()
    for (name, code, unit), n in lost.items():
        shown = "no unit" if unit is None else unit if have[code, unit] > SMALL_CELL else _OTHER
        by_unit[_APART.join((name, named[code], shown))] += n
    for code, forms in in_text.items():
        by_unit.update({_APART.join((IN_TEXT, named[code], form)): n for form, n in forms.items() if n})
    numbers_of: Counter[str] = Counter()
    for code in {code for _, code, _ in lost} | set(in_text):
        numbers_of[named[code]] += codes[code]
    return {"numbers": dict(sorted(numbers_of.items())), "lost_numbers": dict(sorted(by_unit.items()))}


def _in_text(texts: Iterable[tuple[str, int, int, int]], numbers: Mapping[str, int]) -> dict[str, dict[str, int]]:
    """Return the numbers in texts of data_types that are mostly numbers, by their form.

    A word behind a number is a unit among numbers and a part of the name among texts: it does not make it one.
    """
    counts: dict[str, Counter[str]] = {}
    for code, n, written, worded in texts:
        counts.setdefault(code, Counter()).update({"": n, WRITTEN: written, WORDED: worded})
    return {
        code: {form: of[form] for form in (WRITTEN, WORDED)}
        for code, of in counts.items()
        if of[WRITTEN] + of[WORDED] and 2 * (numbers.get(code, 0) + of[WRITTEN]) >= numbers.get(code, 0) + of[""]
    }


def in_words(facts: Mapping[str, Any]) -> list[str]:
    """Return the rules of units that were used, and for each status the data_types that lost most, a line each."""
    rules = ", ".join(f"{rule} {text}" for rule, text in told(facts.get("unit_rules", {})).items())
    lines = [f"unit rules: {rules}"] if rules else []
    for name in _KINDS:
        lost = _by_code(facts, (name,))
        counts = {code: units.total() for code, units in lost.items()}
        texts = told(counts)
        # the order among those that are told as few would tell more
        worst = sorted(lost, key=lambda code: (-max(counts[code], SMALL_CELL), code))[:_SHOWN]
        lines += [f"{name}: {_one(facts, code, texts[code], lost[code])}" for code in worst]
        lines += [f"{name}: {len(lost) - _SHOWN:,} more data_types"] if len(lost) > _SHOWN else []
    return lines


def warning(facts: Mapping[str, Any], limit: float) -> str | None:
    """Return what to warn of: the data_types that lost a larger share of their numbers than the pipeline lets pass."""
    by_status = [{code: units.total() for code, units in _by_code(facts, (name,)).items()} for name in _KINDS]
    few = {code for counts in by_status for code, text in told(counts).items() if not _is_exact(text)}
    lost = sum((Counter(counts) for counts in by_status), Counter())
    above = {code: n / facts["numbers"][code] for code, n in lost.items() if n > limit * facts["numbers"][code]}
    if not above:
        return None
    worst = sorted(above, key=lambda code: (-max(lost[code], SMALL_CELL), code))
    named = ", ".join(code if code in few else f"{code} ({above[code]:.1%})" for code in worst[:_SHOWN])
    more = f" and {len(above) - _SHOWN:,} more" if len(above) > _SHOWN else ""
    return f"{len(above):,} data_types lost more than {limit:.1%} of their numbers (`most_lost`): {named}{more}"


def statuses(counts: Mapping[str, int]) -> str:
    """Return what became of values: each status with its rows and their share of all, the most frequent first."""
    total, texts = sum(counts.values()), told(counts)
    order = sorted(counts, key=lambda name: (-max(counts[name], SMALL_CELL), STATUS_NAMES.index(name)))
    return ", ".join(f"{name} {_with_share(texts[name], counts[name], total)}" for name in order)


def _by_code(facts: Mapping[str, Any], statuses: Sequence[str]) -> dict[str, Counter[str]]:
    found: dict[str, Counter[str]] = {}
    for key, n in facts.get("lost_numbers", {}).items():
        name, code, unit = key.split(_APART, 2)
        if name in statuses:
            found.setdefault(code, Counter())[unit] += n
    return found


def _one(facts: Mapping[str, Any], code: str, text: str, units: Counter[str]) -> str:
    total = facts["numbers"][code]
    counts = told(units) if _is_exact(text) else dict.fromkeys(units, "")
    order = sorted(units, key=lambda unit: (-max(units[unit], SMALL_CELL) if counts[unit] else 0, unit))
    listed = ", ".join(f"{unit} {counts[unit]}".rstrip() for unit in order[:3])
    of = f" of {told({code: total})[code]}"
    return f"{code} {_with_share(text, units.total(), total, of)}: {listed}"


def _with_share(text: str, n: int, total: int, of: str = "") -> str:
    """Return a count as it is told, with its share where it is told as it is."""
    return f"{text}{of} ({n / total:.1%})" if _is_exact(text) else f"{text}{of}"


def _is_exact(text: str) -> bool:
    return text.replace(",", "").isdigit()
