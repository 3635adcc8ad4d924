"""What somebody means by a task: a label stage, a ready task, an ACES file, or labels that are there already."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tawt.contracts.label_set import FILE
from tawt.contracts.layers import TASKS
from tawt.errors import ConfigError, closest, listed
from tawt.labels.predicates_sql import hindered
from tawt.labels.ready import PREDICATES, ready_tasks
from tawt.labels.task import Task, read_predicates, read_task, unsaid
from tawt.sources.graph import Graph

_NAME = re.compile(r"\w[\w-]{0,99}", re.ASCII)
_YAML, _PARQUET = (".yaml", ".yml"), (".parquet", ".pq")


@dataclass(frozen=True)
class Asked:
    """A task as it was asked for."""

    name: str
    """Of the label set that comes of it."""
    form: Literal["sql", "aces", "meds"]
    """A stage of the source, an ACES task, or labels in files."""
    files: tuple[Path, ...] = ()
    """The task, or the labels."""
    predicates: Path | None = None
    """The dataset's own predicates."""
    ready: bool = False
    """Whether it comes with tawt or the project."""

    @property
    def told(self) -> str:
        """What it was asked by, without the folder of a file."""
        return self.name if self.form == "sql" or self.ready else self.files[0].name

    def read(self) -> Task:
        """Read the task.

        Raises:
            ConfigError: It does not hold.
        """
        return read_task(self.files[0], self.predicates)


@dataclass(frozen=True)
class Known:
    """A task that a source has, and whether it can be asked of it."""

    name: str
    """What `tawt label` is given."""
    state: Literal["stage", "ready", "no events", "refused"]
    """A label stage, a ready task, one of which no event tells, or one that the source cannot answer."""
    says: str
    """What it asks; of one that cannot be asked, why."""

    @property
    def can_be_asked(self) -> bool:
        """Whether labels may come of it."""
        return self.state in ("stage", "ready")


def known_tasks(graph: Graph, source: str, codes: Sequence[str] | None = None) -> list[Known]:
    """Return the label stages and the ready tasks of a source, those that cannot be asked with the reason.

    Args:
        graph: Its stages.
        source: Of a pipeline.
        codes: All that events have, where there are any yet.
    """
    found = [
        Known(name.partition(".")[2], "stage", stage.summary)
        for name, stage in graph.stages.items() if name.startswith("labels.")
    ]  # fmt: skip
    found += [
        Known(name.partition(".")[2], "refused", str(skip))
        for name, skip in graph.skipped.items() if name.startswith("labels.")
    ]  # fmt: skip
    own = graph.project.find(f"sql/{source}/{TASKS}/{PREDICATES}.yaml")
    refused = read_predicates(own).refused if own is not None else {}
    for name, path in ready_tasks(graph.project, source).items():
        if (why := refused.get(name) or _unsaid(path, own)) is None:
            try:
                task = read_task(path, own)
            except ConfigError as error:
                why = error.of(source)
            else:
                lacking = hindered(task, codes) if codes is not None else []
                says = f"no event has a code of {listed(lacking)}" if lacking else str(task.description or "")
                found.append(Known(name, "no events" if lacking else "ready", says))
                continue
        found.append(Known(name, "refused", why))
    order = ("stage", "ready", "no events", "refused")
    return sorted(found, key=lambda one: (order.index(one.state), one.name))


def _unsaid(path: Path, predicates: Path | None, given: Path | None = None) -> str | None:
    """Return why a ready task cannot be asked: nothing, or no file that was given, says what it asks for is called."""
    lacking = unsaid(path, predicates)
    where = f"{given} does not say" if given is not None else "nothing says"
    return f"{where} what {listed(lacking)} is called there" if lacking else None


def asked_for(
    task: str, graph: Graph, source: str, *, predicates: Path | None = None, name: str | None = None,
    listing: str = "tawt label",
) -> Asked:  # fmt: skip
    """Return what is meant by a task.

    Args:
        task: A name, an ACES file, or Parquet files of labels.
        graph: The stages of the workspace.
        source: Of its pipeline.
        predicates: The dataset's own predicates, in the place of those of the source.
        name: What the label set is to be called.
        listing: The command that lists all tasks; for a hint.

    Raises:
        ConfigError: Nothing is meant by it, or what is meant cannot be called so.
    """
    asked = _asked(task, graph, source, predicates, listing)
    if predicates is not None and asked.form != "aces":
        raise ConfigError("--predicates", "is given of what has no predicates, expected an ACES task", "leave it out")
    if name is not None:
        if asked.form == "sql":
            raise ConfigError("--name", f"is given of the stage labels.{asked.name}, which has one", "leave it out")
        asked = Asked(name, asked.form, asked.files, asked.predicates)
    if not _NAME.fullmatch(asked.name):
        raise ConfigError(
            f"label set `{asked.name}`", "is no name, expected letters, digits, `_` and `-`", "give one: `--name NAME`"
        )
    if asked.form != "sql" and f"labels.{asked.name}" in {*graph.stages, *graph.skipped}:
        raise ConfigError(
            f"label set `{asked.name}`", "is called like a label stage of the source, expected another name",
            "give one: `--name NAME`",
        )  # fmt: skip
    return asked


def _asked(task: str, graph: Graph, source: str, predicates: Path | None, listing: str) -> Asked:
    path = Path(task).expanduser()
    own = graph.project.find(f"sql/{source}/{TASKS}/{PREDICATES}.yaml")
    if path.suffix in _YAML:  # what its author wrote is whole, unless a file is given to lay over
        return Asked(path.stem, "aces", (path,), predicates)
    if path.suffix in _PARQUET:
        return Asked(path.parent.name if path.name == FILE else path.stem, "meds", (path,))
    if path.suffix == ".sql":
        raise ConfigError(
            task, "is a SQL file, expected the name of a label stage",
            f"put it into sql/{source}/labels/ of your project, then `tawt label {path.stem}`",
        )  # fmt: skip
    if path.suffix == ".csv":
        raise ConfigError(
            task, "is a CSV file, which says of no column of what kind it is, expected a Parquet file",
            f"make one, in Python: `polars.read_csv({task!r}, try_parse_dates=True)"
            f".write_parquet({str(path.with_suffix('.parquet'))!r})`",
        )  # fmt: skip
    name = task.removeprefix("labels.")
    if f"labels.{name}" in {*graph.stages, *graph.skipped}:
        return Asked(name, "sql")
    ready = ready_tasks(graph.project, source)
    if name in ready:
        why = read_predicates(own).refused.get(name) if predicates is None and own is not None else None
        if (why := why or _unsaid(ready[name], predicates or own, predicates)) is not None:
            raise ConfigError(
                f"task `{name}`", f"cannot be asked of `{source}`: {why}, expected another task",
                "where your data tells it, give a file of its predicates: `--predicates FILE`",
            )  # fmt: skip
        return Asked(name, "aces", (ready[name],), predicates or own, ready=True)
    if path.is_dir() and (files := sorted(one for kind in _PARQUET for one in path.rglob(f"*{kind}"))):
        return Asked(path.name, "meds", tuple(files))
    stages = [one.partition(".")[2] for one in graph.stages if one.startswith("labels.")]
    like = closest(name, [*ready, *stages])
    raise ConfigError(
        f"task `{task}`",
        f"is no label stage and no ready task of `{source}`, expected one of both, a YAML file or a Parquet file",
        f"{like} all are listed by `{listing}`".strip(),
    )
