"""The built-in stages, in the order of the flow, and the stages of a pipeline with them."""

from __future__ import annotations

from tawt.builtin.dataset import DATASET
from tawt.builtin.events import EVENTS
from tawt.builtin.subjects import SUBJECTS
from tawt.builtin.triplets import TRIPLETS
from tawt.builtin.vocabulary import VOCABULARY
from tawt.config.pipeline import PipelineConfig
from tawt.pipeline.workspace import Workspace
from tawt.project import Project
from tawt.sources.graph import Graph, load_graph

BUILT_IN = (SUBJECTS, EVENTS, VOCABULARY, TRIPLETS, DATASET)


def stages_of(pipeline: PipelineConfig, project: Project | None = None) -> Graph:
    """Return all stages of a pipeline, the files of a project before tawt's.

    Raises:
        ConfigError: As of `load_graph`.
        StageError: As of `load_graph`.
    """
    return load_graph(pipeline, project, BUILT_IN)


def all_stages(workspace: Workspace) -> Graph:
    """Return all stages of a workspace's pipeline.

    Raises:
        ConfigError: As of `load_graph`.
        StageError: As of `load_graph`.
    """
    return stages_of(workspace.pipeline, workspace.project)


def graph_of(workspace: Workspace) -> Graph:
    """Return the stages of a workspace's pipeline, less those that the last ingest had no raw table for.

    Raises:
        ConfigError: As of `load_graph`.
        StageError: As of `load_graph`.
    """
    return all_stages(workspace).without_tables(workspace.ingested.absent_tables)
