"""What a stage file and a query may hold: one `select`, over relations, and in staging nothing that loses a record."""

from __future__ import annotations

import os
from contextlib import suppress
from itertools import product
from pathlib import Path

import duckdb
import pytest

from tawt.database.catalog import unbounded_texts
from tawt.database.parse import parse
from tawt.errors import ConfigError, StageError
from tawt.readers import MAX_WRITTEN_BYTES
from tawt.sources.asked import check_select
from tawt.sources.sql_file import parameters_for, read_sql

KEPT = "1 as a, _row, null::varchar as _reason"

REFUSED = {
    "table function": ("staging", f"select {KEPT} from read_csv('x.csv')", "calls `read_csv` in the place of a relation"),
    "table function in a cte": ("staging", f"with a as (from glob('*')) select {KEPT} from a", "calls `glob` in the place of a relation"),
    "file path": ("staging", f"select {KEPT} from 'x.parquet'", "reads `x.parquet`"),
    "file path in a layer": ("event_parts", f"select {KEPT} from staging.\"../x.parquet\"", "reads `staging"),
    "two statements": ("staging", f"select {KEPT} from raw.x; select 1", "2 statements"),
    "no statement": ("staging", "-- nothing", "0 statements"),
    "create": ("staging", "create table x as select 1", "create statement"),
    "copy": ("staging", "copy (select 1) to 'x.csv'", "copy statement"),
    "copy in a cte": ("event_parts", f"with a as (copy (select 1) to 'x') select {KEPT} from staging.x", "copy_query_node"),
    "insert in a cte": ("event_parts", f"with a as (insert into t values (1)) select {KEPT} from staging.x", "insert_query_node"),
    "setting": ("staging", "set threads = 1", "set statement"),
    "pragma": ("staging", "pragma database_list", "expected one select"),
    "attach": ("staging", "attach 'x.db'", "attach statement"),
    "install": ("staging", "install httpfs", "load statement"),
    "no text": ("staging", "selec 1 from raw.x", "does not parse"),
    "no relation": ("staging", "select 1 as a", "reads no relation"),
    "unknown layer": ("event_parts", f"select {KEPT} from stagin.x", "reads `stagin.x`"),
    "later layer": ("staging", f"select {KEPT} from staging.x", "reads `staging.x`"),
    "raw in an event part": ("event_parts", f"select {KEPT} from raw.x", "reads `raw.x`"),
    "engine's own": ("event_parts", f"select {KEPT} from duckdb_settings", "reads `duckdb_settings`"),
    "where": ("staging", f"select {KEPT} from raw.x where a = 1", "WHERE"),
    "where in a cte": ("staging", f"with a as (select * from raw.x where b) select {KEPT} from a", "WHERE"),
    "join": ("staging", f"select {KEPT} from raw.x join raw.y using (a)", "2 raw tables"),
    "join with itself": ("staging", f"select {KEPT} from raw.x a, raw.x b", "row-wise"),
    "group": ("staging", f"select {KEPT} from raw.x group by all", "row-wise"),
    "having": ("staging", "select count(*) as n from raw.x having n > 1", "row-wise"),
    "qualify": ("staging", f"select {KEPT} from raw.x qualify row_number() over () = 1", "QUALIFY"),
    "distinct": ("staging", f"select distinct {KEPT} from raw.x", "DISTINCT"),
    "limit": ("staging", f"select {KEPT} from raw.x limit 3", "LIMIT"),
    "order": ("staging", f"select {KEPT} from raw.x order by a", "ORDER BY"),
    "sample": ("staging", f"select {KEPT} from raw.x using sample 3", "SAMPLE"),
    "table sample": ("staging", f"select {KEPT} from raw.x tablesample 10%", "SAMPLE"),
    "unnest": ("staging", f"select unnest([1, 2]) as b, {KEPT} from raw.x", "unnest"),
    "aggregate": ("staging", "select max(a) as a from raw.x", "calls `max`"),
    "union": ("staging", f"select {KEPT} from raw.x union all select {KEPT} from raw.x", "row-wise"),
    "subquery": ("staging", f"select {KEPT} from (select * from raw.x)", "row-wise"),
    "scalar subquery": ("staging", f"select (select a from raw.x) as b, {KEPT} from raw.x", "row-wise"),
    "values beside an unused cte": (
        "staging", "with a as (select * from raw.x) select 1 as a, 1 as _row, null as _reason from (values (1)) v", "row-wise",
    ),
    "nothing beside an unused cte": ("staging", "with a as (select * from raw.x) select 1 as a", "other than a relation"),
    "macro that aggregates": ("staging", "select geomean(a) as a, 1 as _row from raw.x", "calls `geomean`"),
    "macro of a macro that aggregates": ("staging", "select wavg(a, b) as a, 1 as _row from raw.x", "calls `wavg`"),
    "macro that repeats rows": ("staging", f"select generate_subscripts([1, 2], 1) as b, {KEPT} from raw.x", "`generate_subscripts`"),
    "macro that splits into rows": ("staging", f"select regexp_split_to_table(a, ',') as b, {KEPT} from raw.x", "`regexp_split_to_table`"),
    "window": ("staging", f"select lag(a) over (order by b) as c, {KEPT} from raw.x", "calls `lag over`"),
    "window of an aggregate": ("staging", f"select sum(b) over () as c, {KEPT} from raw.x", "calls `sum over`"),
    "padding without end": ("staging", f"select lpad(a, 2000000000, 'x') as a, {KEPT} from raw.x", "calls `lpad` for a length"),
    "padding to a computed length": ("staging", f"select rpad(a, 2 * 10, 'x') as a, {KEPT} from raw.x", "calls `rpad` for a length"),
    "padding to a cell": ("event_parts", 'select "LPAD"(a, b, \'x\') as a from staging.x', "calls `lpad` for a length"),
    "padding to a cast": ("event_parts", "select a.lpad('2000000000'::int, 'x') as a from staging.x", "calls `lpad` for a length"),
    "padding of a column's": ("event_parts", "select a.lpad(b, 5) as a from staging.x", "calls `lpad` for a length"),
    "repetition without end": ("event_parts", "select repeat('x', 2000000000) as a from staging.x", "calls `repeat` for a length"),
    "repetition by a cell": ("staging", f"select repeat(a, b::int) as a, {KEPT} from raw.x", "calls `repeat` for a length"),
    "repetition by a parameter": ("staging", f"select repeat(a, $n) as a, {KEPT} from raw.x", "calls `repeat` for a length"),
    "bits by a cell": ("staging", f"select bitstring('1', b::int) as a, {KEPT} from raw.x", "calls `bitstring` for a length"),
    "width without end": ("staging", f"select format('{{:300000000}}', a) as a, {KEPT} from raw.x", "calls `format` for a length"),
    "width of a cell": ("staging", f"select format('{{:{{}}}}', a, b) as a, {KEPT} from raw.x", "calls `format` for a length"),
    "printed width of a cell": ("staging", f"select printf('%*d', a, b) as a, {KEPT} from raw.x", "calls `printf` for a length"),
    "format of a cell": ("staging", f"select printf(a, b) as a, {KEPT} from raw.x", "calls `printf` for a length"),
    "aggregate in capitals and quotes": ("staging", 'select "MAX"(a) as a from raw.x', "calls `max`"),
    "aggregate of another schema": ("staging", "select system.main.max(a) as a from raw.x", "calls `max`"),
    "databases": ("event_parts", f"select {KEPT} from staging.x, (show databases) d", "calls `show databases`"),
    "tables": ("codes", f"select {KEPT} from staging.x where a in (select name from (show tables))", "calls `show tables`"),
    "all tables": ("labels", f"with d as (show all tables) select {KEPT} from staging.x, d", "calls `show all tables`"),
    "a summary": ("event_parts", f"select {KEPT} from staging.x, (summarize staging.x) s", "calls `summarize`"),
    "columns": ("event_parts", f"select {KEPT} from staging.x, (describe staging.x) s", "calls `describe`"),
    "clock": ("event_parts", f"select now() as b, {KEPT} from staging.x", "calls `now`"),
    "clock without brackets": ("event_parts", f"select current_date as b, {KEPT} from staging.x", "calls `current_date`"),
    "the session without brackets": ("staging", f"select user as b, {KEPT} from raw.x", "calls `user`"),
    "the session in capitals and quotes": ("staging", f'select "Current_Role" as b, {KEPT} from raw.x', "calls `current_role`"),
    "a clock of its own place": ("event_parts", f"select localtimestamp as b, {KEPT} from staging.x", "calls `localtimestamp`"),
    "a semicolon": ("staging", f"select {KEPT} from raw.x;", "ends in `;`"),
    "a semicolon and a comment": ("event_parts", f"select {KEPT} from staging.x ; -- the end\n", "ends in `;`"),
    "clock in a macro": ("event_parts", f"select ago(interval 1 day) as b, {KEPT} from staging.x", "calls `ago`"),
    "clock in age": ("event_parts", f"select age(t) as b, {KEPT} from staging.x", "calls `age`"),
    "chance": ("event_parts", f"select random() as b, {KEPT} from staging.x", "calls `random`"),
    "identifiers by chance": ("event_parts", f"select uuid() as b, {KEPT} from staging.x", "calls `uuid`"),
    "setting that is read": ("event_parts", f"select current_setting('secret_directory') as b, {KEPT} from staging.x", "calls `current_setting`"),
    "variable": ("event_parts", f"select getvariable('v') as b, {KEPT} from staging.x", "calls `getvariable`"),
    "environment": ("codes", f"select getenv('HOME') as b, {KEPT} from staging.x", "calls `getenv`"),
    "environment as a method": ("labels", f"select 'HOME'.getenv() as b, {KEPT} from staging.x", "calls `getenv`"),
    "sequence": ("event_parts", f"select nextval('s') as b, {KEPT} from staging.x", "calls `nextval`"),
    "the statement itself": ("event_parts", f"select current_query() as b, {KEPT} from staging.x", "calls `current_query`"),
    "views by a macro": ("event_parts", f"select pg_get_viewdef(1) as b, {KEPT} from staging.x", "calls `pg_get_viewdef`"),
    "an error with a cell": ("event_parts", f"select error(a) as b, {KEPT} from staging.x", "calls `error`"),
    "waiting": ("event_parts", f"select sleep_ms(1000) as b, {KEPT} from staging.x", "calls `sleep_ms`"),
    "function in a join": ("event_parts", f"select {KEPT} from staging.x join staging.y on x.a = now()", "calls `now`"),
    "function in a filter": ("event_parts", f"select sum(a) filter (where b > now()) as b, {KEPT} from staging.x", "calls `now`"),
    "function that is not there": ("event_parts", f"select nothing_like_it(a) as b, {KEPT} from staging.x", "calls `nothing_like_it`"),
    "a path named like a cte elsewhere": (
        "event_parts", f"""with a as (with "p.csv" as (from staging.x) from "p.csv"), b as (from "p.csv") select {KEPT} from b""", "reads `p.csv`",
    ),
    "a path named like a later cte": (
        "event_parts", f"""with a as (from "p.csv"), "p.csv" as (from staging.x) select {KEPT} from a""", "reads `p.csv`",
    ),
    "a path named like itself": ("event_parts", f"""with "p.csv" as (from "P.csv") select {KEPT} from staging.x""", "reads `P.csv`"),
    "a path named like a cte of a subquery": (
        "event_parts", f"""select (with "p.csv" as (select 1) select 1) as b, {KEPT} from staging.x, "p.csv" """, "reads `p.csv`",
    ),
    "a path in a set operation": (
        "event_parts", """(with "p.csv" as (from staging.x) from "p.csv") union all from "p.csv" """, "reads `p.csv`",
    ),
    "another database": ("event_parts", f"select {KEPT} from memory.staging.x", "reads `staging.x`"),
    "a name with a control character": ("event_parts", f"""select {KEPT} from "a\x1b[31m\nb" """, r"reads `a\x1b[31m\nb`"),
    "recursion": (
        "staging", "with recursive a as (select * from raw.x union all select * from a) select * from a", "row-wise",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_a_stage_is_refused_before_it_runs(name: str, tmp_path: Path) -> None:
    """Whatever reads past the relations, writes, sets, or could lose or repeat a record is named, with a hint."""
    layer, text, said = REFUSED[name]
    (tmp_path / "x.sql").write_text(text)
    with pytest.raises(StageError) as caught:
        read_sql(tmp_path / "x.sql", layer)
    assert said in caught.value.what or said in caught.value.where, caught.value
    assert "expected" in caught.value.what and caught.value.hint
    assert "x.sql" in caught.value.where or caught.value.where == "sql"


def test_a_cte_is_known_in_its_own_select_and_to_what_follows(tmp_path: Path) -> None:
    """Nested, shadowed, quoted and written in another case, a `with` is no relation; and pure macros may be called."""
    (tmp_path / "x.sql").write_text(
        "-- One row is one thing.\n"
        'with recursive A as (from staging.first), "b c" as (with a as (from staging.second) from a union from "A"), '
        "r as (select 1 as n union all select n + 1 from R where n < 3) "
        "select split_part(a, ',', 1), list_sum([1]), nullif(a, b), (with q as (from a) select max(k) from Q), "
        "row_number() over (order by k), 'drop:one', 'quarantine:a b:two', 'a sentence' "
        'from a join "B C" using (k) join r on true'
    )
    stage = read_sql(tmp_path / "x.sql", "event_parts")
    assert stage.references == ("staging.first", "staging.second")
    assert stage.reasons == {"drop:one", "quarantine:a b:two"}


def test_the_functions_that_make_texts_as_long_as_a_number_says_are_those_that_the_engine_has() -> None:
    """Each function of the engine that takes a number and gives a text is tried with 20 and 5,000."""
    connection = duckdb.connect(config={"threads": 1})
    listed = connection.execute(
        "select distinct lower(function_name), parameter_types from duckdb_functions() where function_type = 'scalar' "
        "and return_type in ('VARCHAR', 'BLOB', 'BIT') and stability = 'CONSISTENT' and not contains(function_name, '__')"
    ).fetchall()
    numbers = dict.fromkeys(("BIGINT", "INTEGER", "DOUBLE"), ("20", "5000"))
    given = {"VARCHAR": ["'x'"], "BLOB": ["'x'::blob"], "BIT": ["'1'::bit"], **numbers}
    found, tried = set(), 0
    for name, types in listed:
        if not set(types) <= set(given) or not set(types) & set(numbers):
            continue
        for arguments in product(*(given[one] for one in types)):
            with suppress(duckdb.Error):
                call = f'"{name}"({", ".join(arguments)})'
                (length,) = connection.execute(f"select octet_length(({call})::varchar::blob)").fetchone() or (0,)
                tried += 1
                if (length or 0) > 1000:
                    found.add(name)
    assert found == {"lpad", "rpad", "repeat", "bitstring"} and tried > 60
    for name in found:
        assert list(unbounded_texts(parse(f"select {name}('x', 10001, 'x')") or {})) == [name]
        assert not list(unbounded_texts(parse(f"select {name}('x', 10000, 'x')") or {}))


def test_a_stage_that_is_no_text_is_refused(tmp_path: Path) -> None:
    """A file in another encoding, a pipe, or one larger than anybody writes is an error of the stage."""
    (tmp_path / "x.sql").write_bytes(b"select\n'\xff' from raw.x")
    os.mkfifo(tmp_path / "pipe.sql")
    with (tmp_path / "large.sql").open("wb") as large:
        large.truncate(MAX_WRITTEN_BYTES + 1)
    for name, said in (
        ("x", "has letters at line 2 that are not UTF-8"),
        ("pipe", "is no regular file"),
        ("large", "holds 1,048,577 bytes"),
    ):
        with pytest.raises(StageError, match=rf"{name}\.sql: {said}.*, expected the text of a stage"):
            read_sql(tmp_path / f"{name}.sql", "staging")


def test_what_a_plain_stage_reads_and_needs_comes_from_its_tree(tmp_path: Path) -> None:
    """References stand in the order of the text, CTEs and comments are none, parameters are sorted."""
    (tmp_path / "x.sql").write_text(
        "-- One row is one thing; from staging.nothing.\n"
        "with a as (select * from staging.first), b as (select * from staging.second where c > $low)\n"
        "select a.*, $high as h from a left join b using (k) /* $none staging.none */"
    )
    stage = read_sql(tmp_path / "x.sql", "event_parts")
    assert stage.references == ("staging.first", "staging.second")
    assert stage.parameters == ("high", "low")
    assert stage.summary == "One row is one thing; from staging.nothing."


def test_a_missing_parameter_is_an_error_and_one_too_many_is_not_bound(tmp_path: Path) -> None:
    """A stage gets what it names; a parameter of another stage may stand in the pipeline."""
    (tmp_path / "x.sql").write_text(f"select $low as low, {KEPT} from raw.x")
    stage = read_sql(tmp_path / "x.sql", "staging")
    assert parameters_for(stage, {"low": 1, "other": 2}) == {"low": 1}
    with pytest.raises(StageError, match=r"`\$low` has no value") as caught:
        parameters_for(stage, {"lows": 1})
    assert "lows" in caught.value.hint


@pytest.mark.parametrize(
    "text",
    [
        "select 1", "from events limit 1", "with a as (select 1 as b) select * from a", "explain select 1",
        "explain analyze select 1", "describe events", "show tables", "summarize events", "values (1)", "select 1 -- note",
    ],
)  # fmt: skip
def test_a_query_may_read_in_any_way(text: str) -> None:
    """Selects and what explains or describes them pass."""
    assert check_select(text) <= {"events"}


@pytest.mark.parametrize(
    "text",
    [
        "from duckdb_settings()", "select current_setting('secret_directory')", "from read_text('w/local.json')",
        "from glob('*')", "from 'w/local.json'", "from sniff_csv('x')", "from duckdb_secrets()", "select getenv('HOME')",
        "with a as (with \"x.csv\" as (select 1) from \"x.csv\") from \"x.csv\"", "from duckdb_settings", "from pg_catalog.pg_settings",
        "select * from information_schema.tables", "describe from 'x.csv'", "from memory.events.events", "select nextval('s')",
        "from which_secret('x', 's3')", "select count(*) from query('select 1')", "from query_table('x.csv')",
        "from (show databases)", "show databases", "select (select count(*) from (show all tables)) as n", "from (show tables from raw)",
    ],
)  # fmt: skip
def test_a_query_reads_relations_alone(text: str) -> None:
    """Files, settings, secrets, the environment and the engine's own tables are refused, at any depth."""
    with pytest.raises((ConfigError, StageError)) as caught:
        check_select(text)
    assert ", expected " in str(caught.value) and caught.value.hint


@pytest.mark.parametrize(
    "text",
    [
        "", "selec 1", "select 1; select 2", "create table x as select 1", "copy (select 1) to 'x'",
        "explain analyze copy (select 1) to 'x'", "/* a */ explain analyze copy (select 1) to 'x'",
        "with a as (copy (select 1) to 'x') select 1", "explain with a as (copy (select 1) to 'x') select 1",
        "with a as (insert into t values (1)) select 1", "with a as (delete from t) select 1", "set threads = 1",
        "attach 'x'", "install httpfs", "load httpfs", "pragma version", "call pragma_version()", "export database 'x'",
        "import database 'x'", "use raw", "checkpoint", "vacuum", "prepare p as select 1",
    ],
)  # fmt: skip
def test_a_query_may_not_change_anything(text: str) -> None:
    """Anything but one select is wrong usage."""
    with pytest.raises(ConfigError) as caught:
        check_select(text)
    assert "expected one select" in caught.value.what and caught.value.hint


@pytest.mark.parametrize(
    ("relation", "what", "hint"),
    [
        ("labs", "reads `labs`, expected", "did you mean `event_parts.labs`?"),
        ("tasks.death", "reads `tasks.death`, expected", "did you mean `labels.death`?"),
        ("vocabulary", "which is not made yet", "`tawt run +vocabulary`"),
        ("zzz", "expected a relation", "known: event_parts.labs, events, labels.death"),
    ],
)
def test_a_query_is_told_the_relations_that_are_there(relation, what, hint):
    """What is near is a relation of the workspace; one that is not made comes with the command that makes it."""
    there = {
        "event_parts.labs": None,
        "events": None,
        "labels.death": None,
        "vocabulary": ("is not made yet", "tawt run +vocabulary"),
    }
    with pytest.raises(StageError) as error:
        check_select(f"select * from {relation}", there=there)
    assert what in str(error.value) and error.value.hint == hint
    assert check_select("select * from EVENTS, labels.death", there=there) == {"events", "labels.death"}
