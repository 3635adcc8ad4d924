"""What differs between two outputs of a stage: schema, rows, nulls, statuses, reasons, and rows that only one has.

Nothing but names and counts comes out. A count that could point at people is told as `<11`, and a data_type of so few
people is not named. Nor can one be had from the others: where one is hidden, or two or three of them give one, all are
told in twenties.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import duckdb
import numpy as np

from tawt.contracts.account import Account
from tawt.contracts.cells import RARE, SMALL_CELL
from tawt.contracts.reasons import HIDDEN
from tawt.contracts.value_status import STATUS_NAMES
from tawt.database.connect import identifier, interruptible, parquet_files

_PLACES = ("_row", *HIDDEN, "source_row", "table_rank")
"""Columns that say where a row came from: the same row of another file is the same."""
FEW = f"<{SMALL_CELL + 1}"
_ONLY = "rows only here"
_STEP = 2 * SMALL_CELL
_MANY = 150


@dataclass(frozen=True)
class Difference:
    """One thing in which two outputs differ."""

    stage: str
    what: str
    """`stage`, `column`, `rows`, `drop`, `quarantine`, `fault`, `added`, `nulls`, `status` or `rows only here`."""
    name: str
    """Of the column, reason, rule, status or data_type; empty = of all."""
    before: str | int | None
    """A count is a number until it is told: see `withheld`."""
    after: str | int | None


@dataclass(frozen=True)
class Output:
    """What a stage wrote, or would write."""

    files: Sequence[Path]
    """Parquet files of its rows; none of a stage that writes others."""
    accounts: Sequence[Account]
    hashes: Mapping[str, str]
    """File -> hash of its content, of what is known to stand there."""
    vocabulary: Sequence[Path] = ()
    """What names the data_types of triplets, by their index."""

    @property
    def relation(self) -> str:
        """The rows, data_types by their names."""
        rows = parquet_files(self.files)
        if not self.vocabulary:
            return rows
        return (
            f"(select t.* replace (v.code as data_type) from {rows} t left join "
            f"(select data_type, code from {parquet_files(self.vocabulary)}) v using (data_type))"
        )


def as_counted(found: Iterable[Difference]) -> list[Difference]:
    """Return differences with the counts as they are, for whoever may see single records."""
    return [replace(one, before=_plain(one.before), after=_plain(one.after)) for one in found if one.what]


def _plain(said: str | int | None) -> str | None:
    return str(said) if isinstance(said, int) else said


def withheld(found: Collection[Difference]) -> list[Difference]:
    """Return differences as they are told, counts as texts: all of them in twenties where a small one could be had.

    A multiple of twenty is no sum or difference of others by which 1 to 10 could be told.
    """
    counts = [n for one in found for n in (one.before, one.after) if isinstance(n, int)]
    shown = [n for one in found if one.what for n in (one.before, one.after) if isinstance(n, int)]
    rounded = any(0 < n <= SMALL_CELL for n in counts) or _give_few(Counter(shown))
    return [_told(one, rounded) for one in found if one.what]


def _told(one: Difference, rounded: bool) -> Difference:
    n, m = one.before, one.after
    if not isinstance(n, int) or not isinstance(m, int):
        return one
    before, after = (_as_text(count, rounded) for count in (n, m))
    if one.what != _ONLY and min(n, m) > SMALL_CELL and rounded:
        apart = FEW if abs(n - m) <= SMALL_CELL else f"<{_STEP}" if before == after else None
        after = after if apart is None else f"{apart} {'more' if m > n else 'fewer'}"
    return replace(one, before=before, after=after)


def _as_text(n: int, rounded: bool) -> str:
    if 0 < n <= SMALL_CELL:
        return FEW
    return str(n) if n == 0 or not rounded else f"<{_STEP}" if n < _STEP else f"{n // _STEP * _STEP}+"


def _give_few(counts: Counter[int]) -> bool:
    """Return whether a sum or difference of two or three counts is from 1 to 10; so many give one by chance.

    Args:
        counts: Count -> how often it stands there.
    """
    if len(counts) > _MANY:
        return True
    one = np.array([0, *(n for n, times in counts.items() for _ in range(min(times, 2)))])
    both = np.unique(np.add.outer(one, one)[np.triu_indices(len(one), 1)])
    apart = np.abs(both[:, None] - one)
    return bool(((apart > 0) & (apart <= SMALL_CELL)).any())


def differences(
    connection: duckdb.DuckDBPyConnection, stage: str, before: Output, after: Output
) -> Iterator[Difference]:
    """Yield what differs between two outputs of a stage, as it is counted, and without a name what else could be had.

    Rows are told apart by a hash of 64 bits of all cells but those of `_PLACES`, as often as they stand there.
    """
    counted = [_accounted(one.accounts) for one in (before, after)]
    for what, name in sorted({*counted[0], *counted[1]}, key=lambda key: (key[0] != "rows", key)):
        yield from _if_other(stage, what, name, counted[0][what, name], counted[1][what, name])
    if not before.files or not after.files or (before.hashes and before.hashes == after.hashes):
        return
    types = [_types(connection, one) for one in (before, after)]
    for name in dict.fromkeys((*types[0], *types[1])):
        if types[0].get(name) != types[1].get(name):
            yield Difference(stage, "column", name, types[0].get(name), types[1].get(name))
    shared = [name for name in types[0] if name in types[1] and name not in _PLACES]
    nulls = [_nulls(connection, one, shared) for one in (before, after)]
    n_rows = [one["rows", ""] for one in counted]
    for name in shared:
        if [one[name] for one in nulls] != n_rows:  # else it holds nothing on either side
            yield from _if_other(stage, "nulls", name, nulls[0][name], nulls[1][name])
            if nulls[0][name] != nulls[1][name]:
                yield Difference(stage, "", name, *(n - one[name] for n, one in zip(n_rows, nulls, strict=True)))
    if "value_status" in shared:
        of = [_counts(connection, one, "value_status") for one in (before, after)]
        for name in sorted({*of[0], *of[1]}):
            yield from _if_other(stage, "status", _status(name), of[0][name], of[1][name])
            if of[0] != of[1]:
                yield Difference(stage, "", _status(name), of[0][name], of[1][name])
    yield from _only_here(connection, stage, before, after, shared, types)


def _accounted(accounts: Sequence[Account]) -> Counter[tuple[str, str]]:
    counts: Counter[tuple[str, str]] = Counter()
    for account in accounts:
        counts["rows", ""] += account.n_rows_out
        counts["records in", account.driving] += account.n_records_in
        for route in account.routes:
            counts[route.kind, route.reason] += route.n_records
        for rule, n in account.n_rows_added.items():
            counts["added", rule] += n
        for fault in account.faults:
            counts["fault", f"{fault.column}:{fault.reason}"] += fault.n_cells
    return counts


def _if_other(stage: str, what: str, name: str, n: int, m: int) -> Iterator[Difference]:
    if n != m:
        yield Difference(stage, what, name, n, m)


def _types(connection: duckdb.DuckDBPyConnection, one: Output) -> dict[str, str]:
    rows = _ask(connection, f"describe select * from {one.relation}")
    return {str(name): str(type_).lower() for name, type_, *_ in rows}


def _nulls(connection: duckdb.DuckDBPyConnection, one: Output, names: Sequence[str]) -> dict[str, int]:
    counts = ", ".join(f"count(*) - count({identifier(name)})" for name in names)
    (row,) = _ask(connection, f"select {counts} from {one.relation}")
    return dict(zip(names, row, strict=True))


def _counts(connection: duckdb.DuckDBPyConnection, one: Output, column: str) -> Counter[Any]:
    rows = _ask(connection, f"select {identifier(column)}, count(*) from {one.relation} group by all")
    return Counter(dict(rows))


def _people(connection: duckdb.DuckDBPyConnection, one: Output, kind: str, has_subjects: bool) -> Counter[Any]:
    """Return how many subjects have each data_type; its rows, where they are of none."""
    n = "count(distinct subject_id)" if has_subjects else "count(*)"
    return Counter(dict(_ask(connection, f"select {identifier(kind)}::varchar, {n} from {one.relation} group by all")))


def _status(value: object) -> str:
    return STATUS_NAMES[value] if isinstance(value, int) else str(value)


def _only_here(
    connection: duckdb.DuckDBPyConnection, stage: str, before: Output, after: Output, shared: Sequence[str],
    types: Sequence[Mapping[str, str]],
) -> Iterator[Difference]:  # fmt: skip
    """Yield how many rows only one of two outputs has: of all, and by data_type."""
    kind = next((name for name in ("code", "data_type") if name in shared), None)
    # where it differs nearly all rows would, for one data_type more moves the rest
    hashed = [name for name in shared if stage != "vocabulary" or name != "data_type"]
    cells = ", ".join(
        identifier(name) if types[0][name] == types[1][name] else f"{identifier(name)}::varchar" for name in hashed
    )
    named = f"{identifier(kind)}::varchar" if kind is not None else "''"
    sides = " union all ".join(
        f"select {named} as name, hash({cells}) as h, {n} as n from {one.relation}"
        for n, one in ((1, before), (-1, after))
    )
    rows = _ask(
        connection,
        f"select name, sum(n) filter (n > 0), -sum(n) filter (n < 0) from "
        f"(select name, h, sum(n) as n from ({sides}) group by name, h having sum(n) <> 0) group by name",
    )
    only = [Counter({str(name): int(row[i] or 0) for name, *row in rows}) for i in (0, 1)]
    yield from _only(stage, "", sum(only[0].values()), sum(only[1].values()))
    if kind is None or stage == "vocabulary":
        return
    there = [_people(connection, one, kind, "subject_id" in types[i]) for i, one in enumerate((before, after))]
    rare = [name for name in only[0] if max(there[0][name], there[1][name]) <= SMALL_CELL]
    told = {name: max(one[name] for one in only) for name in only[0] if name not in rare}
    # the order among those that are told alike would tell more
    for name in sorted(told, key=lambda name: (-(told[name] // _STEP), name)):
        yield from _only(stage, name, only[0][name], only[1][name])
    yield from _only(stage, RARE, sum(only[0][name] for name in rare), sum(only[1][name] for name in rare))


def _only(stage: str, name: str, n: int, m: int) -> Iterator[Difference]:
    if n or m:
        yield Difference(stage, _ONLY, name, n, m)


def _ask(connection: duckdb.DuckDBPyConnection, text: str) -> list[tuple[Any, ...]]:
    return interruptible(connection, lambda: connection.execute(text).fetchall())
