"""Counts of events, shard by shard: how often each data_type and each of its numbers comes, and in how many subjects.

Whole numbers are added up for exact values, so the sums do not hang on how subjects lie in shards.
"""

from __future__ import annotations

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from tawt.arrays import Ints, Words
from tawt.contracts.value_status import STATUS_NAMES, ValueStatus
from tawt.transforms.columns import array_of, dictionary_of, encoded, runs_of

COLUMNS = ["subject_id", "code", "numeric_value", "unit", "value_status"]
_32, _LOW, _SIGN = np.uint64(32), np.uint64((1 << 32) - 1), np.uint32(1 << 31)


class Tally:
    """Counts over shards, each of which holds whole subjects."""

    def __init__(self) -> None:
        self._codes = pa.array([], pa.string())
        self._totals = np.zeros((3, 0), dtype=np.int64)
        """Of each code: its rows, its subjects, its subjects with a number."""
        self._units: set[tuple[str, str]] = set()
        self._numbers = [(np.empty(0, np.uint64), np.empty(0, np.int64))]
        """Words of a code and a number, ascending, and how often each came: of many shards, then of some more."""

    def add(self, events: pa.Table) -> None:
        """Count a shard.

        Args:
            events: `COLUMNS` of one shard, each subject's rows together.
        """
        codes, subject = encoded(events["code"]), array_of(events["subject_id"]).to_numpy()
        names, code = codes.dictionary.cast(pa.string()), codes.indices.to_numpy().astype(np.int64)
        new = names.filter(pc.is_null(pc.index_in(names, self._codes)))
        self._codes = pa.concat_arrays([self._codes, new])
        place = pc.index_in(names, self._codes).to_numpy().astype(np.int64)
        status, statuses = dictionary_of(events["value_status"])
        rows = np.flatnonzero(np.array([name == STATUS_NAMES[ValueStatus.NUMERIC] for name in statuses])[status])
        of_code = [code, runs_of(subject, code)[2], runs_of(subject[rows], code[rows])[2]]
        self._totals = np.pad(self._totals, ((0, 0), (0, len(new))))
        self._totals[:, place] += [np.bincount(one, minlength=len(names)) for one in of_code]
        self._add_units(names.to_pylist(), code, encoded(events["unit"]))
        self._add_numbers(place[code[rows]], array_of(events["numeric_value"]).take(pa.array(rows)).to_numpy())

    def _add_units(self, names: list[str], code: Ints, unit: pa.DictionaryArray) -> None:
        texts, known = unit.dictionary.to_pylist(), unit.is_valid().to_numpy(zero_copy_only=False)
        pair = code[known] * len(texts) + unit.indices.drop_null().to_numpy()
        met = np.flatnonzero(np.bincount(pair)).tolist()
        self._units.update((names[one // len(texts)], texts[one % len(texts)]) for one in met)

    def _add_numbers(self, place: Ints, number: np.ndarray) -> None:
        bits = number.astype(np.float32).view(np.uint32)
        # negative ones descend by their bits
        ascending = np.where(bits & _SIGN, ~bits, bits | _SIGN)
        words = pl.Series(place.astype(np.uint64) << _32 | ascending).sort().to_numpy()
        opens = _opens(words)
        self._numbers.append((words[opens], np.diff(opens, append=len(words))))
        if sum(len(words) for words, _ in self._numbers[1:]) > len(self._numbers[0][0]):
            self._numbers = [self._merged()]

    def _merged(self) -> tuple[Words, Ints]:
        words, n = _in_order(*(np.concatenate(parts) for parts in zip(*self._numbers, strict=True)))
        opens = _opens(words)
        return words[opens], np.add.reduceat(n, opens) if len(opens) else n

    def _by_name(self) -> Ints:
        """Return the places of the codes that rows have, by name."""
        place = np.flatnonzero(self._totals[0])
        order: Ints = place[pc.sort_indices(self._codes.take(pa.array(place))).to_numpy()]
        return order

    def codes(self) -> pa.Table:
        """Return `code`, `n_rows`, `n_subjects`, `n_value_subjects`, and of its units the last, `unit`; by code."""
        places, unit_of = self._by_name(), dict(sorted(self._units))
        names = self._codes.take(pa.array(places))
        n_rows, n_subjects, n_value_subjects = self._totals[:, places]
        units = pa.array([unit_of.get(name) for name in names.to_pylist()], pa.string())
        return pa.table(
            {
                "code": names, "n_rows": n_rows, "n_subjects": n_subjects, "unit": units,
                "n_value_subjects": n_value_subjects,
            }
        )  # fmt: skip

    def numbers(self) -> pa.Table:
        """Return `code`, its place in `codes`, `value` and `n`, how often it came; by code and value."""
        words, n = self._merged()
        rank, places = np.zeros(len(self._codes), dtype=np.uint64), self._by_name()
        rank[places] = np.arange(len(places), dtype=np.uint64)
        words, n = _in_order(rank[(words >> _32).astype(np.int64)] << _32 | words & _LOW, n)
        ascending = words.astype(np.uint32)
        value = np.where(ascending & _SIGN, ascending ^ _SIGN, ~ascending).view(np.float32)
        return pa.table({"code": (words >> _32).astype(np.int64), "value": value.astype(np.float64), "n": n})


def _in_order(words: Words, n: Ints) -> tuple[Words, Ints]:
    by_word = pl.DataFrame({"word": words, "n": n}).sort("word")
    return by_word["word"].to_numpy(), by_word["n"].to_numpy()


def _opens(words: Words) -> Ints:
    """Return where in ascending words another one begins."""
    return np.flatnonzero(np.append(True, words[1:] != words[:-1])[: len(words)])
