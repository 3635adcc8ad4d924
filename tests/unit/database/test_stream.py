"""Rows come in the engine's order, and its errors as its own."""

from __future__ import annotations

import threading

import duckdb
import pytest

from tawt.database.connect import wrapped_errors
from tawt.database.stream import batches
from tawt.errors import StageError


def test_rows_come_in_the_order_of_the_select_whatever_the_threads() -> None:
    """A select gives its rows in the order of what it reads, with several threads too."""
    connection = duckdb.connect(config={"threads": 4})
    connection.execute("create table t as select range as i, hash(range) % 7 as h from range(400000)")
    rows = [i for batch in batches(connection.sql("select i from t where h < 6")) for i in batch["i"].to_pylist()]
    assert rows == sorted(rows) and 300_000 < len(rows) < 400_000


def test_an_error_behind_many_rows_is_the_engines_own_and_no_cell_is_told() -> None:
    """What the engine refuses after it has handed over rows is an error of its kind, told without the cell in it."""
    connection = duckdb.connect(config={"errors_as_json": True})
    select = "select case when range = 900000 then 'secret'::int end as x from range(1000000)"
    n_rows = 0
    with pytest.raises(duckdb.ConversionException):
        for batch in batches(connection.sql(select)):
            n_rows += batch.num_rows
    assert n_rows > 0
    with pytest.raises(StageError, match="Conversion") as told, wrapped_errors("staging.labs"):
        list(batches(connection.sql(select)))
    assert "secret" not in str(told.value)


def test_an_interrupt_ends_it_as_ctrl_c_does() -> None:
    """An interrupt while rows are handed over is one, and no error of a stage."""
    connection = duckdb.connect()
    rows = batches(connection.sql("select md5(range::varchar) as x from range(1000000000)"))
    next(rows)
    timer = threading.Timer(0.1, connection.interrupt)
    timer.start()
    with pytest.raises(KeyboardInterrupt), wrapped_errors("staging.labs"):
        for _ in rows:
            pass
    timer.join()
