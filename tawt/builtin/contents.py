"""The stage `contents`: files that records of images and waveforms name -> arrays, each once; resumable."""

from __future__ import annotations

import errno
import itertools
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from tawt.contracts.account import Account
from tawt.contracts.cells import few
from tawt.errors import SourceError, StageError
from tawt.modalities.contents import content_hash, map_arrays, writing_arrays
from tawt.modalities.decode import MODALITIES, as_content, is_called, opened
from tawt.modalities.source import Source, UnreadableError
from tawt.pipeline.each_shard import each_shard, forget_shards
from tawt.pipeline.keys import CONTENT_FILES
from tawt.raw.beside import IMAGES, place_of
from tawt.readers import parquet_schema, read_parquet
from tawt.sources.stage import Bound, BuiltIn, StageResult, Tick

RECORDS_AT_ONCE = 4096
"""Records whose arrays are in one file; a run that was killed goes on behind the last whole one."""
_COLUMNS = ("_row", "path", "member", "row", "modality")
Record = tuple[int, str | None, str | None, int | None, str | None]
"""One record: its number, and what its columns say of where its content lies."""


def run_contents(bound: Bound, folder: Path, tick: Tick) -> StageResult:
    """Decode the file of every record, one at a time and thread.

    Raises:
        SourceError: A disk does not hand over a file.
        StageError: What decodes is not installed, or staging does not say where files lie.
    """
    source, root = bound.inputs[IMAGES], bound.settings.raw_root
    assert root is not None
    records = _records(source.rows, source.make_again)
    groups = [records[at : at + RECORDS_AT_ONCE] for at in range(0, len(records), RECORDS_AT_ONCE)]
    parts = {f"part-{i:05d}": group for i, group in enumerate(groups)}
    files = {name: folder / f"{name}.arrow" for name in parts}

    def one(name: str) -> dict[str, Any]:
        return _decoded(root, parts[name], files[name])

    shards = {name: [file] for name, file in files.items()}
    results = each_shard(folder, shards, one, bound.limits.workers, tick, share=bound.share)
    _each_once([files[name] for name in parts])
    rows = sorted(tuple(row) for result in results.values() for row in result["rows"])
    schema = bound.stage.contract.arrow_schema()
    columns = list(zip(*rows, strict=True)) or [()] * len(schema)
    table = pa.table([pa.array(c, f.type) for c, f in zip(columns, schema, strict=True)], schema=schema)
    pq.write_table(table, folder / "contents.parquet", compression="zstd")
    n_other = sum(result["n_other_name"] for result in results.values())
    kinds: Counter[str] = sum((Counter(result["kinds"]) for result in results.values()), Counter())
    forget_shards(folder)
    facts = {
        "n_contents": len({sha256 for _, sha256, _ in rows if sha256 is not None}), "n_other_name": n_other,
        "formats": dict(sorted(kinds.items())),
    }  # fmt: skip
    notes = [f"{few(n_other)} records name a file of another format than its name says: it was read as what it is"]
    return StageResult((Account.of_rows(IMAGES, len(rows)),), facts, tuple(notes if n_other else ()))


def _records(files: list[Path], again: str) -> list[Record]:
    """Return the records in the order of their files, so that each is opened once for what lies in it side by side."""
    found: list[Record] = []
    for file in files:
        there = parquet_schema(file, again)
        if "path" not in there.names:
            what = f"{IMAGES} has no column `path`, expected where the file of each record lies"
            raise StageError("contents", what, "say `as: path` of the column in the contract of raw.images")
        table = read_parquet(file, [name for name in _COLUMNS if name in there.names], again)
        if "row" in there.names and not pa.types.is_integer(there.field("row").type):
            what = f"{IMAGES} has a `row` that is no whole number, expected int64"
            raise StageError("contents", what, "say `type: int64` of the column in the contract of raw.images")
        columns = [table[name].to_pylist() if name in table.column_names else [None] * len(table) for name in _COLUMNS]
        found += zip(*columns, strict=True)
    return sorted(found, key=lambda one: (one[1] or "", one[2] or "", -1 if one[3] is None else one[3], one[0]))


def _decoded(root: Path, records: list[Record], path: Path) -> dict[str, Any]:
    """Decode the files of records into one of arrays; return what became of each."""
    rows: list[tuple[int, str | None, str | None]] = []
    kinds: Counter[str] = Counter()
    n_other_name, there = 0, set()
    with writing_arrays(path) as add:
        for name, group in itertools.groupby(records, key=lambda one: one[1]):
            place = "missing" if name is None else place_of(root, name)
            if isinstance(place, str):
                rows += [(number, None, place) for number, *_ in group]
                continue
            for number, array, kind in _read(place, list(group)):
                if isinstance(array, str):
                    rows.append((number, None, array))
                    continue
                sha256 = content_hash(array)
                if sha256 not in there:
                    there.add(sha256)
                    add(sha256, array)
                rows.append((number, sha256, None))
                kinds[kind] += 1
                n_other_name += not is_called(place, kind)
    return {"rows": rows, "kinds": kinds, "n_other_name": n_other_name}


def _read(place: Path, records: list[Record]) -> Iterator[tuple[int, NDArray[Any] | str, str]]:
    """Yield the number, the array or why there is none, and the format of each record of one file.

    Raises:
        SourceError: A disk or a right is at fault: that says nothing of the image.
    """
    done, fault = 0, ""
    try:
        with opened(place) as (kind, source):
            for number, _, member, row, modality in records:
                yield number, _array(source, modality, member, row), kind
                done += 1
    except UnreadableError as error:
        fault = error.fault
    except FileNotFoundError:  # since it was looked at
        fault = "not_there"
    except OSError as error:
        what = f"lists a file that cannot be read ({os.strerror(error.errno or errno.EIO)}), expected files that can"
        raise SourceError("raw.images", what, "give the right to read them, or mend the disk, and run again") from None
    yield from ((number, fault, "") for number, *_ in records[done:])


def _array(source: Source, modality: str | None, member: str | None, row: int | None) -> NDArray[Any] | str:
    """Return one array of a file, or the word for why there is none."""
    wanted = (modality or next(iter(MODALITIES))).lower()
    try:
        return as_content(source.array(wanted, member, row), wanted) if wanted in MODALITIES else "wrong_modality"
    except UnreadableError as error:
        return error.fault


def _each_once(files: list[Path]) -> None:
    """Leave out of each file the contents that one before it has."""
    before: set[str] = set()
    for path in files:
        mine = [sha256 for sha256, _ in map_arrays(path)]
        if before.intersection(mine):
            aside = path.with_suffix(".tmp")
            with writing_arrays(aside) as add:
                for sha256, array in map_arrays(path):
                    if sha256 not in before:
                        add(sha256, array)
            aside.replace(path)
        before.update(mine)


CONTENTS = BuiltIn(
    "contents", (IMAGES,), ("contents",), "One row is what became of the file of one record of images or waveforms.",
    (CONTENT_FILES,), run_contents, in_shards=True, of=IMAGES,
)  # fmt: skip
