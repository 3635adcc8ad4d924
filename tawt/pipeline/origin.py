"""Where a workspace's pipeline and project came from, and what the pipeline would be if it were read now."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tawt.config.named import resolve_pipeline
from tawt.config.pipeline import PipelineConfig
from tawt.contracts.workspace import PIPELINE, is_workspace
from tawt.errors import TawtError
from tawt.pipeline.records import Ingested, Local, laid_on
from tawt.pipeline.workspace import Workspace
from tawt.places import real
from tawt.project import Project
from tawt.shell import command

_YAML = (".yaml", ".yml")


@dataclass(frozen=True)
class Source:
    """The pipeline that an ingest was given, as it would be read now."""

    pipeline: PipelineConfig | None = None
    """With the overrides that the workspace was given; None where that is not known."""
    gone: str = ""
    """What is to be said where there is no such file any more."""
    fault: str = ""
    """What is to be said where the file cannot be read."""
    mend: str = ""
    """What ends that: a command, or what to mend."""


def source_now(workspace: Workspace) -> Source:
    """Return the pipeline of a workspace as an ingest would read it now.

    Nothing is known where neither it nor what was laid on it is remembered.
    """
    name, settings = workspace.local.pipeline, workspace.ingested.settings
    if name is None or settings is None or without_project(workspace):
        return Source()
    try:
        return Source(resolve_pipeline(name, settings, workspace.project))
    except TawtError as error:
        if (path := _file_of(name, workspace.project)) is None:
            what = f"the pipeline {name} is gone: whether it was edited since the ingest is not known"
            return Source(gone=what, mend=ingest_again(workspace))
        where = error.where if path.name in error.where else f"{path}: {error.where}" if error.where else str(path)
        what = f"the pipeline {name} cannot be read as it is now ({error.what.partition(', expected')[0]})"
        return Source(fault=what, mend=f"mend {where}")


def remembered(
    name_or_file: str, settings: tuple[str, ...], root: Path, project: Project, local: Local, ingested: Ingested
) -> tuple[Local, Ingested]:
    """Return what is remembered of the pipeline that an ingest takes, and of the overrides that it is given.

    A workspace's own copy is no source: what it was copied from stays the source, where that is there yet.

    Args:
        name_or_file: The pipeline that is given.
        settings: The overrides that are given.
        root: The workspace.
        project: The project that the pipeline belongs to.
        local: What the workspace remembered, and the ingest has found.
        ingested: What the ingest was asked for.
    """
    path, before = Path(name_or_file).expanduser(), local.pipeline
    if not (path.name == PIPELINE and is_workspace(path.parent) and real(path.parent) == real(root)):
        source: str | None = str(real(path)) if path.suffix else name_or_file
        return _with(local, source), ingested.model_copy(update={"settings": laid_on((), settings)})
    if before is not None and _file_of(before, project) is None:
        moved = project.find(f"pipelines/{Path(before).name}") if Path(before).suffix else None
        before = str(moved) if moved is not None else None
    return _with(local, before), ingested.model_copy(update={"settings": laid_on(ingested.settings, settings)})


def _with(local: Local, source: str | None) -> Local:
    return local.model_copy(update={"pipeline": source})


def _file_of(name_or_file: str, project: Project) -> Path | None:
    """Return the file of a pipeline; None where there is none any more."""
    path = Path(name_or_file).expanduser()
    if path.suffix in _YAML:
        return path if path.is_file() else None
    return project.find(f"pipelines/{name_or_file}.yaml")


def ingest_again(workspace: Workspace, edited: bool = False, settings: Sequence[str] = ()) -> str:
    """Return the command that reads the raw tables again as the last ingest did.

    Args:
        workspace: Where.
        edited: Whether it takes over what was edited in the pipeline since; else it goes by the workspace's own copy.
        settings: Overrides of the pipeline besides those of the last ingest.
    """
    source = workspace.local.pipeline if edited else None
    return command(
        "ingest", workspace.raw_root or "RAW_DIR", pipeline=source or workspace.place / PIPELINE,
        workspace=workspace.place, sample=workspace.ingested.sample,
        set=laid_on((workspace.ingested.settings or ()) if source is not None else (), settings),
    )  # fmt: skip


def without_project(workspace: Workspace) -> bool:
    """Return whether the project, whose files stages were made from, is not here to be looked at."""
    try:
        return workspace.project is None
    except TawtError:
        return True
