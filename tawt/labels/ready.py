"""Which tasks a workspace may be asked for by name, known without an engine."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from tawt.contracts.layers import TASKS
from tawt.errors import TawtError
from tawt.pipeline.workspace import open_workspace
from tawt.project import Project

PREDICATES = "predicates"
"""File beside the ready tasks of a source that says what its codes are called."""


def ready_tasks(project: Project, source: str) -> Mapping[str, Path]:
    """Return the ready tasks of a source by name: its own, and those for every source."""
    found = {
        name: path
        for folder in ("shared", source)
        for name, path in project.files(f"sql/{folder}/{TASKS}", ".yaml").items()
    }
    found.pop(PREDICATES, None)
    return found


def asked_by_name(workspace: Path) -> set[str]:
    """Return the names of the ready tasks and label stages of a workspace; none of a folder that is not whole."""
    with suppress(TawtError):
        opened = open_workspace(workspace)
        source = opened.pipeline.source
        stages = (opened.project.files(f"sql/{folder}/labels", ".sql") for folder in ("shared", source))
        return {*ready_tasks(opened.project, source), *(name for one in stages for name in one)}
    return set()
