"""A locked DuckDB connection, and its errors without the cells that they quote."""

from __future__ import annotations

import json
import os
import re
import signal
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

import duckdb

from tawt.contracts.layers import LAYERS
from tawt.database.limits import Limits
from tawt.database.macros import Macro, load_macros, make_macros
from tawt.errors import ConfigError, SourceError, StageError, TawtError
from tawt.machine import data_bytes, data_limit
from tawt.places import as_pattern, real
from tawt.project import Project
from tawt.room import NUMBERS, is_end_of_memory, memory_error
from tawt.shell import command

T = TypeVar("T")
SCHEMAS = ("raw", *(layer.name for layer in LAYERS.values() if layer.suffix == ".parquet"))
_BESIDE_MEGABYTES = 1000
"""What the engine may take beside the blocks that it counts: buffers, stacks of threads, cells in the making."""


def connect(
    limits: Limits,
    folders: Sequence[Path],
    spill: Path | None = None,
    project: Project | None = None,
    keep_order: bool = False,
    macros: Collection[Macro] | None = None,
) -> duckdb.DuckDBPyConnection:
    """Open an in-memory database that reaches the given folders and nothing else, and cannot be unlocked.

    Args:
        limits: Threads and memory.
        folders: The only folders that SQL may read or write.
        spill: Where DuckDB may spill what does not fit in memory, directly in one of `folders`, which is there.
        project: Whose macros SQL may call; by default those that come with tawt.
        keep_order: Whether a join keeps the order of its left side, even where that is the smaller one.
        macros: Those that SQL calls; None = all of the project, read for it.

    Raises:
        ConfigError: The path of a folder holds what the engine cannot read.
    """
    for folder in folders:
        if "\\" in str(real(folder)):
            raise ConfigError(
                str(folder), "has a backslash in its path, expected a path without one",
                "the engine takes it for the end of a folder's name: choose another place",
            )  # fmt: skip
    config: dict[str, str | bool | int | float | list[str]] = {
        "threads": limits.threads,
        "memory_limit": limits.engine,
        "python_enable_replacements": False,
        "autoinstall_known_extensions": False,
        "preserve_insertion_order": True,
        "errors_as_json": True,
        "allow_persistent_secrets": False,
    }
    if spill is not None:
        config["temp_directory"] = str(spill)
    connection = duckdb.connect(":memory:", config=config)
    # it writes over our own progress, and cannot be set before the database is open
    connection.execute("set enable_progress_bar = false")
    # a time with a zone reads the same on every machine
    connection.execute("set TimeZone = 'UTC'")
    for schema in SCHEMAS:
        connection.execute(f"create schema {schema}")
    make_macros(connection, load_macros(project).listed if macros is None else macros)
    if keep_order:
        connection.execute("set disabled_optimizers = 'build_side_probe_side'")
    # a path is held to these as it is written: as it is, and as a pattern of itself
    allowed = {text for folder in folders for text in (str(real(folder)), as_pattern(real(folder)))}
    connection.execute(f"set allowed_directories = [{', '.join(map(literal, sorted(allowed)))}]")
    connection.execute("set enable_external_access = false")
    connection.execute("set lock_configuration = true")
    return connection


@contextmanager
def looking(
    limits: Limits, folders: Sequence[Path], project: Project | None = None, keep_order: bool = False
) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open a connection that only looks: it spills to the system's own folder, for the workspace may be read-only."""
    with TemporaryDirectory(prefix="tawt-") as aside:
        connection = connect(limits, [*folders, Path(aside)], Path(aside) / "spill", project, keep_order)
        try:
            yield connection
        finally:
            connection.close()


def literal(text: str) -> str:
    """Return text as an SQL string literal."""
    return "'" + text.replace("'", "''") + "'"


def file_list(files: Sequence[Path]) -> str:
    """Return files as an SQL list of which each item means one file, whatever letters its path has."""
    return f"[{', '.join(literal(as_pattern(file)) for file in files)}]"


def parquet_files(files: Sequence[Path]) -> str:
    """Return Parquet files of the same columns as a relation."""
    return f"read_parquet({file_list(files)}, hive_partitioning = false)"


def identifier(name: str) -> str:
    """Return a name as a quoted SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


@contextmanager
def bounded_memory(limits: Limits) -> Iterator[None]:
    """Keep the process from growing far beyond the memory limit while the engine works.

    The engine counts blocks of rows, but not a cell or a list that a function is just making: `repeat('x', 1e9)` would
    take the machine's memory first.
    """
    taken = data_bytes()
    if taken is None:
        yield
        return
    with data_limit(taken + int(limits.megabytes * 1e6) + _BESIDE_MEGABYTES * 1_000_000):
        yield


def interruptible(connection: duckdb.DuckDBPyConnection, work: Callable[[], T]) -> T:
    """Do work with a connection in a thread of its own, so that Ctrl-C reaches the engine whatever it is doing.

    Between two looks of the engine a cell can be in the making for long; a second Ctrl-C ends the program then, and a
    command ends by itself soon.
    """
    with ThreadPoolExecutor(max_workers=1) as pool:
        future = pool.submit(work)
        try:
            # awake now and then: a signal that another thread takes does not end a wait
            while wait([future], timeout=0.1).not_done:
                pass
            return future.result()
        except KeyboardInterrupt:
            if threading.current_thread() is threading.main_thread():
                signal.signal(signal.SIGINT, signal.SIG_DFL)
            while not future.done():
                connection.interrupt()
                time.sleep(0.05)
            raise


def as_relation(
    connection: duckdb.DuckDBPyConnection, text: str, parameters: Mapping[str, Any] | None = None
) -> duckdb.DuckDBPyRelation:
    """Return a select as a relation, of which no row is read; the engine's refusal says where in the text."""
    try:
        return interruptible(connection, lambda: connection.sql(text, params=parameters))
    except (duckdb.BinderException, duckdb.CatalogException):
        # the engine tells the place of a statement, not of a relation; it is refused as this was, before it runs
        interruptible(connection, lambda: connection.execute(text, parameters))
        raise


def text_place(error: Exception, text: str) -> str:
    """Return where in a text, as the engine was given it, it stopped: line and word of the text, never of the error."""
    line, word = stopped_at(error, text)
    return f" at line {line}" * bool(line) + f" near `{word[:80]}`" * bool(word)


def stopped_at(error: Exception, text: str) -> tuple[int, str]:
    """Return the line, from 1, and the word; 0 and no word where they are not known."""
    try:
        position = int(json.loads(str(error).partition(": ")[2])["position"])
    except (ValueError, KeyError, TypeError):
        return 0, ""
    content = text.encode()
    if not 0 <= position < len(content):
        return 0, ""
    word = re.match(r'(?:"[^"]*"|[\w$]+)(?:\.(?:"[^"]*"|[\w$]+))*|\S', content[position:].decode(errors="replace"))
    return content.count(b"\n", 0, position) + 1, word[0] if word else ""


@contextmanager
def wrapped_errors(
    where: str, text: str = "", workspace: Path | None = None, limits: Limits | None = None
) -> Iterator[None]:
    """Turn an engine error into one of ours; its text can quote cells, so only its kind is looked at.

    Args:
        where: The stage.
        text: The SQL text that its author wrote, in which the place of a mistake is shown.
        workspace: Of the stage, for hints; None where it is no stage's.
        limits: That the engine works under.

    Raises:
        RoomError: Memory ran out.
        SourceError: A raw file cannot be read.
        StageError: Anything else that the engine refuses.
        OSError: The disk, a quota or the size of a file is at its end.
    """
    try:
        yield
    except duckdb.InterruptException:
        raise KeyboardInterrupt from None
    except Exception as error:
        if is_end_of_memory(error):
            raise memory_error(where, limits.memory_limit if limits is not None else None) from None
        # of a file that it cannot write it gives the system's number, in JSON within JSON
        number = re.search(r'errno\\*":\\*"(\d+)', str(error)) if isinstance(error, duckdb.IOException) else None
        if number and int(number[1]) in NUMBERS:
            raise OSError(int(number[1]), os.strerror(int(number[1]))) from None
        if isinstance(error, duckdb.Error):
            raise _own_error(where, error, text, workspace) from None
        raise


def _own_error(where: str, error: duckdb.Error, text: str, workspace: Path | None) -> TawtError:
    kind = type(error).__name__.removesuffix("Exception")
    if isinstance(error, duckdb.PermissionException):
        hint = "bind files as raw tables of the source"
        return StageError(where, "reaches outside of the relations, expected to read only these", hint)
    # the libraries that unpack a file have errors of no kind of the engine's
    if isinstance(error, duckdb.IOException | duckdb.SerializationException) or type(error) is duckdb.Error:
        hint = "copy the raw files again"
        if workspace is not None:
            again = command("run", f"+{where}", workspace=workspace, force=True)
            hint += f"; files of the workspace are made again with `{again}`"
        return SourceError(where, f"reads a file that is damaged ({kind}), expected a whole one", hint)
    if isinstance(error, duckdb.BinderException | duckdb.ParserException | duckdb.CatalogException):
        what = "names what is not there" if isinstance(error, duckdb.CatalogException) else "does not fit its relations"
        hint = f"see `{command('sql', where, workspace=workspace)}`" if workspace is not None else "mend it there"
        if "mbiguous" in str(error):
            what, hint = "names a column that several of its relations have", "say whose: `RELATION.COLUMN`"
        told = StageError(where, f"{what}{text_place(error, text)}, expected a select that fits", hint)
        told.near = stopped_at(error, text)[1]
        return told
    return StageError(
        where,
        f"the database stopped with the error {kind}, expected a result (its text can quote cells and is not shown)",
        "read a text with a macro, as `number(...)`: it stops at no cell",
    )
