"""`tawt label`: a task and the events of a workspace -> a label set, which says what it was made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import duckdb
import pyarrow as pa

from tawt.builtin.all import graph_of
from tawt.commands.run import run
from tawt.contracts.label_columns import as_labels
from tawt.contracts.label_set import AboutLabels, about_labels, label_path
from tawt.contracts.workspace import is_outside
from tawt.database.connect import connect
from tawt.database.limits import Limits
from tawt.errors import ConfigError, StageError
from tawt.files import digest, made_folder, write_parquet
from tawt.labels.count import counts_of, of_one_answer
from tawt.labels.derive import attrition_rows, derive
from tawt.labels.find import Asked, Known, asked_for, known_tasks
from tawt.labels.judge import judge
from tawt.labels.keep import keep, reason_to_make, task_hash
from tawt.labels.meds import meds_labels
from tawt.labels.predicates_sql import absent
from tawt.labels.task import Task
from tawt.machine import version_of
from tawt.pipeline.fresh import hold_written
from tawt.pipeline.holding import hold
from tawt.pipeline.keys import Now
from tawt.pipeline.ledger import made_events, mend_of, needed, standing
from tawt.pipeline.manifest import Manifest
from tawt.pipeline.plan import input_of
from tawt.pipeline.relations import bind_output
from tawt.pipeline.run import Report, RunResult
from tawt.pipeline.workspace import Workspace, open_workspace
from tawt.places import real
from tawt.readers import read_parquet
from tawt.seals import sha256_file
from tawt.shell import command


@dataclass(frozen=True)
class LabelResult:
    """A label set, and what there is to know of it."""

    name: str
    """What `finetune` and `evaluate` know it by."""
    path: Path
    """Where it lies."""
    reason: str | None
    """Why it was made; None = it was up to date."""
    kind: str | None = None
    """What `finetune` has to be told of it; None = its columns say it."""
    n_labels: int = 0
    """Its rows."""
    counts: Sequence[Mapping[str, str]] = ()
    """Subjects and labels by split and answer, as texts that tell of no few people."""
    attrition: Sequence[Mapping[str, str]] = ()
    """Who is left after each rule of the task, as such texts."""
    stage: RunResult | None = None
    """What became of the records of a SQL stage."""
    meds: Sequence[Path] = ()
    """The same in the form of MEDS, where that was asked for."""
    of_task: bool = False
    """Whether a task says what it asks for, so that a decoder can be asked it too."""
    dry_run: bool = False


@dataclass(frozen=True)
class _Made:
    labels: pa.Table
    attrition: Sequence[Mapping[str, str]] = ()


def label(
    task: str | Path, workspace: str | Path, *, predicates: str | Path | None = None, name: str | None = None,
    meds: str | Path | None = None, threads: int | None = None, memory_limit: str | None = None, force: bool = False,
    dry_run: bool = False, report: Report = lambda event: None,
) -> LabelResult:  # fmt: skip
    """Make a label set: WORKSPACE/labels/NAME/labels.parquet.

    Args:
        task: Name of a label stage or of a ready task, an ACES file, or a Parquet file (or a folder of such) of MEDS
            labels.
        workspace: A workspace that `ingest` made.
        predicates: A file of the dataset's own predicates, laid over those of an ACES task.
        name: What the label set is called; by default as the task.
        meds: A folder to write it to as MEDS has labels, a file for each thing that is asked.
        threads: Threads; all cores by default.
        memory_limit: As `2GB`; 60 % of the memory by default.
        force: Make it even if it is up to date.
        dry_run: Only say whether it would be made, and why.
        report: Hears `{"event": "note", ...}`, of a SQL stage what `run` tells, and of a task `{"event": "attrition",
            "rows": ...}`, who is left after each rule.

    Raises:
        ConfigError: There is no such task or workspace, or a file of somebody else's has the place of the label set.
        ContractError: A file holds no labels.
        FileError: A file is damaged.
        StageError: There are no events, or nothing can be learned from the labels: says why, with counts.
    """
    root, limits = Path(workspace).expanduser(), Limits.of(threads, memory_limit)
    open_workspace(root)
    with hold(root, dry_run):
        opened = open_workspace(root)  # as the command before left it
        graph = graph_of(opened)
        over = Path(predicates).expanduser() if predicates is not None else None
        listing = command("label", workspace=root)
        asked = asked_for(
            str(task), graph, opened.pipeline.source, predicates=over, name=name, listing=listing
        )  # fmt: skip
        there = standing(opened, graph, Now(opened))
        events = made_events(opened, there, "label", report)
        work = _Work(opened, events, limits, report)
        folder = Path(meds).expanduser() if meds is not None else None
        if asked.form != "sql":
            return _as_meds(work.of_task(asked, force, dry_run), folder)
        stage = f"labels.{asked.name}"
        try:
            ran = run(
                stage, root, threads=threads, memory_limit=memory_limit, force=force, dry_run=dry_run, report=report
            )
        except StageError as error:
            if not any(one.stale or one.manifest is None for one in needed(there, stage)[:-1]):
                raise
            raise StageError(error.where, error.what, f"`{mend_of(opened, there, stage)}`") from None
        return _as_meds(work.of_stage(asked, ran), folder)


def _as_meds(made: LabelResult, folder: Path | None) -> LabelResult:
    """Write a label set once more as MEDS has it, where that was asked for."""
    if folder is None or made.dry_run:
        return made
    written = []
    with made_folder(folder, private := is_outside(folder)):
        for name, table in meds_labels(read_parquet(made.path), made.name).items():
            written.append(folder / f"{name}.parquet")
            write_parquet(written[-1], table, private, compression="zstd")
    return replace(made, meds=tuple(written))


def label_tasks(workspace: str | Path) -> list[Known]:
    """List the tasks that labels can be made of in a workspace, and those that cannot be asked there, with the reason.

    Args:
        workspace: A workspace that `ingest` made.

    Raises:
        ConfigError: There is no such workspace.
    """
    opened = open_workspace(Path(workspace).expanduser())
    file = opened.output("events") / "metadata" / "codes.parquet"
    codes = read_parquet(file, ["code"])["code"].to_pylist() if file.is_file() else None
    return known_tasks(graph_of(opened), opened.pipeline.source, codes)


@dataclass(frozen=True)
class _Work:
    """A workspace with its events, and how to work in it."""

    opened: Workspace
    events: Manifest
    limits: Limits
    report: Report

    def of_stage(self, asked: Asked, ran: RunResult) -> LabelResult:
        """Tell of what a SQL stage gave."""
        path = label_path(self.opened.root, asked.name)
        (one,) = ran.stages
        result = LabelResult(asked.name, path, one.reason, stage=ran, dry_run=ran.dry_run)
        if ran.dry_run:
            return result
        labels = read_parquet(path)
        if ran.n_run == 0:  # events may be others now than those that it was held to
            with closing(self._connected()) as connection:
                self._judge(connection, labels, asked.name)
        return self._told(result, labels)

    def of_task(self, asked: Asked, force: bool, dry_run: bool) -> LabelResult:
        """Make the label set of a task or of files, unless it is up to date."""
        task = asked.read() if asked.form == "aces" else None
        made_of = {
            **({"task": task_hash(task)} if task is not None else {"file": digest([*map(sha256_file, _files(asked))])}),
            "events": self.events.content, "clock": self.opened.pipeline.clock, "tawt": version_of("tawt"),
        }  # fmt: skip
        path = label_path(self.opened.root, asked.name)
        if real(path) in map(real, asked.files):
            raise ConfigError(
                str(path), "is a label set of this workspace, expected one from elsewhere", "use its name"
            )
        result = LabelResult(asked.name, path, reason_to_make(self.opened, asked.name, made_of, force),
                             of_task=task is not None, dry_run=dry_run)  # fmt: skip
        if dry_run:
            return result
        if result.reason is None:
            about = about_labels(path)
            assert about is not None
            return self._told(replace(result, attrition=about.attrition), read_parquet(path))
        with closing(self._connected()) as connection:
            made = self._derived(connection, task) if task is not None else self._given(asked)
            self._judge(connection, made.labels, asked.name)
        about = AboutLabels(
            form="aces" if task is not None else "meds", task=asked.told, made_of=made_of,
            attrition=tuple(map(dict, made.attrition)),
        )  # fmt: skip
        keep(self.opened, asked.name, made.labels, about)
        return self._told(replace(result, attrition=made.attrition), made.labels)

    def _connected(self) -> duckdb.DuckDBPyConnection:
        connection = connect(self.limits, [self.opened.root], self.opened.spill, self.opened.project)
        bind_output(connection, input_of(self.opened.root, self.events))
        return connection

    def _derived(self, connection: duckdb.DuckDBPyConnection, task: Task) -> _Made:
        derived = derive(connection, task, clock=self.opened.pipeline.clock, limits=self.limits)
        for name in absent(connection, task):
            self.report({"event": "note", "text": f"no event has the code of the predicate `{name}`"})
        rows = attrition_rows(derived.attrition)
        self.report({"event": "attrition", "rows": rows})  # before the judgment, which it may explain
        return _Made(derived.labels, rows)

    def _given(self, asked: Asked) -> _Made:
        table = pa.concat_tables(map(read_parquet, asked.files), promote_options="default")
        labels = as_labels(table, str(asked.files[0]))
        if n := len(table.column_names) - len(labels.column_names):
            text = f"{n:,} column{'s' * (n > 1)} that a label set does not have {'are' if n > 1 else 'is'} left out"
            self.report({"event": "note", "text": text})
        return _Made(labels)

    def _judge(self, connection: duckdb.DuckDBPyConnection, labels: pa.Table, name: str) -> None:
        judge(connection, labels, f"labels.{name}", clock=self.opened.pipeline.clock)

    def _told(self, result: LabelResult, labels: pa.Table) -> LabelResult:
        splits = read_parquet(self.opened.output("events") / "metadata" / "subject_splits.parquet")
        there = {name for name in labels.column_names if labels[name].null_count < len(labels)}
        answers = there & {"duration_hours", "categorical_value", "float_value", "boolean_value", "integer_value"}
        kind = "counts" if answers == {"integer_value"} else None
        counts = counts_of(labels, splits)
        for split in of_one_answer(counts):
            text = f"all labels of {split} have one answer: nothing is learned or measured there"
            self.report({"event": "note", "text": text})
        return replace(result, kind=kind, n_labels=len(labels), counts=counts)


def _files(asked: Asked) -> tuple[Path, ...]:
    for file in asked.files:
        read_parquet(file, columns=[])  # that it is there, and one
        hold_written(file)
    return asked.files
