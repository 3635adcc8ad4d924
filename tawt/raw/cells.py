"""The cells of tables that nobody has described, read by the engine as an ingest reads them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from datetime import date
from typing import Any, NamedTuple

import duckdb

from tawt.database.connect import identifier, literal, looking, wrapped_errors
from tawt.database.limits import Limits
from tawt.errors import SourceError
from tawt.places import real
from tawt.raw.copies import readable
from tawt.raw.find import RawTable
from tawt.raw.found import FoundTable, PassedOver
from tawt.raw.views import bind_raw

Place = tuple[str, str]
"""A table and a column of it."""
_LATE = "(1[3-9]|2[0-9]|3[01])"
_EARLY = "(0?[1-9]|1[0-2])"
_ORDERS = tuple(
    rf"^\s*{one}[-/.]{other}[-/.]([0-9]{{4}}|[0-9]{{2}})([^0-9]|$)" for one, other in ((_LATE, _EARLY), (_EARLY, _LATE))
)
"""A day that can only stand before its month, and one that can only stand behind it."""
_ZONE = r"(:[0-9]{2}([.][0-9]+)?( ?[AaPp][Mm])?)\s*(Z|z|UTC|GMT|[-+][0-9]{2}(:?[0-9]{2})?)$"
_BARE = (
    r"lower(nfc_normalize(regexp_replace(replace(cell, chr(160), ''), '\s', '', 'g')))",
    (r"(^|[^0-9.])0+([0-9])", r"\1\2"), (r"^(-?[0-9]+)[.]0+$", r"\1"), (r"[_/]", "-"),
    (r"^[{(\[#]+|[})\]]+$", ""), (r"([a-z])[-.#:]+([0-9])", r"\1\2"), (r"([0-9])[-#:]+([a-z])", r"\1\2"),
)  # fmt: skip
"""A cell in small letters, without blanks, zeros in front of a number, those behind its point, and signs between
letters and digits, as `tawt.sources.bare` has it."""
_UUID = "{0}{{8}}-({0}{{4}}-){{3}}{0}{{12}}"
_FORM = (
    r"replace(cell, chr(160), ' ')", (_UUID.format("[0-9a-f]"), "\x01"), (_UUID.format("[0-9A-F]"), "\x02"),
    (r"([0-9])[.]0+$", "\\1\x03"), (r"[[:upper:]]+", "A"), (r"[[:lower:]]+", "a"), (r"[^ -~\x01-\x03]+|`", "?"),
    (r"\b0[0-9]+", "\x04"), (r"[0-9]+", "9"), ("\x01", "uuid"), ("\x02", "UUID"), ("\x03", ".0"), ("\x04", "09"),
)  # fmt: skip
"""What a cell looks like: `A-9`, `09`, `9.0`, with one letter for all letters and one digit for all digits."""


def _replaced(first: str, *steps: tuple[str, str]) -> str:
    """Return SQL that replaces patterns one after another."""
    for pattern, by in steps:
        first = f"regexp_replace({first}, {literal(pattern)}, {literal(by)}, 'g')"
    return first


class Joined(NamedTuple):
    """How many ids of a column are found in another."""

    n: int
    n_same: int
    """As they stand."""
    n_alike: int
    """If both were written alike."""
    forms: tuple[str, ...]
    """What they look like: forms that many have, most frequent first."""


_MOST = 500_000
"""Records that the engine can choose by their subjects."""


class Apart(NamedTuple):
    """How the ids of several columns are written."""

    n: int
    """Ids that are written in several ways: with zeros in front, letters in capitals or blanks here, and not there."""
    n_within: int
    """Those of them that are so in one column."""
    n_padded: int
    """Ids with zeros in front of a number."""
    is_whole: bool
    """Whether hardly any is not a whole number."""


class Cells:
    """Reads tables; what cannot be read is passed over."""

    def __init__(
        self, connection: duckdb.DuckDBPyConnection, tables: Mapping[str, RawTable], report: Callable[[str], None]
    ) -> None:
        self._connection, self._tables, self._report = connection, tables, report
        connection.execute("create temp table ids (place varchar, cell varchar, bare varchar)")

    def first(self, table: str, most: int) -> tuple[dict[str, list[str | None]], int]:
        """Return the cells of the first records by column, and how many records there are, odd ones too if all are.

        Raises:
            TawtError: It cannot be read.
        """
        names = self._tables[table].contract.names
        listed = ", ".join(map(identifier, names))
        found = self._read(table, f"select {listed} from raw.{identifier(table)} limit {most}")
        n_odd = 0
        if not found.num_rows and self._tables[table].is_text:
            n_odd = self._connection.execute(f"select count(*) from {identifier(f'_rejects_{table}')}").fetchall()[0][0]
        return {name: column.to_pylist() for name, column in zip(names, found.columns, strict=True)}, (
            found.num_rows + n_odd
        )

    def beyond(
        self, table: str, days: Sequence[str], whose: str, behind: int, most: int
    ) -> tuple[dict[str, tuple[int, int]], dict[str, list[str | None]]]:
        """Read a table to its end, once.

        Args:
            table: The table.
            days: Its columns of days.
            whose: The column of its subjects.
            behind: So many records are known.
            most: So many are returned at most.

        Returns:
            In how many records each day stands surely before, or behind, its month; and the records of some subjects,
            chosen by nothing that is in them, wherever they stand behind the known ones.
        """
        names = self._tables[table].contract.names
        asked = [f"count(*) filter (regexp_matches({identifier(c)}, {literal(way)}))" for c in days for way in _ORDERS]
        record = f"[{', '.join(map(identifier, names))}]"
        some = f"min_by({record}, hash(trim({identifier(whose)})), {min(most, _MOST)}) filter (_row > {behind})"
        row = self._read(table, f"select {', '.join([*asked, some])} from raw.{identifier(table)}", parallel=True)
        *counts, found = (column[0].as_py() for column in row.columns)
        cells = zip(*found, strict=True) if found else [[] for _ in names]
        return dict(zip(days, zip(counts[::2], counts[1::2], strict=True), strict=True)), {
            name: list(column) for name, column in zip(names, cells, strict=True)
        }

    def last_day(self, table: str, forms: Mapping[str, Sequence[str]], latest: date | None) -> date | None:
        """Return the last day that stands in some columns of a table.

        Args:
            table: The table.
            forms: How the times of each column are written, as the engine takes it, but for a zone behind them.
            latest: The last day that can be; None = any.
        """
        days = [
            # forms with two digits first: those with four read them, too
            f"try_strptime(regexp_replace(trim({identifier(column)}), {literal(_ZONE)}, '\\1'), "
            f"[{', '.join(map(literal, sorted(written, key=lambda form: '%y' not in form)))}])::date"
            for column, written in forms.items()
        ]
        day = "day"
        if latest is not None:
            before = "(day - interval 100 years)::date"
            day = f"case when day <= date '{latest}' then day when {before} <= date '{latest}' then {before} end"
        text = f"select max({day}) from (select unnest([{', '.join(days)}]) as day from raw.{identifier(table)})"
        found: date | None = self._read(table, text, parallel=True).columns[0][0].as_py()
        return found

    def gather(self, table: str, columns: Sequence[str]) -> None:
        """Hold the different ids in some columns of a table, to compare them with others'."""
        listed = ", ".join(
            f"{{place: {literal(_place((table, column)))}, cell: trim({identifier(column)})}}" for column in columns
        )
        cells = f"select unnest([{listed}], recursive := true) from raw.{identifier(table)}"
        self._read(
            table, f"insert into ids select place, cell, {_replaced(*_BARE)} from "
            f"(select distinct place, cell from ({cells}) where cell <> '')", parallel=True,
        )  # fmt: skip

    def apart(self, places: Sequence[Place], home: Place | None = None) -> Apart:
        """Return how the ids of gathered columns are written.

        Args:
            places: The columns.
            home: The one in which the ids of the others are looked up, where there is one: only what is not found as it
                stands is written in another way then.
        """
        listed = ", ".join(literal(_place(one)) for one in (*places, *([home] if home else [])))
        at_home = f"place = {literal(_place(home))}" if home is not None else "false"
        counted = "kinds > 1 or ways > 1" if home is None else "len(theirs) > 0 and not list_has_all(theirs, own)"
        n_apart, n_within = self._connection.execute(
            "with of_bare as (select bare, place, list(distinct cell order by cell) as cells from ids "
            f"where place in ({listed}) group by all), "
            "told as (select bare, max(len(cells)) as ways, count(distinct cells) as kinds, "
            f"flatten(list(cells) filter ({at_home})) as theirs, flatten(list(cells) filter (not {at_home})) as own "
            "from of_bare group by bare) "
            f"select count_if({counted}), count_if(ways > 1) from told"
        ).fetchall()[0]
        n, n_padded, n_whole = self._connection.execute(
            "select count(*), count_if(regexp_full_match(cell, '0+[1-9][0-9]*')), "
            f"count_if(regexp_full_match(cell, '\\s*[-+]?[0-9]{{1,18}}\\s*')) from ids where place in ({listed})"
        ).fetchall()[0]
        return Apart(n_apart, n_within, n_padded, n > 0 and n_whole >= 0.98 * n)

    def joined(self, places: Sequence[Place], home: Place, least: int) -> dict[Place, Joined]:
        """Return how many of the ids of gathered columns are in another, that one too.

        Args:
            places: The columns.
            home: The other.
            least: So many ids at least have a form that is returned.
        """
        at_home = f"from ids where place = {literal(_place(home))}"
        found = {}
        for place in (*places, home):
            here = f"from ids where place = {literal(_place(place))}"
            n, n_same, n_alike = self._connection.execute(
                f"select count(*), count_if(cell in (select cell {at_home})), "
                f"count_if(bare in (select bare {at_home})) {here}"
            ).fetchall()[0]
            forms = self._connection.execute(
                f"select {_replaced(*_FORM)} as form {here} group by form having count(*) >= {least} "
                "order by count(*) desc, form limit 2"
            ).fetchall()
            found[place] = Joined(n, n_same, n_alike, tuple(form for (form,) in forms))
        return found

    def _read(self, table: str, text: str, parallel: bool = False) -> Any:
        self._report(table)
        with wrapped_errors(table):
            is_asked = text.startswith("select")
            reader = bind_raw(self._connection, self._tables[table], parallel)
            try:
                return self._connection.sql(text).to_arrow_table() if is_asked else self._connection.execute(text)
            except duckdb.Error:
                if reader is not None and reader.failed is not None:
                    raise reader.failed from None
                raise


def _place(place: Place) -> str:
    return "\n".join(place)


@contextmanager
def cells_of(
    tables: Mapping[str, FoundTable], passed: list[PassedOver], report: Callable[[str], None] = lambda table: None
) -> Iterator[Cells]:
    """Open tables for reading; those of which no file can be opened are added to what is passed over.

    Args:
        tables: By name.
        passed: What is passed over.
        report: Is told the name of a table before it is read.
    """
    with ExitStack() as stack:
        raw: dict[str, RawTable] = {}
        for name, found in tables.items():
            try:
                (raw[name],) = stack.enter_context(readable([found.raw(name)]))
            except SourceError as error:
                passed.append(PassedOver(found.place, error.what))
        folders = sorted({real(file.path).parent for table in raw.values() for file in table.files})
        yield Cells(stack.enter_context(looking(Limits.of(), folders)), raw, report)
