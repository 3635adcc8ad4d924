"""The locked connection and the limits, and engine errors without the cells that they quote."""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

from tawt.database.connect import as_relation, bounded_memory, connect, wrapped_errors
from tawt.database.limits import Limits
from tawt.errors import ConfigError, RoomError, SourceError, StageError

LIMITS = Limits(1, "200MB")


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """A folder that the connection reaches and one that it does not, with a file in each."""
    inside, outside = tmp_path / "in", tmp_path / "out"
    for folder in (inside, outside):
        folder.mkdir()
        (folder / "x.csv").write_text("a\n1\n")
    return inside, outside


@pytest.mark.parametrize(
    "text",
    [
        "from read_csv('{out}/x.csv')", "from read_text('{in}/../out/x.csv')", "from glob('{out}/*')",
        "copy (select 1) to '{out}/y.csv'", "attach '{out}/y.db'", "install httpfs", "load httpfs",
        "set enable_external_access = true", "set allowed_directories = ['/']", "set memory_limit = '1TB'", "set threads = 8",
        "reset lock_configuration", "pragma enable_profiling", "export database '{out}'", "from '{out}/x.csv'",
    ],
)  # fmt: skip
def test_a_connection_reaches_its_folders_and_cannot_be_unlocked(text: str, folders: tuple[Path, Path]) -> None:
    """Reading or writing elsewhere, attaching, extensions and settings all fail, and nothing is written."""
    inside, outside = folders
    connection = connect(LIMITS, [inside])
    with pytest.raises(duckdb.Error):
        connection.execute(text.format(**{"in": inside, "out": outside})).fetchall()
    assert [p.name for p in outside.iterdir()] == ["x.csv"]
    assert connection.execute(f"select count(*) from read_csv('{inside}/x.csv')").fetchall() == [(1,)]


def test_python_variables_are_no_relations(folders: tuple[Path, Path]) -> None:
    """A name in SQL is never looked up among the program's own variables."""
    secret = duckdb.sql("select 'secret' as s").to_arrow_table()
    assert len(secret) == 1
    with pytest.raises(duckdb.CatalogException):
        connect(LIMITS, [folders[0]]).execute("from secret")


@pytest.mark.parametrize(
    ("text", "kind", "said"),
    [
        ("select 'SECRET'::int", StageError, "Conversion"),
        ("select strptime('SECRET', '%Y')", StageError, "InvalidInput"),
        ("select error('SECRET')", StageError, "InvalidInput"),
        ("select column_x", StageError, "at line 1 near `column_x`"),
        ('select 1\nfrom "no where"', StageError, 'at line 2 near `"no where"`'),
        ("from read_csv('/etc/hosts')", StageError, "reaches outside"),
        ("select '\u00b5\u00b5' || x.\u00b5", StageError, "at line 1 near `x.\u00b5`"),
        ("from read_parquet('{in}/none.parquet')", SourceError, "damaged"),
        (
            "select list(i) from range(20_000_000) t(i)",
            RoomError,
            "memory ran out, expected to fit in --memory-limit 60MB",
        ),
    ],
)
def test_an_engine_error_becomes_ours_without_the_cell(text, kind, said, folders) -> None:
    """Kind, place and hint stay; the engine's own words do not: a wrong name is shown from the text it stands in."""
    limits = Limits(1, "60MB")
    connection = connect(limits, [folders[0]])
    text = text.format(**{"in": folders[0]})
    with pytest.raises(kind) as caught, wrapped_errors("staging.x", text, limits=limits):
        as_relation(connection, text).fetchall()
    assert caught.value.where == "staging.x" and said in caught.value.what and "expected" in caught.value.what
    assert "SECRET" not in str(caught.value) + caught.value.hint and caught.value.hint
    assert caught.value.__suppress_context__ or caught.value.__cause__ is None


def test_an_interrupted_query_is_an_interrupt() -> None:
    """The engine's word for Ctrl-C is Python's."""
    with pytest.raises(KeyboardInterrupt), wrapped_errors("staging.x"):
        raise duckdb.InterruptException("INTERRUPT Error: Interrupted!")


def test_limits_are_checked_before_the_engine_sees_them() -> None:
    """A size with a unit is one, from 50 MB up; threads are at least one, and no more than a machine can hold."""
    assert Limits.of(2, "2GB") == Limits(2, "2GB") and Limits.of(1, "1.5 GiB").memory_limit == "1.5 GiB"
    assert Limits.of().threads >= 1 and Limits.of().memory_limit.endswith("MiB")
    for wrong in ("2", "GB", "0GB", "1KB", "-1GB", "10MB", "99999999999GB", "lots", "٢GB"):
        with pytest.raises(ConfigError, match="memory-limit"):
            Limits.of(1, wrong)
    for threads in (0, 10**6, 99_999_999_999):
        with pytest.raises(ConfigError, match="threads"):
            Limits.of(threads)


@pytest.mark.parametrize(
    "text",
    [
        "select length(repeat(i::varchar, 1_000_000_000)) from range(10) t(i)",
        "select len(range(i * 1_000_000)) from range(5000) t(i)",
        "select count(x) from (select repeat('x', 3_000_000) || i as x from range(5000) t(i) order by hash(i))",
    ],
)
def test_a_cell_without_bound_ends_at_the_memory_limit(text: str, folders) -> None:
    """What a function makes in one step is held to the limit as well, with one clear error, and the limit goes again."""
    before = resource.getrlimit(resource.RLIMIT_DATA)
    limits = Limits(1, "60MB")
    connection = connect(limits, [folders[0]])
    with pytest.raises(RoomError, match="memory ran out"), wrapped_errors("staging.x"), bounded_memory(limits):
        connection.execute(text).fetchall()
    assert resource.getrlimit(resource.RLIMIT_DATA) == before


def test_an_endless_query_can_be_interrupted() -> None:
    """Ctrl-C ends a recursion that the engine never looks up from, with the code of an interrupt."""
    code = """
import signal, threading, sys
from tawt.database.connect import bounded_memory, connect, interruptible, wrapped_errors
from tawt.database.limits import Limits
connection = connect(Limits(1, "60MB"), [])
signal.signal(signal.SIGINT, signal.default_int_handler)  # in the background a shell has it ignored
threading.Timer(0.3, signal.raise_signal, [signal.SIGINT]).start()
endless = "with recursive r as (select 1 as n union all select n + 1 from r) select count(*) from r"
try:
    with wrapped_errors("query"):
        interruptible(connection, lambda: connection.execute(endless).fetchall())
except KeyboardInterrupt:
    sys.exit(130)
"""
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 130


def test_a_folder_that_the_engine_cannot_reach_is_named(tmp_path: Path) -> None:
    """A backslash in a path is refused before anything is read or written."""
    folder = tmp_path / "a\\b"
    folder.mkdir()
    with pytest.raises(ConfigError, match="has a backslash in its path, expected") as caught:
        connect(Limits(1, "100MB"), [tmp_path, folder])
    assert caught.value.hint


def test_a_memory_limit_is_of_the_whole_program() -> None:
    """The engine takes what the program leaves of it, at least two fifths; as many shards are at work as pieces fit, and
    each in larger ones where there is room for all."""
    limits = [Limits.of(4, f"{n}MB") for n in (60, 500, 1000, 2000, 4000)]
    found = [(one.engine, one.workers, one.pieces_each) for one in limits]
    assert found == [("50MB", 1, 1), ("250MB", 1, 1), ("750MB", 3, 1), ("1750MB", 4, 1), ("3750MB", 4, 2)]


def test_a_subject_whose_rows_do_not_fit_is_told_with_what_they_need() -> None:
    """Beside what the program takes itself; nothing is said of how many rows they are."""
    Limits(1, "500MB").hold_one(200_000_000, "dataset")
    with pytest.raises(RoomError) as told:
        Limits(1, "500MB").hold_one(400_000_000, "dataset")
    assert told.value.where == "dataset" and "take 650 MB of memory at once" in told.value.what
    assert "--memory-limit 500MB" in told.value.what and "raise --memory-limit" in told.value.hint
