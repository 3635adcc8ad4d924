"""A MEDS dataset of invented records becomes a workspace, in the vocabulary of the real ones."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

from tawt.builtin.all import all_stages
from tawt.commands.ingest import ingest
from tawt.config.pipeline import PipelineConfig
from tawt.contracts.basis import basis_of
from tawt.contracts.layers import VOCABULARY_STAGES
from tawt.database.limits import Limits
from tawt.dataset.reader import TripletDataset
from tawt.pipeline.holding import hold
from tawt.pipeline.undone import Asked
from tawt.pipeline.work import make
from tawt.pipeline.workspace import open_workspace, write_records
from tawt.places import real
from tawt.training.folder import Report

_EARLIEST, _LATEST = "1600-01-01", "2600-01-01"
"""Times that are believed of a synthetic set: what is beyond is for its rules."""


def invented_workspace(
    parts: Path, target: Path, pipeline: PipelineConfig, dataset: TripletDataset, aside: Path, *,
    threads: int | None, memory_limit: str | None, tell: Report,
) -> None:  # fmt: skip
    """Make a workspace of a MEDS dataset that was written aside.

    What an ingest notes of raw tables is not told: whoever asks for a set did not write them.

    Args:
        parts: Holds the MEDS dataset.
        target: What the workspace is to be called.
        pipeline: Of the real records.
        dataset: The real records.
        aside: Where the workspace is made.
        threads: Of the stages.
        memory_limit: Of the stages.
        tell: Hears notes.
    """

    def hear(event: dict[str, Any]) -> None:
        if event["event"] == "note":
            tell(event)

    limits = Limits.of(threads, memory_limit)
    ingest(parts, "meds", aside, settings=_settings(pipeline, dataset), threads=threads, memory_limit=memory_limit)
    with hold(aside):
        opened = open_workspace(aside)
        own = dataset.vocabulary
        basis = basis_of(own.content, "the real records", frozen=True, by_code=True)
        nested = replace(opened, given_basis=basis)
        make(nested, all_stages(nested), VOCABULARY_STAGES, limits, False, False, hear, Asked("build-vocab"))
        for path in sorted(path for name in ("data", "metadata") for path in (parts / name).rglob("*")):
            if path.is_file():
                _link(path, aside / path.relative_to(parts))
        local = opened.local.model_copy(update={"raw_root": str(real(target)), "files": {}, "tables": {}})
        write_records(replace(open_workspace(aside), given_local=local))


def _settings(pipeline: PipelineConfig, dataset: TripletDataset) -> tuple[str, ...]:
    """Return what makes the pipeline of any MEDS dataset that of this one."""
    panels = [panel.model_dump(mode="json") for panel in pipeline.panels]
    return (
        f"time_origin={dataset.time_origin}", f"anchor='{pipeline.anchor}'", f"calendar={dataset.manifest.calendar}",
        f"parameters.earliest_time='{_EARLIEST}'", f"parameters.latest_time='{_LATEST}'",
        f"panels={json.dumps(panels)}",
    )  # fmt: skip


def _link(source: Path, target: Path) -> None:
    """Give a file a second name, or copy it where a file has but one."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
