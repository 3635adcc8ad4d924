"""Records that a stage rejected: counted by reason for the ledger, listed by place (never by content) in a file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tawt.errors import FileError
from tawt.files import write_parquet
from tawt.pipeline.manifest import Manifest, Route, make_again
from tawt.pipeline.workspace import Workspace
from tawt.readers import read_parquet
from tawt.seals import sha256_file

SCHEMA = pa.schema(
    [
        pa.field("file", pa.string(), False),
        pa.field("record", pa.int64()),
        pa.field("line", pa.int64()),
        pa.field("column", pa.string(), False),
        pa.field("reason", pa.string(), False),
        pa.field("stage", pa.string(), False),
        pa.field("pipeline", pa.string(), False),
    ]
)
"""`record` counts the readable records of the raw table from 1; `line` is set instead where a line is no record."""

MALFORMED = "line"
"""The column that a line which is no record is filed under."""


@dataclass(frozen=True)
class Rejected:
    """What a stage rejected: `_row` and `_reason`, and lines that are no records."""

    table: pa.Table
    lines: list[tuple[str, int, str]]

    def unless(self, kept: npt.NDArray[np.bool_]) -> Rejected:
        """Return one reason per record, of those records that gave no output row at all; quarantine before drop."""
        numbers = self.table["_row"].to_numpy()
        lost = numbers >= len(kept)
        lost[~lost] = ~kept[numbers[~lost]]
        table = self.table.filter(pa.array(lost))
        ordered = table.append_column("_last", pc.invert(pc.starts_with(table["_reason"], "quarantine:"))).sort_by(
            [("_row", "ascending"), ("_last", "ascending"), ("_reason", "ascending")]
        )
        rows = ordered["_row"].to_numpy()
        first = np.ones(len(rows), dtype=np.bool_)
        first[1:] = rows[1:] != rows[:-1]
        return Rejected(ordered.drop_columns(["_last"]).filter(pa.array(first)), self.lines)

    def routes(self) -> tuple[Route, ...]:
        """Return the counts by reason, by name."""
        counted = pc.value_counts(self.table["_reason"])
        counts = {entry["values"]: entry["counts"] for entry in counted.to_pylist()}
        for _, _, kind in self.lines:
            key = f"quarantine:{MALFORMED}:{kind}"
            counts[key] = counts.get(key, 0) + 1
        return tuple(
            Route(kind=reason.partition(":")[0], reason=reason.partition(":")[2], n_records=n)
            for reason, n in sorted(counts.items())
        )

    def quarantined(self) -> pa.Table:
        """Return `_row`, `column` and `reason` of the quarantined records."""
        table = self.table.filter(pc.starts_with(self.table["_reason"], "quarantine:"))
        parts = pc.extract_regex(table["_reason"], r"^quarantine:(?P<column>.+):(?P<reason>[^:]+)$")
        return pa.table({"_row": table["_row"], **{key: pc.struct_field(parts, key) for key in ("column", "reason")}})


def listed_records(workspace: Workspace, manifest: Manifest | None, columns: Sequence[str] = SCHEMA.names) -> pa.Table:
    """Return the quarantined records of a stage, as they were written; none of one that is not finished.

    Raises:
        FileError: They are not as they were.
    """
    path = workspace.quarantine(manifest.stage) if manifest is not None else None
    name = path.relative_to(workspace.root).as_posix() if path is not None else ""
    if manifest is None or path is None or name not in manifest.files:
        return SCHEMA.empty_table().select(list(columns))
    hint = make_again(workspace, manifest.stage)
    if manifest.hashes.get(name) != sha256_file(path):
        raise FileError(str(path), "is not as it was written, expected the content that the stage lists", hint)
    return read_parquet(path, columns, hint)


def files_of(numbers: pa.ChunkedArray, places: tuple[tuple[str, ...], list[int]]) -> pa.Array:
    """Return the file that each record lies in, by the number of each file's first record."""
    files, starts = places
    which = np.searchsorted(np.asarray(starts), numbers.to_numpy(), side="right") - 1
    return pa.array([files[w] for w in which.tolist()], pa.string())


def write_quarantine(
    path: Path, rejected: Rejected, stage: str, pipeline: str, files: tuple[str, ...], file_starts: list[int]
) -> Path | None:
    """Write the quarantined records of a stage, and return the file; None where there are none.

    Args:
        path: The file.
        rejected: What the stage rejected.
        stage: Its name.
        pipeline: Name and digest of the pipeline.
        files: The raw files behind the stage, relative.
        file_starts: Number of the first record of each file; one entry is enough for one file.
    """
    rows = rejected.quarantined()
    numbers = rows["_row"].to_numpy()
    from_files = files_of(rows["_row"], (files, file_starts))
    n, m = len(numbers), len(rejected.lines)
    table = pa.table(
        {
            "file": pa.array([*from_files.to_pylist(), *[line[0] for line in rejected.lines]], pa.string()),
            "record": pa.array([*numbers.tolist(), *[None] * m], pa.int64()),
            "line": pa.array([*[None] * n, *[line[1] for line in rejected.lines]], pa.int64()),
            "column": pa.array([*rows["column"].to_pylist(), *[MALFORMED] * m], pa.string()),
            "reason": pa.array([*rows["reason"].to_pylist(), *[line[2] for line in rejected.lines]], pa.string()),
            "stage": pa.array([stage] * (n + m), pa.string()),
            "pipeline": pa.array([pipeline] * (n + m), pa.string()),
        },
        schema=SCHEMA,
    )
    if not table.num_rows:
        return None
    write_parquet(path, table.sort_by([("file", "ascending"), ("record", "ascending"), ("line", "ascending")]))
    return path
