"""A task of any form, asked of what may come: history and continuation are a record, and the task is resolved on it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tawt.arrays import Floats, Ints
from tawt.builtin.all import graph_of
from tawt.config.pipeline import PipelineConfig
from tawt.contracts.label_columns import asked_names
from tawt.contracts.label_set import FOLDER
from tawt.database.connect import parquet_files, wrapped_errors
from tawt.errors import ConfigError, listed
from tawt.heads.kinds import KINDS
from tawt.heads.label_set import LabelSet
from tawt.labels.compile import compile_task
from tawt.labels.task import Task
from tawt.pipeline.manifest import manifest_at
from tawt.pipeline.plan import input_of
from tawt.pipeline.workspace import Workspace, manifest_path
from tawt.risks.continuations import Continued
from tawt.sources.sql_file import SqlFile, parameters_for

ROWS_AT_ONCE = 1_000_000
"""Events of histories and continuations that are asked about at once."""
_FITS = {
    "binary": ("binary", "labels"), "count": ("counts", "numbers"), "value": ("numbers",), "multiclass": ("classes",),
}  # fmt: skip
"""What a task answers -> kinds of labels that can be its truth."""


def hold_kind(task: Task, labels: LabelSet, where: str) -> None:
    """Hold that a task answers what labels say.

    Raises:
        ConfigError: It answers something else, or when something comes.
    """
    fitting = _FITS.get(task.label_type, ())
    if task.label_window is None or labels.kind not in fitting:
        said = f"answers with {task.label_type}" if task.label_window is not None else "has no label"
        raise ConfigError(
            where, f"{said}, and the labels are of kind {labels.kind}, expected a task that answers as they do",
            "time to an event is asked by `horizons`, each a yes or no" if task.label_type == "time_to_event"
            else "give the file of such a task with `--aces FILE`",
        )  # fmt: skip


def stage_asked(opened: Workspace, name: str) -> SqlFile | None:
    """Return the SQL of a label stage that can be asked of what may come; None where there is no stage of that name.

    Raises:
        ConfigError: It reads what no simulation holds.
    """
    stage = graph_of(opened).stages.get(f"{FOLDER}.{name}")
    if stage is None or stage.sql is None:
        return None
    if other := [one for one in stage.inputs if one != "events"]:
        raise ConfigError(
            stage.name, f"reads {listed(other)}, which no simulation holds, expected a stage that reads events alone",
            "say what to look for in an ACES file, and give it with `--aces FILE`",
        )  # fmt: skip
    return stage.sql


@dataclass
class Answered:
    """What `n` continuations of each of `d` labels say to each of `c` things that are asked."""

    total: Floats
    """`(d, c)` sums of answers, `(d, c, k)` of classes."""
    n_answers: Ints
    """`(d, c)`, continuations that have an answer."""
    n_cut: Ints
    """`(d,)`, continuations that were cut before all was seen that is asked."""
    n: int
    """Continuations of each."""

    @property
    def n_without(self) -> int:
        """Continuations that went on long enough, and that the task leaves out by its own rules."""
        return int(np.maximum(self.n - self.n_answers.min(1) - self.n_cut, 0).sum())

    def mean(self) -> Floats:
        """Return `(d, c)`, of classes `(d, k)`, the mean answer of those that have one; NaN where none has."""
        with np.errstate(invalid="ignore"):
            if self.total.ndim == 3:
                found: Floats = self.total[:, 0] / self.n_answers
                return found
            return np.asarray(self.total / self.n_answers)

    def bounds(self) -> tuple[Floats, Floats]:
        """Return `(d, c)` the least and the most of a yes or no: were all without an answer a no, or a yes."""
        return self.total / self.n, (self.total + self.n - self.n_answers) / self.n


def events_of(opened: Workspace) -> str:
    """Return the events of a workspace as they stand in `from`.

    Raises:
        ConfigError: There are none.
    """
    manifest = manifest_at(manifest_path(opened.root, "events"))
    if manifest is None:
        raise ConfigError(str(opened.root), "has no events, expected those of the records", "`tawt ingest` makes them")
    return parquet_files(input_of(opened.root, manifest).rows)


class Asking:
    """A task and the records that it is asked of, some at a time.

    Args:
        connection: A database that reaches the events.
        events: As they stand in `from`.
        labels: Of the rows that are continued, in that order.
        asked: An ACES task, or a label stage that reads events alone.
        n: Continuations of each label.
        where: What the task is called, for messages.
        pipeline: Of the workspace: its clock, and the values of parameters.
    """

    def __init__(
        self, connection: duckdb.DuckDBPyConnection, events: str, labels: LabelSet, asked: Task | SqlFile, n: int,
        where: str, pipeline: PipelineConfig,
    ) -> None:  # fmt: skip
        self.labels, self.n, self.where, self.connection, self._events = labels, n, where, connection, events
        self._columns = KINDS[labels.kind].reads
        self._is_stage = not isinstance(asked, Task)
        self._parameters: dict[str, Any] = {}
        if isinstance(asked, Task):
            # all samples are kept: which of a subject were drawn is said by the labels
            whole = asked.model_copy(update={"sampling": "all", "max_per_subject": None})
            self._select = (
                f"select * from ({compile_task(whole, 'simulated', pipeline.clock).drafts}) where _rule is null"
            )
        else:
            self._parameters = parameters_for(asked, pipeline.values)
            self._select = f"select *, null::timestamp as _closes from ({asked.text}) where _reason is null"
        width = (len(labels.classes),) if labels.kind == "classes" else ()
        shape = len(labels), len(labels.asked)
        self.answered = Answered(
            np.zeros((*shape, *width)), np.zeros(shape, np.int64), np.zeros(len(labels), np.int64), n
        )
        self._waiting: list[tuple[pa.Table, pa.Table]] = []
        self._n_waiting = 0

    def add(self, first: int, continued: Continued, events: pa.Table, n_known: int) -> None:
        """Take continuations of labels.

        Args:
            first: Number of the first label; the others follow it.
            continued: Of each.
            events: What came, as of `as_events`.
            n_known: Events that are known of these labels, about.
        """
        s, n = len(continued.asked), self.n
        row = first + np.arange(s) // n
        runs = pa.table({
            "number": row, "pseudo": row * n + continued.number, "subject_id": continued.records.subject_id,
            "moment": pa.array(self.labels.time[row]).cast(pa.timestamp("us")), "is_whole": continued.is_whole,
            "last": pa.array(continued.last()).cast(pa.timestamp("us")),
        })  # fmt: skip
        came = events.append_column("pseudo", pa.array(events["continuation"].to_numpy() + first * n))
        self._waiting.append((runs, came))
        self._n_waiting += events.num_rows + n_known * n
        if self._n_waiting >= ROWS_AT_ONCE:
            self.resolve()

    def resolve(self) -> None:
        """Answer for all that was taken so far."""
        if not self._waiting:
            return
        runs, came = (pa.concat_tables(tables) for tables in zip(*self._waiting, strict=True))
        self._waiting, self._n_waiting = [], 0
        with wrapped_errors(self.where):
            self._resolve(runs, came)

    def _resolve(self, runs: pa.Table, came: pa.Table) -> None:
        connection = self.connection
        connection.register("runs", runs)
        connection.register("came", came)
        connection.execute(_RECORDS.format(events=self._events))
        if self._is_stage:
            for name in ("events.events", "main.events"):
                connection.execute(f"create or replace view {name} as from simulated")
        answers = connection.sql(
            "select a.* exclude (subject_id, prediction_time), r.number as _label, r.pseudo as _pseudo "
            f"from ({self._select}) a join runs r on a.subject_id = r.pseudo and a.prediction_time = r.moment "
            "where r.is_whole or coalesce(a._closes < r.last, false)",
            params=self._parameters,
        ).to_arrow_table()  # fmt: skip
        cut = connection.sql("select number as _label, pseudo as _pseudo from runs where not is_whole").to_arrow_table()
        connection.unregister("runs")
        connection.unregister("came")
        self._count(answers, cut)

    def _count(self, answers: pa.Table, cut: pa.Table) -> None:
        there = [name for name in self._columns if name in answers.column_names]
        if not there:
            raise ConfigError(
                self.where, f"gives no {listed(self._columns)}, which the labels have, expected it", "see `tawt label`"
            )
        values, known = self._values(answers[there[0]])
        place = {name: i for i, name in enumerate(self.labels.asked)}
        names = asked_names(answers) if len(place) > 1 else [self.labels.asked[0]] * len(answers)
        if other := {*names} - {*place}:
            raise ConfigError(
                self.where, f"answers {len(other)} things that the labels do not ask, expected the same", "label again"
            )
        at = np.array([place[name] for name in names], dtype=np.int64)
        row, pseudo = (answers[name].to_numpy() for name in ("_label", "_pseudo"))
        # samples of one moment are one: of equal ones the largest is it
        order = np.lexsort((-values, at, pseudo))
        order = order[known[order]]
        new = np.ones(len(order), dtype=np.bool_)
        new[1:] = (pseudo[order][1:] != pseudo[order][:-1]) | (at[order][1:] != at[order][:-1])
        kept = order[new]
        of = self.answered
        np.add.at(of.n_answers, (row[kept], at[kept]), 1)
        if of.total.ndim == 3:
            np.add.at(of.total, (row[kept], at[kept], values[kept].astype(np.int64)), 1)
        else:
            np.add.at(of.total, (row[kept], at[kept]), values[kept])
        settled = np.isin(cut["_pseudo"].to_numpy(), pseudo[kept])
        np.add.at(of.n_cut, cut["_label"].to_numpy()[~settled], 1)

    def _values(self, column: pa.ChunkedArray) -> tuple[Floats, Any]:
        """Return answers as numbers, of classes their places, and which are known."""
        if self.labels.kind == "classes":
            if pa.types.is_integer(column.type):
                column = column.cast(pa.string())
            places = pc.index_in(column, pa.array(self.labels.classes, pa.string()))
            return places.fill_null(-1).to_numpy().astype(np.float64), places.is_valid().to_numpy()
        values = column.cast(pa.float64(), safe=False)
        return values.fill_null(0.0).to_numpy(), values.is_valid().to_numpy()


_RECORDS = """
create or replace temp table simulated as
with asked as (select distinct number, subject_id as who, moment from runs),
known as (
    select a.number, e.* exclude (subject_id) from {events} e join asked a on e.subject_id = a.who
    where (e.time is null or e.time <= a.moment) and coalesce(e.available_time, e.time, a.moment) <= a.moment
)
select r.pseudo as subject_id, k.* exclude (number) from known k join runs r using (number)
union all by name
select
    c.pseudo as subject_id, c.time, c.code, c.numeric_value, c.text_value, c.unit, c.value_status,
    'simulated' as source, 32767::smallint as table_rank, row_number() over () as source_row
from came c
"""
"""What was known of each record by both clocks, once for each of its continuations, and what came in that."""
