"""Records that a stage rejected, listed by place (never by content) in a file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa

from tawt.contracts.account import MALFORMED, Places, Rejected
from tawt.errors import FileError
from tawt.files import write_parquet
from tawt.pipeline.manifest import Manifest, make_again
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


def listed_records(workspace: Workspace, manifest: Manifest | None, columns: Sequence[str] = SCHEMA.names) -> pa.Table:
    """Return the quarantined records of a stage, as they were written; none of one that is not finished.

    Raises:
        FileError: They are not as they were.
    """
    path = workspace.quarantine(manifest.stage) if manifest is not None else None
    name = path.relative_to(workspace.root).as_posix() if path is not None else ""
    if manifest is None or path is None or name not in manifest.files:
        return SCHEMA.empty_table().select(list(columns))
    hint = make_again(workspace.root, manifest.stage)
    if manifest.hashes.get(name) != sha256_file(path):
        raise FileError(str(path), "is not as it was written, expected the content that the stage lists", hint)
    return read_parquet(path, columns, hint)


def write_quarantine(
    path: Path, rejected: Rejected, stage: str, pipeline: str, places: Places, driving: str
) -> Path | None:
    """Write the quarantined records of a stage, and return the file; None where there are none.

    Args:
        path: The file.
        rejected: What the stage rejected.
        stage: Its name.
        pipeline: Name and digest of the pipeline.
        places: Where the records behind the stage stand.
        driving: What they came from, where that is all that is known.
    """
    rows = rejected.quarantined()
    numbers, lines = rows["_row"].to_numpy(), rejected.lines
    n, m = len(numbers), len(lines)
    table = pa.table(
        {
            "file": pa.array([*places.of(numbers, driving), *[line[0] for line in lines]], pa.string()),
            "record": pa.array([*numbers.tolist(), *[None] * m], pa.int64()),
            "line": pa.array([*[None] * n, *[line[1] for line in lines]], pa.int64()),
            "column": pa.array([*rows["column"].to_pylist(), *[MALFORMED] * m], pa.string()),
            "reason": pa.array([*rows["reason"].to_pylist(), *[line[2] for line in lines]], pa.string()),
            "stage": pa.array([stage] * (n + m), pa.string()),
            "pipeline": pa.array([pipeline] * (n + m), pa.string()),
        },
        schema=SCHEMA,
    )
    if not table.num_rows:
        return None
    write_parquet(path, table.sort_by([("file", "ascending"), ("record", "ascending"), ("line", "ascending")]))
    return path
