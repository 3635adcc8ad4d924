"""Numbers of rows, each judged by the rule of its data_type and unit: in the canonical unit, or marked."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tawt.contracts.value_status import HAS_NUMBER, STATUS_NAMES, ValueStatus
from tawt.files import digest
from tawt.transforms.columns import Int64s, dictionary_of, encoded
from tawt.transforms.units import Rule, Units

_NO_RULE = Rule(None, 1.0, 0.0, None, float("-inf"), float("inf"))


class RuleColumns(NamedTuple):
    """Rules as columns, so that what is asked of each row is looked up; the last stands for no rule."""

    factor: npt.NDArray[np.float64]
    offset: npt.NDArray[np.float64]
    low: npt.NDArray[np.float64]
    high: npt.NDArray[np.float64]
    known: npt.NDArray[np.bool_]
    is_named: npt.NDArray[np.bool_]
    in_its_unit: npt.NDArray[np.bool_]
    """Whether numbers came in the canonical unit, spelled as it is."""
    unit: pa.DictionaryArray
    name: pa.DictionaryArray


@dataclass(frozen=True)
class Judged:
    """The numbers of a table after units and ranges; every array has one entry per row."""

    value: npt.NDArray[np.float32]
    """The number in the canonical unit; NaN where there is none that can be used."""
    usable: npt.NDArray[np.bool_]
    came: npt.NDArray[np.bool_]
    """Whether there was a number at all."""
    status: npt.NDArray[np.int8]
    rule: Int64s
    """Index into `looked_up`."""
    looked_up: RuleColumns

    @property
    def changed(self) -> npt.NDArray[np.bool_]:
        """Whether there was a number that `value` does not tell as it came."""
        return self.came & (~self.usable | self.looked_up.is_named[self.rule])

    def rule_counts(self, numbers: Int64s) -> dict[str, int]:
        """Return how many numbers each named rule was applied to.

        Args:
            numbers: How many of each rule.
        """
        name, is_named = self.looked_up.name, self.looked_up.is_named
        place = name.indices.fill_null(0).to_numpy()[is_named]
        totals = np.bincount(place, numbers[is_named], len(name.dictionary)).astype(np.int64)
        counts = zip(name.dictionary.to_pylist(), totals.tolist(), strict=True)
        return dict(sorted((text, n) for text, n in counts if n))


@dataclass(frozen=True)
class PairRules:
    """A rule for every pair of a data_type and a unit as it came."""

    index: dict[tuple[str, str | None], int]
    """Of each, in the order of `rules`."""
    rules: list[Rule]

    @classmethod
    def fit(cls, counts: pa.Table, units: Units) -> PairRules:
        """Choose canonical units on train, and a rule for every pair.

        Args:
            counts: `code`, `unit`, `n_train` (rows with a number in train) and `n` (in all splits).
            units: Seeds and declarations.
        """
        train: dict[str, dict[str | None, int]] = {}
        everywhere: dict[str, dict[str | None, int]] = {}
        for row in counts.to_pylist():
            train.setdefault(row["code"], {})[row["unit"]] = row["n_train"]
            everywhere.setdefault(row["code"], {})[row["unit"]] = row["n"]
        index: dict[tuple[str, str | None], int] = {}
        rules: list[Rule] = []
        for code, seen in sorted(train.items()):
            # a code that train lacks takes its unit from where it is; nothing else is fitted on it
            basis = seen if any(seen.values()) else everywhere[code]
            basis = {unit: n for unit, n in basis.items() if n}
            canonical = units.canonical(code, basis)
            has_units = any(units.spelled(unit) is not None for unit in basis)
            for unit in sorted(seen, key=lambda text: (text is not None, text or "")):
                index[code, unit] = len(rules)
                rules.append(units.rule(code, unit, canonical, has_units))
        return cls(index, rules)

    def pairs(self, rules: Iterable[int]) -> list[tuple[str, str | None]]:
        """Return the data_type and unit that each of some rules is for."""
        return [self._pairs[rule] for rule in rules]

    def known(self, pairs: Iterable[tuple[str, str | None]]) -> str:
        """Return what the rules of some data_types and units are known by; of one that there is none for, nothing."""
        return digest([self._told.get(pair) or digest([*pair, ""]) for pair in pairs])

    @cached_property
    def _pairs(self) -> list[tuple[str, str | None]]:
        return list(self.index)

    @cached_property
    def _told(self) -> dict[tuple[str, str | None], str]:
        return {pair: digest([*pair, repr(self.rules[place])]) for pair, place in self.index.items()}

    @cached_property
    def columns(self) -> RuleColumns:
        """What is looked up of each rule: it is the same for every shard."""
        rules = [*self.rules, _NO_RULE]
        stays = [unit is not None and unit == r.unit for (_, unit), r in zip(self.index, self.rules, strict=True)]
        return RuleColumns(
            factor=np.array([rule.factor for rule in rules]), offset=np.array([rule.offset for rule in rules]),
            low=np.array([rule.low for rule in rules]), high=np.array([rule.high for rule in rules]),
            known=np.array([rule.known for rule in rules]),
            is_named=np.array([rule.name is not None for rule in rules]), in_its_unit=np.array([*stays, False]),
            unit=pa.array([rule.unit for rule in rules], pa.string()).dictionary_encode(),
            name=pa.array([rule.name for rule in rules], pa.string()).dictionary_encode(),
        )  # fmt: skip

    @cached_property
    def _texts(self) -> tuple[pa.StringArray, pa.StringArray]:
        """The data_types and the units that there are rules for."""
        codes, units = {code for code, _ in self.index}, {unit for _, unit in self.index if unit is not None}
        return pa.array(sorted(codes), pa.string()), pa.array(sorted(units), pa.string())

    @cached_property
    def _by_word(self) -> tuple[Int64s, Int64s]:
        """The words of all pairs, ascending, and the index of each one's rule; behind them a word that none has."""
        columns = ([code for code, _ in self.index], [unit for _, unit in self.index])
        words = self._words(*(pa.array(texts, pa.string()).dictionary_encode() for texts in columns))
        order = np.argsort(words)
        return np.append(words[order], np.iinfo(np.int64).max), np.append(order, len(self.rules))

    def _words(self, code: pa.DictionaryArray, unit: pa.DictionaryArray) -> Int64s:
        """Return one number for a data_type and a unit."""
        codes, units = self._texts
        return _places_of(code, codes) * (len(units) + 2) + _places_of(unit, units)

    def _rule_of(self, code: pa.DictionaryArray, unit: pa.DictionaryArray) -> Int64s:
        """Return the index of each row's rule; of a pair that there is none for, the one after the last."""
        words = pa.array(self._words(code, unit)).dictionary_encode()
        met, (known, rules) = words.dictionary.to_numpy(), self._by_word
        place = np.searchsorted(known, met)
        return np.where(known[place] == met, rules[place], len(self.rules))[words.indices.to_numpy()]

    def judge(self, table: pa.Table) -> Judged:
        """Convert every number, hold it against its range, and settle its status; float64 until the end."""
        rule = self._rule_of(encoded(table["code"]), encoded(table["unit"]))
        number = table["numeric_value"].to_numpy()
        came = np.isfinite(number)
        of = self.columns
        name, names = dictionary_of(table["value_status"])
        status = np.array([STATUS_NAMES.index(text) for text in names], dtype=np.int8)[name]
        # a status that the row does not bear out is not believed: no number, no text, no value
        status[~came & np.isin(status, HAS_NUMBER)] = ValueStatus.UNPARSED
        status[(status == ValueStatus.CATEGORY) & table["text_value"].is_null().to_numpy()] = ValueStatus.ABSENT
        with np.errstate(over="ignore", invalid="ignore"):
            exact = number * of.factor[rule] + of.offset[rule]
            # adding zero takes the sign of -0.0, which compares as equal and is other bytes
            value = exact.astype(np.float32) + np.float32(0)
        unknown = came & ~of.known[rule]
        # a bound of a censored value is no measurement; a number beyond float32 is no plausible one
        outside = (
            came
            & ~unknown
            & (
                ((status == ValueStatus.NUMERIC) & ((exact < of.low[rule]) | (exact > of.high[rule])))
                | ~np.isfinite(value)
            )
        )
        usable = came & ~unknown & ~outside
        status[unknown] = ValueStatus.UNIT_UNKNOWN
        status[outside] = ValueStatus.OUT_OF_RANGE
        return Judged(np.where(usable, value, np.float32("nan")), usable, came, status, rule, of)


def _places_of(column: pa.DictionaryArray, texts: pa.StringArray) -> Int64s:
    """Return each row's place among texts; behind all that of no text, then that of any other."""
    place = pc.index_in(column.dictionary.cast(pa.string()), texts).fill_null(len(texts) + 1).to_numpy()
    return np.append(place, len(texts)).astype(np.int64)[column.indices.fill_null(len(place)).to_numpy()]
