"""What a stage reads: held to what was written, and as views of a locked connection."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import duckdb

from tawt.contracts.layers import layer_of
from tawt.contracts.reasons import HIDDEN
from tawt.database.connect import connect, parquet_files
from tawt.errors import FileError
from tawt.places import real
from tawt.raw.find import RawTable
from tawt.seals import sha256_file
from tawt.sources.stage import Bound, Input


def hold_inputs(bound: Bound, names: Sequence[str]) -> None:
    """Hold what a stage reads of earlier commands to what was written: a bit that flipped may be a number yet.

    Raises:
        FileError: A file is another.
    """
    for one in (bound.inputs[name] for name in names):
        for path in one.files:
            if path in one.hashes and sha256_file(path) != one.hashes[path]:
                what = "is not as it was written, expected what its stage wrote"
                raise FileError(str(path), what, one.make_again)


def connected(bound: Bound) -> duckdb.DuckDBPyConnection:
    """Open a locked connection with the stages that a stage reads as views; raw tables are bound one by one."""
    folders = [*bound.folders, *raw_folders(bound.raw.values())]
    called = bound.stage.sql.macros if bound.stage.sql is not None else ()
    connection = connect(
        bound.limits, folders, bound.spill, bound.settings.project, keep_order=bool(bound.stage.numbers), macros=called
    )
    for one in bound.inputs.values():
        bind_output(connection, one)
    return connection


def raw_folders(tables: Iterable[RawTable]) -> list[Path]:
    """Return the folders that the files of raw tables lie in, links followed: the engine follows them too."""
    return sorted({real(file.path).parent for table in tables for file in table.files})


def bind_output(connection: duckdb.DuckDBPyConnection, one: Input) -> None:
    """Make the view of a finished stage over its files; one that is built in can be named without its layer too."""
    built_in = layer_of(one.name).built_in
    relation = f"{one.name}.{one.name}" if built_in else one.name
    shown = f"columns(lambda name: name not in {HIDDEN})"
    connection.execute(f"create or replace view {relation} as select {shown} from {parquet_files(one.rows)}")
    if built_in:
        connection.execute(f"create or replace view main.{one.name} as select * from {relation}")
