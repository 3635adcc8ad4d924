"""What is said of the engine without asking it, held to what it says itself."""

from __future__ import annotations

import duckdb
import pytest

from tawt.database import catalog
from tawt.database.catalog import is_called, refused_functions
from tawt.database.parse import engine, parse, words


def test_words_that_are_calls_without_brackets_are_those_of_the_engine() -> None:
    """Of the words of its grammar and its functions without arguments, `is_called` names those that it calls."""
    cursor = engine().cursor()
    listed = "select lower(function_name) from duckdb_functions() where len(parameters) = 0"
    named = {"current_time", "current_timestamp", "localtime", "localtimestamp"}

    def called(word: str) -> bool:
        try:
            cursor.execute(f'explain select "{word}"')
        except duckdb.BinderException:
            return False
        return True

    asked = {*words(), *(name for (name,) in cursor.execute(listed).fetchall()), *named} - {""}
    there = {word for word in asked if called(word)}
    assert {word for word in asked if is_called(word)} == there > named


def _listed(*about: tuple[str | None, str, tuple[str, ...]]) -> list[catalog._Function]:
    return [catalog._Function("scalar", stability, None, gives, takes) for stability, gives, takes in about]


def test_arithmetic_may_hang_on_the_zone_of_the_session_and_on_nothing_else_of_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An engine that says of moments with a zone that they hang on the session is not refused, for `connect` sets it."""
    zoned, once = "TIMESTAMP WITH TIME ZONE", "CONSISTENT_WITHIN_QUERY"
    # as DuckDB 2.0.1 has them; 2.0.0 calls all but `now` and the setting CONSISTENT
    entries = {
        "-": _listed(("CONSISTENT", "BIGINT", ("BIGINT", "BIGINT")), (once, "INTERVAL", (zoned, zoned))),
        "make_timestamptz": _listed((once, zoned, ("BIGINT", "BIGINT", "VARCHAR"))),
        "last_day": _listed(("CONSISTENT", "DATE", ("DATE",)), (once, "DATE", ("TIMESTAMPTZ_NS",))),
        "now": _listed((once, zoned, ())),
        "current_setting": _listed((once, "ANY", ("VARCHAR",))),
        "age": _listed((once, "INTERVAL", (zoned,))),
        "random": _listed(("VOLATILE", zoned, (zoned,))),
    }
    monkeypatch.setattr(catalog, "_catalog", lambda: entries)
    catalog._is_allowed.cache_clear()
    tree = parse(
        "select a - b, make_timestamptz(a, b, c), last_day(a), now(), current_setting('x'), age(a), random(a) from t"
    )
    try:
        assert tree is not None
        for row_wise in (True, False):
            assert [*refused_functions(tree, row_wise)] == ["now", "current_setting", "age", "random"]
    finally:
        catalog._is_allowed.cache_clear()
