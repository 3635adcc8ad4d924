"""A stage that reads a cell by itself is refused, however the cell came to where it is cast."""

from __future__ import annotations

from pathlib import Path

import pytest

from tawt.contracts.contract import Contract
from tawt.contracts.layers import LAYERS
from tawt.contracts.table import Table
from tawt.database.macros import load_macros
from tawt.errors import StageError
from tawt.sources.casts import hold_reading
from tawt.sources.sql_file import checked

RAW = Table.model_validate(
    {"name": "raw.t", "description": "d", "columns": [{"name": n, "type": "int64"} for n in ("id", "seen", "v")]}
)
STAGED = Contract.model_validate(
    {
        "name": "staging.t", "description": "d",
        "columns": [
            {"name": "id", "type": "int64"}, {"name": "s", "type": "string"}, {"name": "seen", "type": "timestamp[us]"}
        ],
    }
)  # fmt: skip


def hold(text: str) -> None:
    """Hold a stage of the layer that may read what it reads."""
    layer = "staging" if "raw.t" in text else "event_parts"
    sql = checked(Path("t.sql"), LAYERS[layer], text, load_macros())
    hold_reading(sql, {"raw.t": RAW, "staging.t": STAGED}, load_macros())


@pytest.mark.parametrize(
    ("text", "macro"),
    [
        ("select try_cast(id as bigint) as x, _row from raw.t", "whole"),
        ("select cast(id as bigint) as x, _row from raw.t", "whole"),
        ("select id::integer as x, _row from raw.t", "whole"),
        ("select trim(id)::int as x, _row from raw.t", "whole"),
        ("select nullif(trim(id), '')::ubigint as x, _row from raw.t", "whole"),
        ("select round(try_cast(v as double)) as x, _row from raw.t", "number"),
        ("select v::decimal(9, 2) as x, _row from raw.t", "number"),
        ("select regexp_extract(s, '[0-9]+')::real as x from staging.t", "number"),
        ("select case when v = 'a' then id else '3' end::int as x, _row from raw.t", "whole"),
        ("select coalesce(id::bigint, 3) as x, _row from raw.t", "whole"),
        ("select trim(id) as a, a::int as b, _row from raw.t", "whole"),
        (
            "with a as (select *, trim(id) as i from raw.t), b as (select * from a) select i::int as x, _row from b",
            "whole",
        ),
        ("select key_fault('id', id, id::bigint) as _reason, _row from raw.t", "whole"),
        ("select seen::timestamp as x, _row from raw.t", "moment"),
        ("select try_cast(seen as timestamptz) as x, _row from raw.t", "moment"),
        ("select v::logical as x, _row from raw.t", "truth"),
        ("select left(seen, 10)::date as x, _row from raw.t", "calendar_day"),
        ("select strptime(seen, '%Y') as x, _row from raw.t", "moment_as"),
        ("select try_strptime(trim(seen), ['%Y']) as x, _row from raw.t", "moment_as"),
        ("select s::int as x from staging.t", "whole"),
        ("select min(s)::timestamp as x from staging.t", "moment"),
        ("select a.id from staging.t a join staging.t b on a.id = b.s::bigint", "whole"),
        ("select id from staging.t where id in (select s::bigint from staging.t)", "whole"),
        ("select id from staging.t union all select s::int from staging.t", "whole"),
        ("select id from (select id, s as q from staging.t) where q::int > 3", "whole"),
    ],
)
def test_a_cast_of_a_text_is_refused_with_the_macro(text: str, macro: str) -> None:
    """Told through steps, joins, functions and branches; the hint names what reads it."""
    with pytest.raises(StageError, match="by itself") as caught:
        hold(text)
    assert f"`{macro}(...)`" in caught.value.hint


@pytest.mark.parametrize(
    "text",
    [
        "select whole(id)::int as x, moment(seen) as seen, _row::bigint as _row from raw.t",
        "select whole(left(id, 3)) * 60 + whole(right(id, 2)) as x, $p::timestamp as y, _row from raw.t",
        "select length(id)::int as x, (id = '3')::int as y, (case when id = 'a' then 1 end)::int as z, _row from raw.t",
        "select number(v)::float as x, '2020-01-01'::date as y, null::timestamp as z, _row from raw.t",
        "select id::double as x, seen::date as y, id::varchar as z, count(s)::int as n from staging.t group by all",
        "with s as (select id as s from staging.t) select s::int as x from s",
    ],
)
def test_what_comes_from_no_text_may_be_cast(text: str) -> None:
    """What a macro read, what is told of a text, constants, parameters, and columns that have a type."""
    hold(text)
    assert "::" in text or "cast" in text
