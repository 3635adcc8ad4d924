"""Where memory ends while a stage's text is looked at, the text is not told as wrong."""

from __future__ import annotations

import json
from typing import Any

import duckdb
import pytest

from tawt.database import parse as trees
from tawt.errors import RoomError, StageError
from tawt.sources import row_wise, sql_file


class _Engine:
    """An engine that has no memory for what it is asked."""

    def cursor(self) -> _Engine:
        return self

    def execute(self, *words: Any) -> Any:
        raise duckdb.OutOfMemoryException("x")


class _Says(_Engine):
    """An engine that hands its error over as a result, as it does of texts."""

    def __init__(self, kind: str) -> None:
        self.answer = json.dumps({"error": True, "error_type": kind, "error_message": "x"})

    def execute(self, *words: Any) -> Any:
        return self

    def fetchall(self) -> list[tuple[str]]:
        return [(self.answer,)]


def test_a_text_that_there_is_no_memory_to_parse_is_not_told_as_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    """A mistake in it is the stage's; the end of memory is told as that."""
    for error, kind in ((duckdb.OutOfMemoryException("x"), RoomError), (duckdb.ParserException("x"), StageError)):

        def refuse(text: str, error: Exception = error) -> None:
            raise error

        monkeypatch.setattr(sql_file, "statements", refuse)
        with pytest.raises(kind):
            sql_file.statements_of("select 1", "staging.x", StageError)


def test_an_error_that_the_engine_hands_over_as_a_tree_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    """No select is None; whatever else is no mistake of the text ends it."""
    for kind in ("parser", "not implemented"):
        monkeypatch.setattr(trees, "engine", lambda kind=kind: _Says(kind))
        assert trees.parse.__wrapped__("copy x to y") is None
    monkeypatch.setattr(trees, "engine", lambda: _Says("out of memory"))
    with pytest.raises(MemoryError):
        trees.parse.__wrapped__("select 1")


def test_an_aggregate_that_there_is_no_memory_to_try_is_not_told_as_unordered(monkeypatch: pytest.MonkeyPatch) -> None:
    """A call that the engine does not take is passed over; one that memory ran out for says nothing of the aggregate."""
    monkeypatch.setattr(row_wise, "_trial", _Engine)
    with pytest.raises(duckdb.OutOfMemoryException):
        row_wise.any_order_will_do.__wrapped__("min", (True,))
