"""The built-in stages, in the order of the flow, and the stages of a pipeline or a workspace with them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tawt.builtin.content_events import CONTENT_EVENTS
from tawt.builtin.contents import CONTENTS
from tawt.builtin.dataset import DATASET
from tawt.builtin.events import EVENTS
from tawt.builtin.kept import as_they_ran, kept_graph
from tawt.builtin.subjects import SUBJECTS
from tawt.builtin.triplets import TRIPLETS
from tawt.builtin.vocabulary import VOCABULARY
from tawt.config.pipeline import PipelineConfig
from tawt.errors import ConfigError, ContractError, StageError, nearest
from tawt.pipeline.holding import still
from tawt.pipeline.workspace import Workspace, open_workspace
from tawt.project import Project
from tawt.sources.graph import Graph
from tawt.sources.load import load_graph
from tawt.sources.stage import Stage

BUILT_IN = (SUBJECTS, CONTENTS, EVENTS, VOCABULARY, TRIPLETS, DATASET, CONTENT_EVENTS)


def stages_of(pipeline: PipelineConfig, project: Project | None = None) -> Graph:
    """Return all stages of a pipeline, the files of a project before tawt's.

    Raises:
        ConfigError: As of `load_graph`.
        StageError: As of `load_graph`.
    """
    return load_graph(pipeline, project, BUILT_IN)


def all_stages(workspace: Workspace) -> Graph:
    """Return all stages of a workspace's pipeline; what cannot run as it is written is as it ran.

    Raises:
        ConfigError: As of `load_graph`.
        StageError: As of `load_graph`.
    """
    return as_they_ran(stages_of(workspace.pipeline, workspace.project), workspace)


def graph_of(workspace: Workspace) -> Graph:
    """Return the stages of a workspace's pipeline, less those that the last ingest had no raw table for.

    Raises:
        ConfigError: As of `load_graph`.
        StageError: As of `load_graph`.
    """
    return all_stages(workspace).without_tables(workspace.ingested.absent_tables)


def seen_graph(workspace: Workspace) -> Graph:
    """Return the same for looking: where the project cannot be read, the stages that are there, as they ran.

    Raises:
        FileError: A record of the workspace is damaged.
    """
    try:
        return graph_of(workspace)
    except (ConfigError, ContractError, StageError) as fault:
        return kept_graph(workspace, BUILT_IN, fault)


def stage_of(graph: Graph, name: str) -> Stage:
    """Return a stage that runs here.

    Raises:
        ConfigError: There is none of that name, or it does not run.
    """
    if name not in graph.stages:
        if name in graph.skipped:
            why, hint = graph.why_not(name)
            raise ConfigError(f"stage {name}", f"does not run here: {why}, expected a stage that does", hint)
        raise ConfigError(f"stage {name}", "is not there, expected a stage", nearest(name, graph.stages))
    return graph.stages[name]


@contextmanager
def seen_stage(stage: str, workspace: str | Path, as_ran: bool = False) -> Iterator[tuple[Workspace, Graph, Stage]]:
    """Hold a workspace still, and give it, its stages, and the one of a name.

    Args:
        stage: The name.
        workspace: Where.
        as_ran: Whether stages are enough that are as they ran, where they cannot be read as they would run now.

    Raises:
        ConfigError: There is no such workspace or stage, or a command that changes the workspace is at work.
    """
    root = Path(workspace).expanduser()
    with still(root):
        opened = open_workspace(root)
        graph = seen_graph(opened) if as_ran else graph_of(opened)
        found = stage_of(graph, stage)
        if found.fault is not None and not as_ran:
            raise found.fault
        yield opened, graph, found
