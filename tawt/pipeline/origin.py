"""Where a workspace's pipeline and project came from, and whether the pipeline says something else by now."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tawt.config.named import resolve_pipeline
from tawt.contracts.workspace import PIPELINE, is_workspace
from tawt.errors import TawtError
from tawt.files import digest
from tawt.pipeline.workspace import Workspace
from tawt.places import real
from tawt.project import Project
from tawt.shell import command


def source_of(name_or_file: str, project: Project) -> dict[str, str]:
    """Return what is remembered of the pipeline that an ingest takes; nothing where it is a workspace's own copy.

    Raises:
        ConfigError: It does not hold without overrides.
    """
    path = Path(name_or_file).expanduser()
    if path.name == PIPELINE and is_workspace(path.parent):
        return {}
    source = str(real(path)) if path.suffix else name_or_file
    return {"pipeline": source, "pipeline_hash": digest(_said_by(source, project))}


def source_edited(workspace: Workspace) -> str | None:
    """Return what to say where the pipeline that was ingested by says something else now; None where it does not."""
    local = workspace.local
    if local.pipeline is None or without_project(workspace):
        return None
    try:
        now = _said_by(local.pipeline, workspace.project)
    except TawtError as error:
        named = Path(local.pipeline)
        path = named if named.suffix else workspace.project.find(f"pipelines/{named}.yaml")
        if path is None or not path.is_file():  # it is gone, and what it would say is not known
            return None
        return f"the pipeline {local.pipeline} cannot be read as it is now ({error.what.partition(', expected')[0]})"
    if digest(now) == local.pipeline_hash:
        return None
    before = workspace.pipeline.model_dump(mode="json")
    keys = ", ".join(sorted(key for key in now if now[key] != before.get(key))) or "overrides alone differ"
    again = command("ingest", local.raw_root or "RAW_DIR", pipeline=local.pipeline, workspace=workspace.root)
    return f"the pipeline {local.pipeline} was edited since the ingest ({keys}); `{again}` takes it over"


def _said_by(source: str, project: Project) -> dict[str, Any]:
    return resolve_pipeline(source, (), project).model_dump(mode="json", exclude={"description"})


def without_project(workspace: Workspace) -> bool:
    """Return whether the project, whose files stages were made from, is not here to be looked at."""
    try:
        return workspace.project is None
    except TawtError:
        return True
