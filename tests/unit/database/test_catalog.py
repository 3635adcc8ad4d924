"""What is said of the engine without asking it, held to what it says itself."""

from __future__ import annotations

import duckdb

from tawt.database.catalog import is_called
from tawt.database.parse import engine, words


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
