"""A locked DuckDB connection, and its errors without the cells that they quote."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import duckdb

from tawt.errors import ConfigError, SourceError, StageError
from tawt.transforms.subject_hash import SQL_MACROS

SCHEMAS = ("raw", "staging", "codes", "event_parts", "tasks", "events", "vocabulary", "triplets", "labels")


@dataclass(frozen=True)
class Limits:
    """What a data command may use."""

    threads: int
    memory_limit: str
    """As DuckDB writes it, `2GB`."""

    @classmethod
    def of(cls, threads: int | None = None, memory_limit: str | None = None) -> Limits:
        """Return the limits asked for, else all cores and 60 % of the memory of the machine or cgroup.

        Raises:
            ConfigError: A limit is not one.
        """
        if threads is not None and threads < 1:
            raise ConfigError("--threads", f"is {threads}, expected at least 1")
        if memory_limit is not None and not re.fullmatch(r"\d+(\.\d+)?\s*([kKmMgGtT]i?[bB])", memory_limit):
            raise ConfigError("--memory-limit", "is not a size, expected for example 2GB")
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        return cls(threads or cores, memory_limit or f"{int(available_bytes() * 0.6) >> 20}MiB")


def available_bytes() -> int:
    """Return the memory of the machine, or of the cgroup where that is smaller, bytes."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for path in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        try:
            total = min(total, int(Path(path).read_text()))
        except (OSError, ValueError):
            continue
    return total


def connect(limits: Limits, folders: Sequence[Path], spill: Path | None = None) -> duckdb.DuckDBPyConnection:
    """Open an in-memory database that reaches the given folders and nothing else, and cannot be unlocked.

    Args:
        limits: Threads and memory.
        folders: The only folders that SQL may read or write.
        spill: Where DuckDB may spill what does not fit in memory; one of `folders` or below.
    """
    config: dict[str, str | bool | int | float | list[str]] = {
        "threads": limits.threads,
        "memory_limit": limits.memory_limit,
        "python_enable_replacements": False,
        "autoinstall_known_extensions": False,
        "preserve_insertion_order": True,
    }
    if spill is not None:
        config["temp_directory"] = str(spill)
    connection = duckdb.connect(":memory:", config=config)
    for schema in SCHEMAS:
        connection.execute(f"create schema {schema}")
    for macro in SQL_MACROS:
        connection.execute(macro)
    listed = ", ".join(literal(str(folder.resolve())) for folder in folders)
    connection.execute(f"set allowed_directories = [{listed}]")
    connection.execute("set enable_external_access = false")
    connection.execute("set lock_configuration = true")
    return connection


def literal(text: str) -> str:
    """Return text as an SQL string literal."""
    return "'" + text.replace("'", "''") + "'"


def identifier(name: str) -> str:
    """Return a name as a quoted SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


@contextmanager
def wrapped_errors(where: str, about_data: bool = True) -> Iterator[None]:
    """Turn an engine error into one of ours; where it may quote a cell, only its kind and column are kept.

    Raises:
        SourceError: A raw file cannot be read.
        StageError: Anything else that the engine refuses.
    """
    try:
        yield
    except duckdb.Error as error:
        text = str(error)
        kind = type(error).__name__.removesuffix("Exception")
        if "GZIP" in text or "gzip" in text:
            raise SourceError(
                where, "ends early or is not gzip, expected a whole .gz file", "copy it again"
            ) from None
        if isinstance(error, duckdb.OutOfMemoryException):
            raise StageError(
                where,
                "ran out of memory",
                "raise --memory-limit, or free space for spilling in the workspace",
            ) from None
        if "Invalid unicode" in text or "not utf-8" in text.lower():
            raise SourceError(where, "is not UTF-8 text", "convert it, for example with iconv") from None
        if isinstance(error, (duckdb.BinderException, duckdb.ParserException, duckdb.CatalogException)):
            # these speak of names in the SQL text, before any row is read
            raise StageError(where, text.strip().splitlines()[0]) from None
        if not about_data:
            raise StageError(where, text.strip().splitlines()[0]) from None
        column = re.search(r'column "?([A-Za-z_][\w.]*)"?', text)
        named = f" in column `{column.group(1)}`" if column else ""
        raise StageError(
            where,
            f"the engine stopped with a {kind} error{named} (its text can quote cells and is not shown)",
            "use try_cast instead of cast, and give the record a _reason",
        ) from None
