"""Every table below a folder, whatever its name: what lies there, how it is written, and its first records."""

from __future__ import annotations

import fnmatch
import os
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice, takewhile
from pathlib import Path
from typing import cast

from tawt.config.pipeline import Encoding
from tawt.errors import SourceError, TawtError
from tawt.raw.formats import PACKED, bare_name, format_of, is_hidden
from tawt.raw.found import FoundTable, PassedOver
from tawt.raw.identity import open_packed
from tawt.raw.many import CASELESS_GLOB, encoding_in, of_archive, of_members
from tawt.raw.named import WhoseAt, as_one
from tawt.raw.parquet import is_cell
from tawt.raw.parts import ANY, Named, named_part
from tawt.raw.small_files import OfOne, names_of, numbered_folder, small_files
from tawt.raw.sniff import delimiter_in, is_record, rows_in
from tawt.readers import parquet_schema

_SAMPLE = 1 << 18
"""Bytes of text from which is told how it is written."""


def tables_below(
    root: Path, is_of_one: OfOne = lambda header: False, whose_at: WhoseAt = lambda header: None
) -> tuple[list[FoundTable], list[PassedOver]]:
    """Return the tables below a folder, and what is not read and why.

    Args:
        root: The folder.
        is_of_one: Whether files of a header may hold one subject each, for no column says whose a record is.
        whose_at: Which column of a header says it.

    Raises:
        SourceError: There is no such folder.
    """
    if not root.is_dir():
        raise SourceError(str(root), "is no folder, expected the folder of the raw tables", "check the path")
    tables: list[FoundTable] = []
    passed: list[PassedOver] = []
    for folder, files in _folders(root):
        for found in _tables_of(root, folder, files, is_of_one):
            (tables if isinstance(found, FoundTable) else passed).append(found)  # type: ignore[arg-type]
    by_folders = [*_by_folders(root, tables, is_of_one, passed)]
    known, passed = as_one(root, by_folders, passed, is_of_one, whose_at)
    once = list(_each_once(known))
    passed += [one for one in once if isinstance(one, PassedOver)]
    return [one for one in once if isinstance(one, FoundTable)], passed


def _each_once(tables: list[FoundTable]) -> Iterator[FoundTable | PassedOver]:
    """Yield the table of each place, and what is to be said where several lie in one."""
    by_place: dict[str, list[FoundTable]] = defaultdict(list)
    for table in tables:
        by_place[table.place.lower()].append(table)
    for alike in by_place.values():
        yield alike[0]
        if len(alike) > 1:
            names = " and ".join(f"`{table.files[0].name}`" for table in alike[:2])
            yield PassedOver(alike[0].place, f"WRONG, for it lies there twice: move one out of {names}")


def _folders(root: Path) -> Iterator[tuple[Path, list[Path]]]:
    """Yield every folder that is one of data, and its files; a folder that links lead to twice comes once."""
    seen = set()
    for name, folders, files in os.walk(root, followlinks=True):
        folder = Path(name)
        folders[:] = sorted(one for one in folders if not is_hidden(one))
        if (real := folder.resolve()) in seen:
            folders.clear()
            continue
        seen.add(real)
        yield folder, [folder / file for file in sorted(files) if not is_hidden(file) and (folder / file).is_file()]


def _by_folders(
    root: Path, tables: list[FoundTable], is_of_one: OfOne, passed: list[PassedOver]
) -> Iterator[FoundTable]:
    """Yield tables, those that lie under one name in folders that are numbers as one; their names are not read."""
    places: dict[tuple[object, ...], list[FoundTable]] = defaultdict(list)
    for table in tables:
        kind = (table.header, table.delimiter, table.encoding, table.is_text)
        numbered = numbered_folder(table.place) if table.members is None and len(table.files) == 1 else None
        places[(numbered or table.place, kind)].append(table)
    for (place, _), alike in places.items():
        is_all = sum(place == other for other, _ in places) == 1
        if len(alike) == 1 or "*" not in str(place) or not is_all:
            yield from alike
        elif is_of_one(alike[0].header):
            why = (
                "lies in folders whose names may be those of subjects, which are not read, and no column says whose a "
                "record is: put the files into one folder, each under the name of its subject"
            )
            passed.append(PassedOver(str(place), why))
        else:
            files = tuple(file for table in alike for file in table.files)
            yield replace(alike[0], place=str(place), files=files, stem=str(place).rpartition("/")[2])


def _tables_of(root: Path, folder: Path, files: list[Path], is_of_one: OfOne) -> Iterator[FoundTable | PassedOver]:
    by_suffix = defaultdict(list)
    for file in files:
        by_suffix[file.suffix.lower()].append(file)
    many = {suffix: small for suffix, alike in by_suffix.items() if suffix and (small := small_files(alike, is_of_one))}
    of_many = {file for small in many.values() for file in small}
    single: list[FoundTable] = []
    for file in files:
        place = file.relative_to(root).as_posix()
        if file in of_many:
            continue
        try:
            if format_of(file).is_archive:
                found: FoundTable | PassedOver | None = of_archive(root, file)
            elif format_of(file).is_table:
                found = _of_file(root, file)
            elif file.suffix.lower() in PACKED:
                found = PassedOver(place, "is packed in a form that is not read: unpack it")
            else:
                continue
        except TawtError as error:
            found = PassedOver(place, error.what)
        if isinstance(found, PassedOver):
            yield found
        elif found is not None:
            single.append(found)
    once = list(_each_once(single))
    yield from (one for one in once if isinstance(one, PassedOver))
    yield from _joined(root, folder, [one for one in once if isinstance(one, FoundTable)])
    for suffix, small in sorted(many.items()):
        place = folder.relative_to(root).as_posix()
        others = [file for file in by_suffix[suffix] if file not in of_many]
        stem, pattern = names_of(small, others) if others else ("", "")
        found = of_members(small, place, suffix, pattern if folder == root else f"{place}/{pattern}" * bool(pattern))
        named = (stem.strip("-_. ") or root.name).lower() if folder == root or stem else ""
        yield replace(found, stem=named) if named and isinstance(found, FoundTable) else found


def _of_file(root: Path, file: Path) -> FoundTable | PassedOver | None:
    """Return the table in a file; None where it is a text that is none."""
    relative = file.relative_to(root)
    place = relative.with_name(bare_name(file)).as_posix().translate(CASELESS_GLOB)
    if format_of(file).is_parquet:
        schema = parquet_schema(file, "copy it again", SourceError, file.name)
        return FoundTable(place, (file,), tuple(field.name for field in schema if is_cell(field.type)))
    with open_packed(file, file.name) as stream:
        sample = stream.read(_SAMPLE)
    if not sample.strip():
        return PassedOver(relative.as_posix(), "is empty")
    encoding = encoding_in(file)
    text = sample.decode(encoding or "utf-8", "replace").removeprefix("\ufeff")
    text = text if len(sample) < _SAMPLE else text[: max(text.rfind("\n"), 0)] or text
    delimiter = "\t" if format_of(file).is_tabbed else delimiter_in(text)
    first, *rows = [*islice(rows_in(text, delimiter), 500)] or [[]]
    if len(first) < 2 and format_of(file).suffix.startswith(".txt"):
        return None
    if not any(first):
        return PassedOver(relative.as_posix(), "has no header line")
    if is_record(first, rows):
        what = "begins with a record and not with names of columns: give it a header line"
        return PassedOver(relative.as_posix(), what)
    header = tuple(name.strip() or f"_unnamed_{i}" for i, name in enumerate(first, start=1))
    if twice := [name for name, n in Counter(map(str.lower, header)).items() if n > 1]:
        return PassedOver(relative.as_posix(), f"has the column name `{twice[0]}` twice: rename one in its header line")
    return FoundTable(place, (file,), header, delimiter, cast(Encoding | None, encoding))


def _joined(root: Path, folder: Path, tables: list[FoundTable]) -> Iterator[FoundTable]:
    """Yield tables, those that are alike but for a number, or a day, in their names as one."""
    series: dict[tuple[Named, object], list[FoundTable]] = defaultdict(list)
    for table in tables:
        kind = (table.header, table.delimiter, table.is_text, table.members is None)
        series[(named_part(table.place.rpartition("/")[2], table.members is not None), kind)].append(table)
    for (named, _), alike in series.items():
        first = alike[0]
        if first.members is not None:
            globs = tuple(glob for table in alike if table.members is not None for glob in table.members.folders)
            files = tuple(file for table in alike for file in table.files)
            stem = _common(alike) if len(alike) > 1 else first.place
            members = first.members.model_copy(update={"folders": globs})
            yield replace(first, place=stem.rstrip("-_. ") or first.place, files=files, members=members)
        elif (
            len(alike) > 1
            and len(said := {one.encoding for one in alike} - {None}) < 2
            and (place := _one_place(root, folder, named, alike, tables))
        ):
            files = tuple(file for table in alike for file in table.files)
            stem = named.stem if place.endswith(named.patterns) else ""
            yield replace(first, place=place, files=files, encoding=next(iter(said), None), stem=stem)
        else:
            yield from alike


def _common(alike: list[FoundTable]) -> str:
    """Return the letters that all places begin with."""
    letters = takewhile(lambda one: len(set(one)) == 1, zip(*(table.place for table in alike), strict=False))
    return "".join(one[0] for one in letters).rstrip("[")


def _one_place(root: Path, folder: Path, named: Named, alike: list[FoundTable], tables: list[FoundTable]) -> str | None:
    """Return a path that means these tables and no other: their folder, or a pattern of their names."""
    below = folder.relative_to(root).as_posix().lower().translate(CASELESS_GLOB)
    if len(alike) == len(tables) and folder != root and named.stem in (*ANY, folder.name.lower()):
        return below
    for pattern in named.patterns:
        if sum(fnmatch.fnmatch(bare_name(table.files[0]), pattern) for table in tables) == len(alike):
            return pattern if folder == root else f"{below}/{pattern}"
    return None
