"""Holds what a label stage gave to what labels must be, while it lies aside: whatever command runs it."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

from tawt.contracts.layers import LAYERS
from tawt.database.connect import connect
from tawt.database.limits import Limits
from tawt.errors import StageError
from tawt.labels.judge import judge
from tawt.pipeline.manifest import Manifest
from tawt.pipeline.plan import input_of
from tawt.pipeline.relations import bind_output
from tawt.pipeline.run import Judges
from tawt.pipeline.workspace import Workspace
from tawt.readers import read_parquet
from tawt.shell import command


def label_judges(workspace: Workspace, limits: Limits, go_on: bool = False) -> Judges:
    """Return what label stages of a workspace are held to.

    Args:
        workspace: Where they run.
        limits: Threads and memory.
        go_on: Whether other stages run where a label set is refused.
    """

    def hold(stage: str, folder: Path, there: Mapping[str, Manifest]) -> None:
        if (events := there.get("events")) is None:
            again = command("run", f"+{stage},events", workspace=workspace.root)
            raise StageError(stage, "needs events to be held to, which are not there, expected them", f"`{again}`")
        with closing(connect(limits, [workspace.root], workspace.spill, workspace.project)) as connection:
            bind_output(connection, input_of(workspace.root, events))
            labels = read_parquet(folder / LAYERS["labels"].one_file)
            judge(connection, labels, stage, clock=workspace.pipeline.clock)

    return Judges({"labels": hold}, go_on)
