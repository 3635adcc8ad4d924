"""What is looked for in continuations: whether a code comes, or whatever an ACES task or a label stage asks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pyarrow as pa

from tawt.arrays import Ints
from tawt.builtin.all import graph_of
from tawt.contracts.dataset import US_PER_HOUR
from tawt.contracts.label_set import about_labels
from tawt.errors import ConfigError
from tawt.heads.label_set import LabelSet
from tawt.labels.ahead import Ahead, ahead_of
from tawt.labels.find import asked_for
from tawt.labels.keep import hold_task, task_of
from tawt.labels.task import Task, read_task
from tawt.labels.windows import furthest
from tawt.pipeline.workspace import Workspace
from tawt.risks.estimates import Batches, Estimates, Trajectories, by_estimators, by_records
from tawt.risks.records import Asking, events_of, hold_kind, stage_asked
from tawt.risks.simulate import BEST, Simulation
from tawt.runs.load import LoadedDecoder
from tawt.sources.sql_file import SqlFile


@dataclass(frozen=True)
class Wanted:
    """A question, and how it is asked."""

    opened: Workspace
    connection: duckdb.DuckDBPyConnection
    where: str
    """What the task is called."""
    decoder: LoadedDecoder
    ahead: Ahead | None
    """Whether a code comes, where that is all."""
    asked: Task | SqlFile
    """The task itself."""
    length: int | None
    """us from the prediction time, behind which nothing is asked; None = it hangs on what comes."""

    @property
    def is_plain(self) -> bool:
        """Whether all that is asked is whether a code comes."""
        return self.ahead is not None

    @property
    def best(self) -> str:
        """The estimator whose answer is told first."""
        return BEST[self.is_plain]

    def simulate(
        self, labels: LabelSet, end: Ints, batches: Batches, how: Simulation, written: Trajectories,
        heard: Callable[[int], None] = lambda n: None,
    ) -> Estimates:  # fmt: skip
        """Ask; see `by_estimators` and `by_records`.

        Args:
            labels: `r` of them.
            end: `(r,)`, prediction times, us since the moment that each document's times count from.
            batches: What was known.
            how: Records are continued.
            written: Where continuations are written.
            heard: Estimates how many labels are done.
        """
        if self.ahead is not None:
            kept = written if written.folder is not None else None
            return by_estimators(self.decoder, batches, self.ahead, end, how, kept, heard)
        asking = Asking(
            self.connection, events_of(self.opened), labels, self.asked, how.n, self.where, self.opened.pipeline
        )
        return by_records(self.decoder, batches, asking, end, self.length, how, written, heard)


def wanted(
    opened: Workspace, connection: duckdb.DuckDBPyConnection, file: Path, labels: LabelSet, decoder: LoadedDecoder,
    aces: str | Path | None, predicates: str | Path | None, hours: float | None = None,
) -> Wanted:  # fmt: skip
    """Return what a label set asks of the time ahead.

    Args:
        opened: The workspace.
        connection: A database that reaches it.
        file: Of the labels.
        labels: As they were read.
        decoder: Whose vocabulary says which codes can come.
        aces: What to look for, where the labels do not say it.
        predicates: The dataset's own predicates of that file.
        hours: How long to follow, where the task does not say it.

    Raises:
        ConfigError: Nothing says what to look for, or it cannot be asked of a simulation.
    """
    where, asked = _task(opened, file, labels, aces, predicates)
    if isinstance(asked, Task):
        hold_kind(asked, labels, where)
        connection.register("vocabulary_codes", pa.table({"code": [*decoder.vocabulary.codes]}))
        ahead = ahead_of(connection, asked, "vocabulary_codes") if labels.kind == "binary" else None
        length = furthest(asked)
        if ahead is not None and not ahead.outcome:
            raise ConfigError(
                where, "asks for codes of which the decoder's vocabulary has none: they never came in train",
                "pretrain on records that hold the outcome",
            )  # fmt: skip
    else:
        ahead, length = None, None
    if hours is not None:
        if length is not None:
            raise ConfigError("--hours", "is given, and the task says how far it looks, expected one", "leave it out")
        if ahead is not None:
            ahead = Ahead(ahead.outcome, ahead.ends, round(hours * US_PER_HOUR))
        length = round(hours * US_PER_HOUR)
    return Wanted(opened, connection, where, decoder, ahead, asked, length)


def _task(
    opened: Workspace, file: Path, labels: LabelSet, aces: str | Path | None, predicates: str | Path | None
) -> tuple[str, Task | SqlFile]:
    about = about_labels(file)
    is_own = about is not None and "task" in about.made_of
    if aces is not None and not Path(aces).is_file() and Path(aces).suffix == "":
        ready = asked_for(
            str(aces), graph_of(opened), opened.pipeline.source,
            predicates=Path(predicates) if predicates is not None else None,
        )  # fmt: skip
        if ready.form != "aces":
            raise ConfigError(f"--aces {aces}", "is no ACES task, expected a file or a ready task", "see `tawt label`")
        looked_for = ready.read()
        if is_own:
            hold_task(looked_for, about, aces)
        return str(aces), looked_for
    if aces is not None and not is_own:  # the labels say whom, when and what came; the file what to look for
        return str(aces), read_task(Path(aces), Path(predicates) if predicates is not None else None)
    if (task := task_of(opened, about, aces, predicates)) is not None:
        return str(file), task
    stage = stage_asked(opened, labels.name) if about is None else None
    if stage is None:
        raise ConfigError(
            str(file), "is of no ACES task that is known here, expected one: it says what to look for",
            "make it by `tawt label` of a ready task, or give the file with `--aces FILE`",
        )  # fmt: skip
    return stage.name, stage
