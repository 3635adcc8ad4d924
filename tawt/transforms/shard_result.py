"""What became of a shard, and of several together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from tawt.contracts.dataset import SPLITS
from tawt.contracts.value_status import STATUS_NAMES
from tawt.transforms.columns import Int64s
from tawt.transforms.unit_rules import PairRules


@dataclass(frozen=True)
class ShardResult:
    """What became of one shard."""

    n_rows: dict[str, int]
    """Split -> rows written; a split without subjects has no file."""
    duplicates: dict[str, int]
    """Event part -> rows dropped as equal to an earlier one."""
    unit_rules: dict[str, int]
    """Unit rule -> rows it was applied to."""
    statuses: dict[str, int]
    """value_status -> rows."""
    pairs: list[tuple[str, str | None]]
    """The data_types and units as they came that have numbers."""
    rules: str
    """What their rules are known by."""
    numbers: list[list[int]]
    """Columns: index of one of `pairs`, of a status, and rows with a number that have both."""
    texts: list[tuple[str, int, int, int]]
    """Of each code with categories, how many they are, and how many are numbers by their text: see `number_texts`."""
    people: dict[str, int]
    """Code, sorted -> subjects that have it, each of one shard; of a code that many have, at least as many."""
    people_of_pairs: list[int]
    """Of each of `pairs`, subjects with a number of it."""


class Sum:
    """What became of several shards, or of several pieces of one: added up one by one, for all of them are large.

    Args:
        rules: For the pairs of all.
    """

    def __init__(self, rules: PairRules) -> None:
        self._rules = rules
        self.n_rows, self.duplicates, self.unit_rules, self.statuses = (Counter[str]() for _ in range(4))
        self.people = Counter[str]()
        self.numbers = np.zeros((len(rules.rules), len(STATUS_NAMES)), dtype=np.int64)
        """`(n_rules, n_statuses)`."""
        self.people_of_rules = np.zeros(len(rules.rules), dtype=np.int64)
        self.texts: dict[str, tuple[int, int, int]] = {}
        self._met = set[tuple[int, str | int]]()

    def add(self, one: Mapping[str, Any], of: int | None = None) -> None:
        """Add what became of one more.

        Args:
            one: A `ShardResult`, as keys.
            of: The subject that a piece is a part of, who counts once in all of them; None = it is of whole ones.
        """
        for name in ("n_rows", "duplicates", "unit_rules", "statuses"):
            getattr(self, name).update(one[name])
        index = [self._rules.index[code, unit] for code, unit in one["pairs"]]
        pair, status, n_rows = np.array(one["numbers"], dtype=np.int64)
        self.numbers[np.array(index, dtype=np.int64)[pair], status] += n_rows
        for code, *counts in one["texts"]:
            n, written, worded = map(sum, zip(self.texts.get(code, (0, 0, 0)), counts, strict=True))
            self.texts[code] = n, written, worded
        self.people.update(self._new(one["people"], of))
        people = self._new(dict(zip(index, one["people_of_pairs"], strict=True)), of)
        met, n = (np.fromiter(of_each, np.int64, len(people)) for of_each in (people, people.values()))
        self.people_of_rules[met] += n

    def _new(self, people: dict[Any, int], of: int | None) -> dict[Any, int]:
        """Return counts of people less those of one who is counted already."""
        if of is None:
            return people
        new = {key: n for key, n in people.items() if (of, key) not in self._met}
        self._met.update((of, key) for key in new)
        return new

    def result(self) -> ShardResult:
        """Return what became of all of them, as if they had been one."""
        return ShardResult(
            n_rows={split: self.n_rows[split] for split in SPLITS if split in self.n_rows},
            duplicates=dict(sorted(self.duplicates.items())), unit_rules=dict(sorted(self.unit_rules.items())),
            statuses={name: self.statuses[name] for name in STATUS_NAMES if name in self.statuses},
            texts=[(code, n, written, worded) for code, (n, written, worded) in sorted(self.texts.items())],
            people=dict(sorted(self.people.items())), **by_pairs(self._rules, self.numbers, self.people_of_rules),
        )  # fmt: skip


def by_pairs(rules: PairRules, numbers: Int64s, people: Int64s) -> dict[str, Any]:
    """Return what a `ShardResult` says of numbers.

    Args:
        rules: For every pair of a data_type and a unit.
        numbers: Rows with a number, `(n_rules, n_statuses)`.
        people: Subjects with a number, `(n_rules,)`.
    """
    met = np.flatnonzero(numbers.any(1))
    pairs, counts = rules.pairs(met.tolist()), numbers[met]
    return {
        "pairs": pairs, "rules": rules.known(pairs), "numbers": in_columns(counts),
        "people_of_pairs": people[met].tolist(),
    }  # fmt: skip


def in_columns(counts: Int64s) -> list[list[int]]:
    """Return the row, the column and the count of each that is not 0."""
    places = np.nonzero(counts)
    return [column.tolist() for column in (*places, counts[places])]
