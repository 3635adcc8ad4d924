"""The file of embeddings: where it may be, who writes it, and its rows."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from tawt.arrays import Floats, Ints
from tawt.contracts.embeddings import about_embeddings
from tawt.contracts.workspace import is_outside
from tawt.errors import ConfigError, FileError, TawtError
from tawt.files import alone_at, made_folder, whole
from tawt.places import remove
from tawt.readers import hold_seal, parquet_schema, read_parquet
from tawt.runs.embedding_parts import Rows, as_lists
from tawt.runs.find import called
from tawt.seals import BLANK, fill
from tawt.shell import shell_line
from tawt.training.outputs import refuse_outside

_COLUMNS = ("subject_id", "time", "embedding")
_AT_ONCE = 1 << 20
"""Rows of a row group: as many as where a table is written at one go."""


def usual_file(workspace: Path, run: Path, task: str | None = None) -> Path:
    """Return where embeddings go: below `embeddings/` as the run lies below `runs/`, as arms of sweeps share names.

    Args:
        workspace: Whose subjects.
        run: The run folder, wherever it is.
        task: Of the label set at whose times they are: a file of its own in a folder of the run's name.
    """
    runs = (workspace / "runs").resolve()
    inside = run.resolve().relative_to(runs) if run.resolve().is_relative_to(runs) else Path(called(workspace, run))
    inside = inside if task is None else inside / task
    return workspace / "embeddings" / inside.with_name(f"{inside.name}.parquet")


def hold_place(path: Path, workspace: Path, given: bool, usual: str) -> None:
    """Hold that a file of embeddings may be written in a place.

    Args:
        path: The place.
        workspace: Whose subjects are embedded.
        given: Whether the user named it.
        usual: How the file would be called.

    Raises:
        ConfigError: It is a folder, another kind of file, or among a workspace's own.
    """
    if path.is_dir():
        raise ConfigError(
            str(path), "is a folder, expected a file", f"give a file, as `--out {shell_line(str(path / usual))}`"
        )
    refuse_outside(path, workspace, "embeddings")
    if given and os.path.lexists(path) and about_embeddings(path) is None:
        raise ConfigError(
            str(path), "is a file of another kind, expected a new one or embeddings, which are replaced",
            "give another file with `--out FILE`",
        )  # fmt: skip
    if given and path.suffix.lower() not in (".parquet", ".pq"):
        raise ConfigError(
            str(path), "does not end in .parquet, expected a Parquet file",
            f"give one, as `--out {shell_line(str(path.with_suffix('.parquet')))}`",
        )  # fmt: skip


def read_embeddings(path: Path, hint: str, kind: type[TawtError] = FileError) -> tuple[Ints, Ints, Floats]:
    """Return subjects, times, us since 1970-01-01, and vectors of a file of embeddings.

    Args:
        path: The file.
        hint: What mends it.
        kind: The error to raise.

    Raises:
        TawtError: Of that kind: it holds none, or is not as it was written.
    """
    parquet_schema(path, hint, kind)  # else a file that is none is told by its seal
    hold_seal(path, hint, kind)
    if about_embeddings(path) is None:
        raise kind(str(path), "holds no embeddings, expected a file of `tawt embed`", hint)
    table = read_parquet(path, _COLUMNS, hint, kind)
    subject, time, vectors = (table[name].combine_chunks() for name in _COLUMNS)
    is_vectors = pa.types.is_fixed_size_list(vectors.type) and pa.types.is_floating(vectors.type.value_type)
    if not (is_vectors and pa.types.is_int64(subject.type) and pa.types.is_timestamp(time.type)):
        found = ", ".join(f"{name} {one.type}" for name, one in zip(_COLUMNS, table.columns, strict=True))
        raise kind(str(path), f"holds {found}, expected ids, times and vectors of one length", hint)
    flat = vectors.flatten()
    if any(one.null_count for one in (subject, time, vectors, flat)):
        raise kind(str(path), "has rows in which something is missing, expected none", hint)
    return (
        subject.to_numpy(),
        time.cast("int64").to_numpy(),
        flat.to_numpy().reshape(len(table), vectors.type.list_size),
    )


@contextmanager
def writing(path: Path, workspace: Path) -> Iterator[None]:
    """Keep other commands from writing the same file, and remove what killed ones left beside those of a workspace.

    Raises:
        ConfigError: Another process writes it.
    """
    own = workspace / "embeddings"
    if own in path.parents and path.parent.is_dir():
        for name in {aside.stem[1:] for suffix in ("lock", "tmp") for aside in path.parent.glob(f".*.{suffix}")}:
            with suppress(ConfigError), _alone(path.parent / name):  # nobody is writing it now
                remove(path.parent / f".{name}.tmp")
    with made_folder(path.parent, is_outside(path)), _alone(path):
        yield


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    in_use = ConfigError(
        str(path), "is being written by another process, expected to write it alone",
        "wait for it to end, or give another file with `--out FILE`",
    )  # fmt: skip
    with alone_at(path, in_use):
        yield


def write_embeddings(
    path: Path, subject: Ints, time: Ints, split: NDArray[np.object_], row: Ints | None, rows: Rows,
    about: Mapping[str, str],
) -> None:  # fmt: skip
    """Write a file of embeddings, whole or not at all, a row group at a time; outside of a workspace its owner's alone.

    Args:
        path: The file.
        subject: `(n,)`, in the order of the rows, as all that follows.
        time: `(n,)`, us since 1970-01-01.
        split: `(n,)`.
        row: `(n,)`, of the label set; None = there is none.
        rows: Their vectors.
        about: What they are of.
    """
    columns = {
        "subject_id": pa.array(subject),
        "time": pa.array(time, pa.timestamp("us")),
        "split": pa.array(split, pa.string()),
        **({} if row is None else {"row": pa.array(row)}),
        "embedding": as_lists(rows.vectors),
    }
    table = pa.table(columns, metadata={**about, "seal": BLANK})
    with whole(path, is_outside(path)) as aside:
        with pq.ParquetWriter(aside, table.schema) as writer:
            for start in range(0, max(1, len(table)), _AT_ONCE):
                writer.write_table(table.slice(start, _AT_ONCE))
                rows.let_go()
        fill(aside)
