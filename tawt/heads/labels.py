"""A label set on disk -> a `LabelSet`.

Any Parquet file of MEDS labels will do; `schemas/label_sets.json` says what more may be in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tawt.arrays import Ints
from tawt.contracts.label_columns import KEYS, as_labels, asked_names, no_spans
from tawt.contracts.workspace import hold_workspace
from tawt.errors import ConfigError, closest, nearest
from tawt.heads.kinds import KINDS
from tawt.heads.kinds.kind import Kind, numbers_of
from tawt.heads.label_set import LabelSet
from tawt.labels.ready import asked_by_name
from tawt.pipeline.fresh import hold_written
from tawt.readers import read_parquet
from tawt.seals import sha256_file
from tawt.shell import command

COLUMNS = ("duration_hours", "categorical_value", "float_value", "boolean_value", "integer_value")
"""Columns of values, in the order in which they tell what kind of task it is."""
_HINT = "write it with `tawt label`, or give a file of MEDS labels"


@dataclass(frozen=True, eq=False)
class PredictionTimes:
    """`r` subjects and times that a label set asks about, each once, whatever it asks there."""

    name: str
    """Of the label set."""
    sha256: str
    """Of its file."""
    subject_id: Ints
    """`(r,)`, ascending."""
    time: Ints
    """`(r,)`, us since 1970-01-01, ascending within a subject."""
    row: Ints
    """`(r,)`, the first row of the file that asks about it, counted from 0."""


def read_times(path: Path) -> PredictionTimes:
    """Read when a label set asks about whom; its answers are not looked at, and may be missing.

    Raises:
        ConfigError: It is absent or broken, not as tawt wrote it, or a row has no subject or no prediction time.
    """
    _, subject, time = _read(path, KEYS)
    place, row = np.unique(np.stack([subject, time], 1), axis=0, return_index=True)
    return PredictionTimes(_name(path), sha256_file(path), place[:, 0], place[:, 1], row)


def read_labels(path: Path, kind: str | None = None, *, unlabelled: bool = False, usual: str | None = None) -> LabelSet:
    """Read a label set.

    Args:
        path: A Parquet file.
        kind: What is asked, where its columns leave that open; None = what they say.
        unlabelled: Whether prediction times without a label are returned too.
        usual: What is taken where neither says it: what a run has learned.

    Raises:
        ConfigError: It is absent or broken, not as tawt wrote it, has no label, says two things of one time, or has not
            what `kind` needs.
    """
    if kind is not None and kind not in KINDS:
        raise ConfigError(f"--kind {kind}", f"is no kind of task, expected one of {', '.join(KINDS)}")
    table, subject, time = _read(path)
    values = [name for name in COLUMNS if name in table.column_names and table[name].null_count < len(table)]
    how, column = _kind_of(str(path), values, kind, usual)
    names = np.array(asked_names(table), dtype=object)
    asked, at = np.unique(names, return_inverse=True)
    if len(asked) > 1 and not how.alone:
        if not how.several:
            raise ConfigError(
                str(path), f"asks for {len(asked)} {how.plural} at one time, expected one",
                "write a label set for each target, or ask whether each comes",
            )  # fmt: skip
        how = KINDS[how.several]
    value, classes = how.values(table, column, str(path))
    place = np.stack([subject, time], 1)
    rows, row = np.unique(place, axis=0, return_inverse=True)
    row = row.reshape(-1)
    if len(np.unique(row * len(asked) + at)) < len(table):
        raise ConfigError(
            str(path), "has two labels of one subject, prediction time and target, expected one",
            "keep one of each; `tawt label` writes no two",
        )  # fmt: skip

    def wide(column: NDArray[np.float64]) -> NDArray[np.float64]:
        out = np.full((len(rows), len(asked)), np.nan)
        out[row, at] = column
        return out

    nothing = np.empty((len(rows), 0))
    found = LabelSet(
        _name(path), sha256_file(path), how.name, rows[:, 0], rows[:, 1], tuple(map(str, asked)), wide(value),
        wide(numbers_of(table["duration_hours"])) if "duration_hours" in how.reads else nothing,
        wide(numbers_of(table["prior_count"])) if "prior_count" in table.column_names else nothing, classes,
    )  # fmt: skip
    if found.without.all():
        raise ConfigError(str(path), f"has no label in {len(rows)} prediction times, expected some", _HINT)
    return found if unlabelled else found.rows(~found.without)


def _read(path: Path, columns: Sequence[str] | None = None) -> tuple[pa.Table, Ints, Ints]:
    """Return the rows of a label set, with their subjects and times."""
    if path.is_file():  # else whoever reads it tells what it is
        hold_written(path)
    table = as_labels(read_parquet(path, columns, _HINT, ConfigError), str(path), ConfigError, answered=False)
    for name in no_spans(table):
        raise ConfigError(str(path), f"has a `{name}` that is no span of time, expected hours from 0", _HINT)
    return table, table["subject_id"].to_numpy(), table["prediction_time"].cast(pa.int64()).to_numpy()


def _name(path: Path) -> str:
    return path.parent.name if path.stem == "labels" else path.stem


def _kind_of(where: str, values: list[str], kind: str | None, usual: str | None = None) -> tuple[type[Kind], str]:
    """Return what is asked, and the column that answers it."""
    if not values:
        raise ConfigError(where, f"has no value, expected one of the columns {', '.join(COLUMNS)}")
    able = [one for one in KINDS.values() if values[0] in one.reads]
    known = [one for one in able if one.name == usual and not one.alone]  # a run knows what it was asked
    known += [one for one in able if one.known_by == values[0]]
    if kind is None and not known:
        raise ConfigError(
            where, f"has whole numbers, which may be {' or '.join(one.name for one in able)}, expected to know which",
            f"give {' or '.join(f'`--kind {one.name}`' for one in able)}",
        )  # fmt: skip
    how = KINDS[kind] if kind is not None else known[0]
    fitting = [name for name in values if name in how.reads]
    if not fitting:
        raise ConfigError(
            where, f"has {', '.join(f'`{name}`' for name in values)}, which answers no task of kind {kind}, expected "
            f"{' or '.join(f'`{name}`' for name in COLUMNS if name in how.reads)}",
            f"give `--kind {(known or able)[0].name}`",
        )  # fmt: skip
    return how, fitting[0]


def label_file(workspace: Path, task: str | Path) -> Path:
    """Return where a label set is: the file itself, or that of a name in WORKSPACE/labels.

    Raises:
        ConfigError: There is none of that name.
    """
    if Path(task).suffix in (".parquet", ".pq"):
        return Path(task)
    hold_workspace(workspace)
    folder = workspace / "labels"
    places = (folder / f"{task}.parquet", folder / str(task) / "labels.parquet")
    found = next((path for path in places if path.is_file()), None)
    if found is None:
        names = {path.stem for path in folder.glob("*.parquet")}
        names |= {path.parent.name for path in folder.glob("*/labels.parquet")}
        tasks = asked_by_name(workspace)
        near = "" if str(task) in tasks else closest(str(task), names | tasks) or nearest(str(task), names)
        raise ConfigError(
            f"{task}", f"is no label set in {folder}, expected a name or a .parquet file",
            near or f"write it first: `{command('label', task, workspace=workspace)}`",
        )  # fmt: skip
    return found
