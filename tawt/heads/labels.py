"""A label set on disk -> one row per subject and prediction time, with all that is asked there side by side.

Any Parquet file of MEDS labels will do; `schemas/label_sets.json` says what more may be in it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from tawt.arrays import Ints
from tawt.contracts.cells import named
from tawt.contracts.label_columns import KEYS, as_labels, asked_names, in_order, no_spans
from tawt.errors import ConfigError, nearest
from tawt.heads.task import KINDS, Kind
from tawt.pipeline.fresh import hold_written
from tawt.readers import read_parquet
from tawt.seals import sha256_file
from tawt.shell import command

VALUES: dict[str, tuple[Kind, ...]] = {
    "duration_hours": ("time",),
    "categorical_value": ("classes",),
    "float_value": ("numbers",),
    "boolean_value": ("binary", "labels"),
    "integer_value": ("classes", "numbers"),
}
"""Columns of values, in the order in which they tell what kind of task it is -> the kinds that they serve."""
_ONE_AT_A_TIME = {"classes": "classes", "numbers": "numbers", "time": "times to an event"}
"""Kinds of which a head, or what stands beside it, answers one -> what they ask for."""
_OWN = re.compile(r"label|[\d.e+]+ h")
"""What is asked where there are no targets: the names are not of the labels."""
_HINT = "write it with `tawt label`, or give a file of MEDS labels"


@dataclass(frozen=True, eq=False)
class LabelSet:
    """`r` prediction times, and `c` things that are asked at each."""

    name: str
    """Of the file without its suffix, or of the folder of a `labels.parquet`."""
    sha256: str
    """Of the file."""
    kind: Kind
    """What is asked."""
    subject_id: Ints
    """`(r,)`."""
    time: Ints
    """`(r,)`, us since 1970-01-01."""
    asked: tuple[str, ...]
    """Names of what is asked, `(c,)`: targets and horizons."""
    value: NDArray[np.float64]
    """`(r, c)`: yes is 1 and no is 0; a number; the place of the class in `classes`; NaN = not known. Of a time to an
    event, whether it was seen."""
    duration: NDArray[np.float64]
    """`(r, c)`, hours to the event or to the end of watching; empty for other kinds."""
    prior: NDArray[np.float64]
    """`(r, c)`, how often it had come before; NaN = not told; empty where no row tells it."""
    classes: tuple[str, ...] = ()
    """Names of classes."""

    def __len__(self) -> int:
        return len(self.subject_id)

    @property
    def without(self) -> NDArray[np.bool_]:
        """`(r,)`, where nothing is known of what is asked."""
        return np.asarray(np.isnan(self.value).all(1))

    def named(self, names: Sequence[str]) -> dict[str, str]:
        """Return what classes, or things that are asked, may be called: hours, and what enough people have, by name."""
        holds = self.value[:, 0] == np.arange(len(self.classes))[:, None] if self.classes else ~np.isnan(self.value).T
        n = [len(np.unique(self.subject_id[one])) for one in holds]
        people = dict(zip(self.classes or self.asked, n, strict=True))
        told = named({name: people.get(name, 0) for name in names})
        return {name: name if not self.classes and _OWN.fullmatch(name) else told[name] for name in names}

    def rows(self, chosen: NDArray[np.bool_] | Ints) -> LabelSet:
        """Return some rows."""
        return replace(
            self, subject_id=self.subject_id[chosen], time=self.time[chosen], value=self.value[chosen],
            duration=self.duration[chosen], prior=self.prior[chosen],
        )  # fmt: skip

    def only(self, i: int) -> LabelSet:
        """Return one of the things that are asked, at the same prediction times."""
        own = slice(i, i + 1)
        return replace(
            self, kind="binary" if self.kind == "labels" else self.kind, asked=self.asked[own],
            value=self.value[:, own], duration=self.duration[:, own], prior=self.prior[:, own],
        )  # fmt: skip


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


def read_labels(
    path: Path, kind: Kind | None = None, *, unlabelled: bool = False, usual: Kind | None = None
) -> LabelSet:
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
    values = [name for name in VALUES if name in table.column_names and table[name].null_count < len(table)]
    kind, column = _kind_of(str(path), values, kind, usual)
    names = np.array(asked_names(table), dtype=object)
    asked, at = np.unique(names, return_inverse=True)
    if kind == "binary" and len(asked) > 1:
        kind = "labels"
    if kind in _ONE_AT_A_TIME and len(asked) > 1:
        raise ConfigError(
            str(path), f"asks for {len(asked)} {_ONE_AT_A_TIME[kind]} at one time, expected one",
            "write a label set for each target, or ask whether each comes",
        )  # fmt: skip
    value, classes = _values(table, column, kind)
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
        _name(path), sha256_file(path), kind, rows[:, 0], rows[:, 1], tuple(map(str, asked)), wide(value),
        wide(_numbers(table["duration_hours"])) if kind == "time" else nothing,
        wide(_numbers(table["prior_count"])) if "prior_count" in table.column_names else nothing, classes,
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


def _kind_of(where: str, values: list[str], kind: Kind | None, usual: Kind | None = None) -> tuple[Kind, str]:
    """Return what is asked, and the column that says it."""
    if not values:
        raise ConfigError(where, f"has no value, expected one of the columns {', '.join(VALUES)}")
    if kind is None:
        if values[0] == "integer_value" and usual not in VALUES["integer_value"]:
            raise ConfigError(
                where, "has whole numbers, which may be classes or counts, expected to know which",
                "give `--kind classes` or `--kind numbers`",
            )  # fmt: skip
        kind = usual if usual is not None and values[0] == "integer_value" else VALUES[values[0]][0]
    fitting = [name for name in values if kind in VALUES[name]]
    if not fitting:
        raise ConfigError(
            where, f"has {', '.join(f'`{name}`' for name in values)}, which answers no task of kind {kind}, expected "
            f"{' or '.join(f'`{name}`' for name in VALUES if kind in VALUES[name])}",
            f"give `--kind {VALUES[values[0]][0]}`",
        )  # fmt: skip
    if kind == "time" and "boolean_value" not in values:
        raise ConfigError(where, "has durations and no `boolean_value`, expected it to say which events were seen")
    return kind, fitting[0]


def _values(table: pa.Table, column: str, kind: Kind) -> tuple[NDArray[np.float64], tuple[str, ...]]:
    if kind == "time":
        column = "boolean_value"
    if kind != "classes":
        return _numbers(table[column]), ()
    texts = table[column].cast(pa.string())
    classes = in_order(pc.unique(texts.drop_null()).to_pylist())
    return _numbers(pc.index_in(texts, pa.array(classes))), tuple(classes)


def _numbers(column: pa.ChunkedArray) -> NDArray[np.float64]:
    return np.asarray(column.cast(pa.float64()).fill_null(float("nan")).to_numpy(), dtype=np.float64)


def label_file(workspace: Path, task: str | Path) -> Path:
    """Return where a label set is: the file itself, or that of a name in WORKSPACE/labels.

    Raises:
        ConfigError: There is none of that name.
    """
    if Path(task).suffix in (".parquet", ".pq"):
        return Path(task)
    if not workspace.is_dir():
        alike = nearest(workspace.name, [path.name for path in workspace.parent.glob("*/")])
        raise ConfigError(str(workspace), "is no folder, expected a workspace", alike or "`tawt ingest` makes one")
    folder = workspace / "labels"
    places = (folder / f"{task}.parquet", folder / str(task) / "labels.parquet")
    found = next((path for path in places if path.is_file()), None)
    if found is None:
        names = {path.stem for path in folder.glob("*.parquet")}
        names |= {path.parent.name for path in folder.glob("*/labels.parquet")}
        raise ConfigError(
            f"{task}", f"is no label set in {folder}, expected a name or a .parquet file",
            nearest(str(task), sorted(names)) or f"write it first: `{command('label', task, workspace=workspace)}`",
        )  # fmt: skip
    return found
