"""What became of a shard, and of several together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tawt.contracts.dataset import SPLITS
from tawt.contracts.value_status import STATUS_NAMES
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
    numbers: list[tuple[int, int, int]]
    """Index of one of `pairs`, of a status, and rows with a number that have both."""
    texts: list[tuple[str, int, int, int]]
    """Of each code with categories, how many they are, and how many are numbers by their text: see `number_texts`."""
    people: dict[str, int]
    """Code, sorted -> subjects that have it, each of one shard; of a code that many have, at least as many."""
    people_of_pairs: list[tuple[int, int]]
    """Index of one of `pairs`, and subjects with a number of it."""


class Sum:
    """What became of several shards, or of several pieces of one: added up one by one, for all of them are large.

    Args:
        rules: For the pairs of all.
    """

    def __init__(self, rules: PairRules) -> None:
        self._rules = rules
        self.n_rows, self.duplicates, self.unit_rules, self.statuses = (Counter[str]() for _ in range(4))
        self.people = Counter[str]()
        self.numbers = Counter[tuple[int, int]]()
        """Of a rule and a status, by their index."""
        self.people_of_rules = Counter[int]()
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
        for pair, status, n in one["numbers"]:
            self.numbers[index[pair], status] += n
        for code, *counts in one["texts"]:
            n, written, worded = map(sum, zip(self.texts.get(code, (0, 0, 0)), counts, strict=True))
            self.texts[code] = n, written, worded
        self.people.update(self._new(one["people"], of))
        self.people_of_rules.update(self._new({index[pair]: n for pair, n in one["people_of_pairs"]}, of))

    def _new(self, people: dict[Any, int], of: int | None) -> dict[Any, int]:
        """Return counts of people less those of one who is counted already."""
        if of is None:
            return people
        new = {key: n for key, n in people.items() if (of, key) not in self._met}
        self._met.update((of, key) for key in new)
        return new

    def result(self) -> ShardResult:
        """Return what became of all of them, as if they had been one."""
        met = sorted({rule for rule, _ in self.numbers})
        place, pairs = {rule: i for i, rule in enumerate(met)}, self._rules.pairs(met)
        return ShardResult(
            n_rows={split: self.n_rows[split] for split in SPLITS if split in self.n_rows},
            duplicates=dict(sorted(self.duplicates.items())), unit_rules=dict(sorted(self.unit_rules.items())),
            statuses={name: self.statuses[name] for name in STATUS_NAMES if name in self.statuses},
            pairs=pairs, rules=self._rules.known(pairs),
            numbers=[(place[rule], status, n) for (rule, status), n in sorted(self.numbers.items())],
            texts=[(code, n, written, worded) for code, (n, written, worded) in sorted(self.texts.items())],
            people=dict(sorted(self.people.items())),
            people_of_pairs=[(place[rule], n) for rule, n in sorted(self.people_of_rules.items())],
        )  # fmt: skip
