"""A stage that tells each record by itself, run by pieces of what it reads: what came since is read, and the rest is
taken from what the stage gave before.

A piece is a raw file, or several small ones that follow one another; of an event part it is a file of staging. It is
known by what is in it and by the number of its first record: a file that comes last changes no other piece.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from tawt.contracts.account import Rejected
from tawt.database.parse import parse
from tawt.errors import StageError
from tawt.pipeline.each_shard import Earlier
from tawt.places import remove
from tawt.raw.find import RawTable
from tawt.raw.identity import RawFile
from tawt.sources.row_wise import check_row_wise, looks_around
from tawt.sources.stage import Bound, Stage

SMALL = 1 << 20
"""Bytes up to which raw files are read together: what each costs beside its records is then little."""
_MOST_REJECTED = 100_000
"""Rejected records of a piece that are written down for the next time; one with more is read again."""
Read = Callable[[Bound, Path], tuple[list[Path], Rejected]]
"""Writes what a stage gives of what it is bound to into a folder, which is emptied first."""


@dataclass(frozen=True)
class Piece:
    """A part of what a stage reads."""

    name: str
    bound: Bound
    made_of: Any
    n_records: int
    """Of a raw table; else none are counted."""


def pieces_of(bound: Bound) -> list[Piece]:
    """Return the pieces of what a stage reads, in order; none where a row of it may hang on several records.

    Those of a raw table are as if each began with its first record.
    """
    driving = bound.driving
    if not by_record(bound.stage) or (isinstance(driving, RawTable) and driving.members is not None):
        return []
    if isinstance(driving, RawTable):
        gone = bound.gone.marks.to_pylist() if bound.gone is not None else []
        found = []
        for i, files in enumerate(_together(driving.files)):
            table = replace(driving, files=files)
            made_of = [file.sha256 for file in files], gone, bound.settings.subject_key
            found.append(Piece(f"{i:05d}", replace(bound, raw={table.name: table}), made_of, table.n_records))
        return found
    parts = [(file, driving.hashes.get(file, "")) for file in driving.rows]
    ones = [replace(driving, files=(file,), hashes={file: sha256}) for file, sha256 in parts]
    bounds = [replace(bound, inputs={one.name: one}) for one in ones]
    return [Piece(f"{i:05d}", one, parts[i][1], 0) for i, one in enumerate(bounds)]


def by_record(stage: Stage) -> bool:
    """Return whether each row of a stage follows from one record of its one input."""
    sql = stage.sql
    tree = parse(sql.text) if sql is not None and (stage.layer.row_wise or stage.layer.sharded) else None
    if sql is None or tree is None:
        return False
    try:
        check_row_wise(tree, stage.name, sql.references)
    except StageError:
        return False
    return not looks_around(tree)


def by_pieces(
    bound: Bound, pieces: Iterable[Piece], folder: Path, read: Read
) -> tuple[list[Path], Rejected, Callable[[], None]]:  # fmt: skip
    """Run a stage by pieces into a folder, which is emptied first.

    Returns:
        As of `Read`, and what writes down what each piece gave, for the next time.
    """
    remove(folder)
    folder.mkdir(parents=True)
    known = Earlier(bound, {})
    n_before, results = 0, {}
    kept: list[Path] = []
    tables, lines = [], []
    for piece in pieces:
        known.say(piece.name, [piece.made_of, n_before])
        result = known.take(folder, piece.name)
        if result is None:
            result = _made(piece, n_before, folder, read)
        kept += [folder / name for name in result["files"]]
        places = _places(piece.bound)
        rejected = Rejected(_table(result["rejected"]), [(places[i], n, kind) for i, n, kind in result["lines"]])
        tables.append(rejected.table)
        lines += rejected.lines
        if len(rejected.table) <= _MOST_REJECTED:
            results[piece.name] = json.dumps(result)
        n_before += piece.n_records - len(rejected.lines)
    return kept, Rejected(pa.concat_tables(tables), lines), lambda: known.keep(folder, results, results.__getitem__)


def _made(piece: Piece, n_before: int, folder: Path, read: Read) -> dict[str, Any]:
    """Run a stage on one piece; return its files, by the names that they have in its folder, and what it rejects."""
    bound = piece.bound
    if isinstance(table := bound.driving, RawTable):
        bound = replace(bound, raw={table.name: replace(table, n_before=n_before)})
    aside = folder.with_name(f"{folder.name}-piece")
    kept, rejected = read(bound, aside)
    files = []
    for file in kept:
        _, shard, i = file.stem.split("-")
        name = f"part-{shard}-{int(piece.name)}" if bound.stage.layer.sharded else f"part-{piece.name}-0"
        file.rename(folder / f"{name}{f'-{i}' if int(i) else ''}.parquet")
        files.append(f"{name}{f'-{i}' if int(i) else ''}.parquet")
    remove(aside)
    places = _places(bound)
    lines = [(places.index(place), n, kind) for place, n, kind in rejected.lines]
    return {"files": files, "rejected": _listed(rejected.table), "lines": lines}


def _places(bound: Bound) -> list[str]:
    """Return what is said of each raw file of a piece, which changes with how many there are."""
    return [file.place for file in bound.driving.files] if isinstance(bound.driving, RawTable) else []


def _listed(rejected: pa.Table) -> dict[str, list[int]]:
    """Return rejected records by their reason."""
    found: dict[str, list[int]] = {}
    for row, reason in zip(rejected["_row"].to_pylist(), rejected["_reason"].to_pylist(), strict=True):
        found.setdefault(reason, []).append(row)
    return found


def _table(listed: dict[str, list[int]]) -> pa.Table:
    rows = pa.array([row for rows in listed.values() for row in rows], pa.int64())
    reasons = pa.array([reason for reason, rows in listed.items() for _ in rows], pa.string())
    return pa.table({"_row": rows, "_reason": reasons}).sort_by("_row")


def _together(files: tuple[RawFile, ...]) -> Iterator[tuple[RawFile, ...]]:
    """Yield files in order, small ones together: a file that comes last changes no group but the last."""
    group: list[RawFile] = []
    n_bytes = 0
    for file in files:
        group.append(file)
        n_bytes += file.path.stat().st_size
        if n_bytes >= SMALL:
            yield tuple(group)
            group, n_bytes = [], 0
    if group:
        yield tuple(group)
