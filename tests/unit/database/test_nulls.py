"""Nulls that the author of a select wrote in the place of its time, told from those that come out of records."""

from __future__ import annotations

import duckdb
import pytest

from tawt.database.nulls import with_moment

WRITTEN = {
    "select *, null as time, k as code from t": "rs",
    "select *, null as time from (select k as code from t) union all select k, seen from t": "rs",
    "select k as code, seen as time from t union all select *, null from (select 'w' as a)": "w",
    "with a as (select *, null as time from (select k as code from t)) select * exclude (code), code from a": "rs",
    "select * exclude (time), null as time from (select k as code, seen as time from t)": "rs",
    "select *, null as time, 1 as one from (select k as code from t) union all select *, 1 from (select k, seen from t)": "rs",
    "select seen as time, * exclude (seen), k as code from t union all select null, * exclude (seen), 'w' from t": "ww",
    "select *, seen as time, k as code from t": "",
    "select 'w' as code, null as time": "w",
    "select 'w' as code, null::date as \"Time\"": "w",
    "with a as (select 'w' as code, null as time), b as (from a) select b.time, code from b": "w",
    "with a(code, time) as (select 'w', null) select code, cast(a.time as timestamp) as time from a": "w",
    "select k as code, seen as time from t union all select 'w', null": "w",
    "with e as (select k as code, seen as time from t union all select 'w', null union all select 'x', null) "
    "select e.*, 1 as one from e join t on t.k = 'r'": "wx",
    "select 'w' as code, null as time union all by name select seen as time, k as code from t": "w",
    "select k as code, case when k = 's' then seen end as time from t": "r",
    "select k as code, if(k = 's', seen, null) as time from t": "r",
    "select * replace (null::timestamp as time) from (select k as code, seen as time from t)": "rs",
    "select code, x.time from (select k as code, null as time from t) as x": "rs",
    "with a as (select null as time, 1 as c, 2 as d) select time, code from a unpivot (n for code in (c, d))": "cd",
    "select k as code, case when seen > '2021-01-01' then seen end as time from t": "",
    "select k as code, if(t.seen > '2021-01-01', seen, null) as time from t": "",
    "select k as code, nullif(seen, seen) as time from t": "",
    "select k as code, greatest(null, seen) as time from t": "",
    "select k as code, seen as time, null as available_time from t": "",
    "select k as code, time from t left join (select 'r' as k, timestamp '2020-01-01' as time) using (k)": "",
    "with a as (select null as time) select k as code, seen as time from t, a": "",
}


@pytest.mark.parametrize("text", WRITTEN)
def test_what_its_author_wrote_null_for_is_told_from_what_is_empty(text: str) -> None:
    """Rows of written nulls, and no others, get the moment."""
    connection = duckdb.connect()
    connection.execute("create table t as from (values ('r', null::timestamp), ('s', '2020-01-01')) as t(k, seen)")
    tried, conditional = with_moment(text, "time", "0001-01-01 00:00:00")
    assert conditional == (("case" in text or "if(" in text) and bool(WRITTEN[text]))
    marked = [] if tried is None else connection.execute(f"select code, time from ({tried.rstrip('; ')})").fetchall()
    assert "".join(sorted(code for code, time in marked if time is not None and time.year == 1)) == WRITTEN[text]
