"""Copies, as UTF-8, of raw files that the engine does not read as they are; they go as soon as they were read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from tawt.places import remove
from tawt.raw.encoding import copy_as_utf8, engine_reads
from tawt.raw.find import RawTable
from tawt.raw.identity import open_packed


@contextmanager
def readable(tables: Sequence[RawTable], scratch: Path | None = None) -> Iterator[list[RawTable]]:
    """Give tables as the engine reads them.

    Args:
        tables: The tables as they were found.
        scratch: The folder for copies, made where one is needed, and removed at the end; None = a temporary one.

    Raises:
        SourceError: A file cannot be read.
    """
    with ExitStack() as stack:
        if scratch is None:
            scratch = Path(stack.enter_context(TemporaryDirectory(prefix="tawt-"))) / "raw"
        remove(scratch)  # of a killed run
        stack.callback(remove, scratch)
        yield [_readable(table, scratch / table.name) for table in tables]


def _readable(table: RawTable, folder: Path) -> RawTable:
    encoding = table.dialect.encoding
    has_tail = table.is_text and any(file.seen.n_tail for file in table.files)
    if not table.is_text or (all(_is_read(file.path, file.place, encoding) for file in table.files) and not has_tail):
        return table
    folder.mkdir(parents=True)
    files = []
    for i, file in enumerate(table.files):
        if encoding == "utf-8" and not file.seen.n_tail:
            files.append(file)
            continue
        copy = folder / f"{i}.csv"
        with open_packed(file.path, file.place) as stream:
            copy_as_utf8(stream, encoding, copy, file.seen.n_tail)
        files.append(replace(file, path=copy))
    return replace(table, files=tuple(files), dialect=table.dialect.model_copy(update={"encoding": "utf-8"}))


def _is_read(path: Path, place: str, encoding: str) -> bool:
    with open_packed(path, place) as stream:
        return engine_reads(stream, encoding)
