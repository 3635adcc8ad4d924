"""Which subject is in which split: as a file of the pipeline says, else by the hash."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv

from tawt.contracts.dataset import SPLITS
from tawt.errors import SourceError
from tawt.raw.formats import format_of
from tawt.readers import hold_names, read_parquet, reading
from tawt.room import hold_memory
from tawt.sources.stage import Settings
from tawt.transforms.columns import Int64s

_COLUMNS = ("subject_id", "split")


def splits_file(settings: Settings) -> Path | None:
    """Return the file that says which subject is in which split; None = the hash does.

    Raises:
        SourceError: It is named by its absolute path and is not there.
    """
    name = settings.pipeline.splits.file
    if name is None:
        return None
    path = (settings.raw_root or Path()) / name
    if not path.is_file() and Path(name).is_absolute():
        raise SourceError(
            f"splits.file {path.name}", "is not there, expected a Parquet or CSV file of subject splits",
            "mend `splits: {file: ...}` of the pipeline",
        )  # fmt: skip
    return path if path.is_file() else None


def given_splits(settings: Settings) -> tuple[dict[int, int] | None, list[str]]:
    """Return what the pipeline's file of splits lists, where it names one and it is there, and what is to be said.

    Raises:
        SourceError: It is unreadable, or does not name one known split for each subject once.
    """
    path = splits_file(settings)
    if path is not None:
        return _read_splits(path), []
    name = settings.pipeline.splits.file
    return None, [f"{name} is absent: subjects are split by hash"] if name is not None else []


def unnamed_subjects(settings: Settings, subjects: Mapping[str, Int64s], given: Mapping[int, int] | None) -> list[str]:
    """Return what is to be said of subjects that the file of splits does not name."""
    if given is None:
        return []
    n_subjects = sum(len(ids) for ids in subjects.values())
    listed = np.array(sorted(given), dtype=np.int64)
    n = n_subjects - sum(int(np.isin(ids, listed).sum()) for ids in subjects.values())
    name = settings.pipeline.splits.file
    return [f"{name} does not name {n:,} of {n_subjects:,} subjects: they are split by hash"] if n else []


def _read_splits(path: Path) -> dict[int, int]:
    """Return the number of the split of every subject that a file lists."""
    hint = "write subject_id and split, one of train, tuning and held_out, once for each subject"
    if format_of(path).is_parquet:
        table = read_parquet(path, _COLUMNS, hint, SourceError, path.name)
    else:
        with reading(path, "a CSV file of subject splits", hint, SourceError, path.name):
            table = pacsv.read_csv(path)
        hold_names(table.column_names, _COLUMNS, path.name, hint, SourceError)
    if table["subject_id"].null_count or table["split"].null_count:
        raise SourceError(path.name, "has empty cells, expected a split for every subject", hint)
    # the texts of these errors quote cells
    try:
        named = table["split"].cast(pa.string()).to_pylist()
    except pa.ArrowException as error:
        hold_memory(error, path.name)
        raise SourceError(path.name, f"has splits that are no text, expected only {', '.join(SPLITS)}", hint) from None
    if unknown := set(named) - set(SPLITS):
        raise SourceError(path.name, f"has {len(unknown)} other splits, expected only {', '.join(SPLITS)}", hint)
    try:
        if pa.types.is_temporal(table["subject_id"].type) or pa.types.is_boolean(table["subject_id"].type):
            raise pa.ArrowTypeError
        ids = table["subject_id"].cast(pa.int64()).to_pylist()
    except pa.ArrowException as error:
        hold_memory(error, path.name)
        raise SourceError(path.name, "has a subject_id that is no whole number, expected int64", hint) from None
    given = dict(zip(ids, map(SPLITS.index, named), strict=True))
    if len(given) != len(ids):
        raise SourceError(path.name, f"lists {len(ids) - len(given):,} subjects again, expected each once", hint)
    return given
