"""A stage's SQL: what ran, what would run now, and the file of a project in which to edit it."""

from __future__ import annotations

import difflib
import re
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tawt.builtin.all import all_stages, seen_graph, stage_of, stages_of
from tawt.config.named import placed
from tawt.database.connect import connect, wrapped_errors
from tawt.database.limits import Limits
from tawt.errors import ConfigError, FileError, StageError
from tawt.files import write_text
from tawt.pipeline.holding import still
from tawt.pipeline.manifest import Manifest, read_manifest, unfinished
from tawt.pipeline.workspace import Workspace, given_pipeline, open_workspace
from tawt.project import Project
from tawt.readers import MAX_WRITTEN_BYTES, read_text
from tawt.shell import command, shell_line
from tawt.sources.given import make_relations
from tawt.sources.graph import Graph
from tawt.sources.held import held_on
from tawt.sources.sql_file import parameters_for
from tawt.sources.stage import Stage
from tawt.sources.tables import Tables
from tawt.sources.written import of_sql

_MADE = re.compile(r"^(-- made from [^;\n]*); .*$", re.MULTILINE)
"""What a declared select says of how to make a file of it."""


@dataclass(frozen=True)
class StageSql:
    """The SQL of one stage."""

    text: str
    """What made the output that is there; where there is none, what would make it."""
    parameters: dict[str, Any]
    """What the pipeline binds to it now."""
    now: str
    """What would run now."""
    place: str
    """The file that says so."""
    ran: bool
    """Whether `text` is what made an output."""
    unfinished: str
    """In words, why it is not; empty where it is."""
    stage: Stage
    """What it is of."""
    of_pipeline: bool
    """Whether a pipeline was asked, which has no outputs."""
    changes: dict[str, str]
    """What has changed since, the file or a macro that it hangs on -> how, as a unified diff."""

    @property
    def state(self) -> str:
        """Whether it ran, and whether something else would now, in words."""
        if not self.ran:
            return self.place if self.of_pipeline else f"{self.place}; its output {self.unfinished}"
        return f"as it ran; changed since: {', '.join(self.changes)}" if self.changes else "as it ran, and as it is now"


def sql(stage: str, workspace: str | Path | None = None, pipeline: str | None = None) -> StageSql:
    """Return a stage's SQL: what ran, and what would run now, with the parameters that its pipeline binds.

    Args:
        stage: `<layer>.<name>`.
        workspace: A workspace that `ingest` made.
        pipeline: Instead, the name or file of a pipeline.

    Raises:
        ConfigError: There is no such stage, or it has no SQL.
    """
    return _look(stage, workspace, pipeline, as_ran=True)[0]


def held_sql(stage: str, workspace: str | Path | None = None, pipeline: str | None = None) -> str:
    """Return the text that would run now, to its end: a stage's select, wrapped so that it holds to its contract.

    Args:
        stage: `<layer>.<name>`.
        workspace: A workspace that `ingest` made.
        pipeline: Instead, the name or file of a pipeline.

    Raises:
        ConfigError: There is no such stage, or it has no SQL.
        ContractError: It gives what its contract does not have, or lacks what follows from nothing.
        StageError: The engine refuses it.
    """
    found, project, source, _ = _look(stage, workspace, pipeline, held=True)
    with closing(connect(Limits.of(1), [], project=project)) as connection:
        make_relations(connection, Tables(project, source), found.stage.inputs)
        with wrapped_errors(stage, found.now):
            return held_on(connection, found.stage, found.parameters)


def write_sql(stage: str, workspace: str | Path | None = None, pipeline: str | None = None) -> Path:
    """Write the SQL that a stage would run now as a file of the project, which from then on is what runs.

    Args:
        stage: `<layer>.<name>`.
        workspace: A workspace that `ingest` made with a project.
        pipeline: Instead, the name or file of a pipeline, of the project that it is looked for in.

    Returns:
        The file.

    Raises:
        ConfigError: There is no such stage, no project, or the file is there already.
        FileError: The file cannot be written.
    """
    found, project, source, opened = _look(stage, workspace, pipeline, write=True)
    layer, _, name = stage.partition(".")
    if project.root is None:
        raise ConfigError("--write", "has no project to write in, expected one", _make_project(opened))
    path = project.root / "sql" / source / layer / f"{name}.sql"
    if path.exists():
        raise ConfigError(str(path), "is there already, expected no file", "edit it: it is what runs")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, _MADE.sub(r"\g<1>, and edited here since", found.now, count=1))
    except OSError as error:
        what = f"cannot be written ({error.strerror}), expected a folder that may be written in"
        raise FileError(str(path), what, "give the right to") from None
    return path


def _make_project(opened: Workspace | None) -> str:
    """Return the hint that makes a project."""
    if opened is None:
        return "make one of the current folder: `mkdir sql`; or give a pipeline's file, whose project it is then"
    name = opened.pipeline.name
    copy = shell_line("cp", str(opened.root.absolute() / "pipeline.yaml"), f"pipelines/{name}.yaml")
    again = command("ingest", opened.raw_root or "RAW_DIR", pipeline=name, workspace=opened.root.absolute())
    return f"make one, in a folder of your own: `mkdir pipelines && {copy} && {again}`"


def _look(
    stage: str, workspace: str | Path | None, pipeline: str | None, as_ran: bool = False, **asked: bool
) -> tuple[StageSql, Project, str, Workspace | None]:
    if workspace is None and pipeline is None:
        here = Project.here()
        own = [name for name, path in here.files("pipelines", ".yaml").items() if here.owns(path)]
        raise ConfigError(
            "sql",
            "has nothing to look in, expected a workspace or a pipeline",
            f"for example `{command('sql', stage, pipeline=own[0] if own else 'demo', **asked)}`",
        )
    if workspace is None:
        resolved, project = given_pipeline(str(pipeline))
        with placed(str(pipeline), (), project):
            graph = stages_of(resolved, project)
        found = _of(graph, stage, resolved.values, None, "", as_ran, pipeline=pipeline)
        return found, project, resolved.source, None
    root = Path(workspace).expanduser()
    with still(root):
        opened = open_workspace(root)
        manifest = read_manifest(opened, stage)
        lack = unfinished(opened, stage) if manifest is None else ""
    graph = seen_graph(opened) if as_ran else all_stages(opened)
    found = _of(graph, stage, opened.pipeline.values, manifest, lack, as_ran, workspace=workspace)
    return found, graph.project, opened.pipeline.source, opened


def _of(
    graph: Graph, stage: str, values: Any, manifest: Manifest | None, lack: str, as_ran: bool, **where: object
) -> StageSql:
    found = stage_of(graph, stage)
    fault = graph.fault or found.fault
    if fault is not None and not as_ran:
        raise fault
    if found.sql is None:
        hint = command("show", stage, **where) if "workspace" in where else command("stages", **where)
        raise ConfigError(f"stage {stage}", "is code, expected a stage with SQL", hint)
    now, place = found.sql.text, str(found.sql.path)
    if fault is not None and found.sql.path.is_file():  # as it stands there, whether it can run or not
        now = read_text(found.sql.path, "mend the file", StageError, "the text of a stage", MAX_WRITTEN_BYTES)
    ran = manifest.sql if manifest is not None else None
    # what a contract describes is a remark in the select that follows from it
    texts = {}
    if ran is not None and not (found.sql.declared and of_sql(ran) == of_sql(now)):
        texts[place] = (ran, now, place)
    macros = manifest.macros if manifest is not None else {}
    texts |= {
        f"macro {one.name}": (macros[one.name], one.text, str(one.path))
        for one in found.sql.macros
        if one.name in macros
    }
    changes = {name: change for name, one in texts.items() if (change := _diff(*one))}
    return StageSql(ran or now, parameters_for(found.sql, dict(values)), now, place, ran is not None, lack, found,
                    "pipeline" in where, changes)  # fmt: skip


def _diff(ran: str, now: str, place: str) -> str:
    lines = difflib.unified_diff(ran.splitlines(), now.splitlines(), "as it ran", place, lineterm="")
    return "".join(f"{line}\n" for line in lines)
