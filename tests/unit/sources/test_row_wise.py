"""Staging carries the number of each record as it is; nothing hangs on the order in which rows arrive, or on chance."""

from __future__ import annotations

import random
from pathlib import Path

import duckdb
import pytest

from tawt.errors import StageError
from tawt.sources.row_wise import any_order_will_do
from tawt.sources.sql_file import read_sql

OTHERS = {
    "numbers that are swapped": "select a, case _row when 1 then 2 when 2 then 1 else _row end as _row from raw.x",
    "numbers from the other end": "select a, (26 - _row)::bigint as _row from raw.x",
    "in a replace": "select * replace (_row + 0 as _row) from raw.x",
    "in capitals": 'select a, -_row as "_ROW" from raw.x',
    "another column": "select a, b as _row from raw.x",
    "another column by a rename": "select * rename (b as _row) from raw.x",
    "another column by its place": "select a, #2 as _row from raw.x",
    "another column in an early step": "with y as (select a, b as _row from raw.x) select a, _row from y",
    "names of a step": "with y(_row, a) as (select a, _row from raw.x) select a, _row from y",
    "names of a relation": "select t.a, t._row from raw.x as t(_row, a)",
    "a field": "with y as (select *, {'_row': 9} as s from raw.x) select a, s._row from y",
    "a field of what is named like the relation": "with y as (select *, {'_row': 9} as y from raw.x) select t.a, y._row from y as t",
    "all fields": "with y as (select * exclude (_row), {'_row': 9} as s from raw.x) select s.* from y",
    "a star in an expression": "select a, 26 - columns('_row') from raw.x",
    "a star that renames": "select columns('(b)') as '_row' from raw.x",
    "a rounding cast": "select a, _row::float as _row from raw.x",
    "a constant": "select a, 1::bigint as _row from raw.x",
}


def _read(text: str, layer: str, folder: Path) -> tuple[str, ...]:
    (folder / "x.sql").write_text(text)
    return read_sql(folder / "x.sql", layer).references


@pytest.mark.parametrize("how", OTHERS)
def test_the_number_of_a_record_is_carried_as_it_is(how: str, tmp_path: Path) -> None:
    """A record that goes on under another's number would pass every count: whatever could do it is refused."""
    with pytest.raises(StageError, match="gives the name _row to something else") as caught:
        _read(OTHERS[how], "staging", tmp_path)
    assert "_row" in caught.value.hint


@pytest.mark.parametrize(
    "text",
    [
        "select a, _row, null::varchar as _reason from raw.x",
        "select a, x._row::bigint as _row from raw.x",
        "with y as (select * replace (trim(a) as a) from raw.x), z as (from y) select z.*, _row as n from z",
        "with y as (select * exclude (a) from raw.x as t) select t._row::int8 as _row, _row + 1 as next from y as t",
        "with y(a, n) as (select a, _row from raw.x) select a, n from y",
    ],
)
def test_a_number_that_is_carried_may_be_written_in_several_ways(text: str, tmp_path: Path) -> None:
    """Plain, qualified, by a star, cast to what it is; and copied under other names."""
    assert _read(text, "staging", tmp_path) == ("raw.x",)


LOOSE = {
    "a sample": "select * from staging.x using sample 50%",
    "a sample of a relation": "with s as (from staging.y tablesample 5 rows) select * from staging.x join s using (k)",
    "a limit": "select * from staging.x limit 2",
    "a limit within": "select (select string_agg(a, '' order by a) from (select a from staging.y limit 2)) from staging.x",
    "a limit of a share": "select * from staging.x limit 5%",
    "an offset": "select * from staging.x offset 3",
    "a limit in the order of a constant": "select * from staging.x order by 'k' limit 2",
    "any row of each": "select distinct on (k) k, a from staging.x",
    "the first value": "select k, first(a) from staging.x group by k",
    "any value": "select k, any_value(a) from staging.x group by k",
    "the last value of a few": "select k, last(a) filter (where a > 1) from staging.x group by k",
    "a list": "select k, list(a) from staging.x group by k",
    "a text": "select k, string_agg(a, ',') from staging.x group by k",
    "a text of distinct ones": "select k, string_agg(distinct a, ',') from staging.x group by k",
    "the order of a constant": "select k, list(a order by 1) from staging.x group by k",
    "what is seen most, of equals": "select k, mode(a) from staging.x group by k",
    "a guess": "select approx_quantile(a, 0.5) from staging.x",
    "the one with the largest": "select k, arg_max(a, b) from staging.x group by k",
    "the one with the largest constant": "select k, arg_max(a, 1) from staging.x group by k",
    "the one with the smallest of few": "select k, min_by(a, 0 * b) from staging.x group by k",
    "the few with the smallest": "select k, arg_min(a, b, 3) from staging.x group by k",
    "the one with the largest, or nothing": "select k, arg_max_null(a, b) from staging.x group by k",
    "as many as the first row says": "select k, max(a, b) from staging.x group by k",
    "the one with the largest, of a window": "select max_by(a, b) over (partition by k) as n from staging.x",
    "an array": "select array(select a from staging.y) from staging.x",
    "numbers": "select row_number() over () as n from staging.x",
    "numbers in a part": "select row_number() over (partition by k) as n from staging.x",
    "numbers in the order of a constant": "select row_number() over (order by 1) as n from staging.x",
    "the row before": "select lag(a) over (partition by k) as n from staging.x",
    "a frame of rows": "select sum(a) over (rows between 1 preceding and current row) as n from staging.x",
    "the first of a window": "select first_value(a) over (partition by k) as n from staging.x",
    "a list of a window": "select list(a) over (partition by k) as n from staging.x",
    "a window by its name": "select row_number() over w as n from staging.x window w as (partition by k)",
    "in a condition": "select * from staging.x qualify row_number() over (partition by k) = 1",
    "by place": "select * from staging.x positional join staging.y",
    "a session": "select current_user as a from staging.x",
    "a session with brackets": "select session_user() as a from staging.x",
}


@pytest.mark.parametrize(
    ("what", "layer"),
    [(what, "event_parts") for what in LOOSE]
    + [(what, layer) for what in ("a sample", "a limit", "numbers") for layer in ("codes", "labels")],
)
def test_nothing_hangs_on_the_order_of_rows_or_on_chance(what: str, layer: str, tmp_path: Path) -> None:
    """What picks, numbers or joins rows as they come is refused in every layer that may look at several rows."""
    with pytest.raises(StageError, match=r"any order of the rows|functions of cells") as caught:
        _read(LOOSE[what], layer, tmp_path)
    assert caught.value.hint


@pytest.mark.parametrize(
    "text",
    [
        "select * from staging.x order by a, _row limit 2 offset 1",
        "select * from staging.x order by all limit 2",
        "select * from staging.x order by 1 limit 2",
        "select distinct on (k) k, a from staging.x order by k, _row",
        "select distinct k from staging.x",
        "select k, first(a order by _row), list(a order by _row), string_agg(a, ',' order by _row) from staging.x group by k",
        "select k, arg_min(a, b order by b, _row), max(a), sum(a), avg(a), median(a), count(*), count(distinct a), bool_or(b), stddev(a), "
        "min(a) filter (where b), max(a, 3), quantile_cont(a, 0.5), histogram(a), geomean(a) from staging.x group by k",
        "select row_number() over (partition by k order by _row), lag(a) over (order by _row) from staging.x",
        "select sum(a) over (partition by k), max(a) over (), count(*) over (order by _row rows 3 preceding) from staging.x",
        "select row_number() over w from staging.x window w as (partition by k order by _row)",
    ],
)
def test_what_says_which_rows_it_takes_is_let_pass(text: str, tmp_path: Path) -> None:
    """With an order by a column, and where any order gives the same."""
    assert _read(text, "event_parts", tmp_path) == ("staging.x",)


def test_whether_an_aggregate_minds_the_order_is_what_the_engine_does() -> None:
    """Each that is let pass gives the same of 12 shuffles of other rows, with ties, than those that it was tried with."""
    shuffles = [random.Random(seed).sample(range(37), 37) for seed in range(12)]
    tables = ["(values " + ", ".join(f"({i})" for i in shuffle) + ") r(i)" for shuffle in shuffles]
    calls = {"i % 11": (True,), "i % 11, i % 3": (True, True), "i % 11, 1": (True, False)}
    names = ("max", "sum", "median", "quantile_cont", "regr_count", "arg_min", "max_by", "first", "mode", "any_value")
    tried = set()
    with duckdb.connect(config={"threads": 1}) as connection:
        for name in names:
            for given, shape in calls.items():
                try:
                    told = {str(connection.execute(f"select {name}({given}) from {one}").fetchone()) for one in tables}
                except duckdb.Error:
                    continue
                tried.add((name, shape))
                if any_order_will_do(name, shape):
                    assert len(told) == 1, (name, given)
                # which ones mind is for the engine to say, and one version of it gives the mode of these in any order
                elif name != "mode":
                    assert len(told) > 1, (name, given)
    assert len(tried) > 12 and {name for name, _ in tried} == set(names)
