"""What was generated becomes a workspace beside its place, is judged, and gets its name if it may."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from tawt.builtin.all import all_stages
from tawt.commands.ingest import ingest
from tawt.config.pipeline import PipelineConfig
from tawt.contracts.basis import basis_of
from tawt.contracts.layers import VOCABULARY_STAGES
from tawt.contracts.synthetic import PROVENANCE, SHARDS, Verdict
from tawt.database.connect import Limits
from tawt.dataset.reader import TripletDataset
from tawt.errors import PrivacyError
from tawt.files import whole_folder, write_sealed
from tawt.pipeline.holding import hold
from tawt.pipeline.run import make
from tawt.pipeline.undone import Asked
from tawt.pipeline.workspace import open_workspace, write_records
from tawt.places import real
from tawt.privacy.verdict import REAL_PEOPLE
from tawt.seals import sha256_file
from tawt.shell import shell_line
from tawt.synthesis.written import data_files

_EARLIEST, _LATEST = "1600-01-01", "2600-01-01"
"""Times that are believed of a synthetic set: what is beyond is for its rules."""


def published_set(
    parts: Path,
    target: Path,
    pipeline: PipelineConfig,
    dataset: TripletDataset,
    about: dict[str, Any],
    judge: Callable[[Path], Sequence[Verdict]],
    publish_anyway: Sequence[str],
    threads: int | None,
    memory_limit: str | None,
    tell: Callable[[dict[str, Any]], None],
) -> Sequence[Verdict]:
    """Make a workspace of a MEDS dataset that was written aside, ask the gates, and publish it by a rename.

    Args:
        parts: The dataset, with `data/` and `metadata/`.
        target: What it is to be called.
        pipeline: That of the real records: what times count from, and what panels add.
        dataset: The real records, whose vocabulary it is written in.
        about: What `provenance.json` says.
        judge: What is asked of the folder.
        publish_anyway: Gates that may refuse it.
        threads: Threads; all cores by default.
        memory_limit: As `2GB`.
        tell: Hears notes.

    Raises:
        PrivacyError: A gate refuses it.
    """

    def hear(event: dict[str, Any]) -> None:
        if event["event"] == "note":
            tell(event)

    with whole_folder(target) as aside:
        limits = Limits.of(threads, memory_limit)
        ingest(
            parts, "meds", aside, settings=_settings(pipeline, dataset), threads=threads, memory_limit=memory_limit,
            report=hear,
        )  # fmt: skip
        with hold(aside):
            opened = open_workspace(aside)
            own = dataset.vocabulary
            basis = basis_of(own.content, "the real records", frozen=True, by_code=True)
            nested = replace(opened, given_basis=basis)
            make(nested, all_stages(nested), VOCABULARY_STAGES, limits, False, False, hear, Asked("build-vocab"))
            for name in ("data", "metadata"):
                shutil.copytree(parts / name, aside / name, copy_function=_linked)
            local = opened.local.model_copy(update={"raw_root": str(real(target)), "files": {}, "tables": {}})
            write_records(replace(open_workspace(aside), given_local=local))
        files = [*data_files(aside), *sorted((aside / "metadata").iterdir()), aside / SHARDS]
        about = about | {"files": {path.relative_to(aside).as_posix(): sha256_file(path) for path in files}}
        verdicts: Sequence[Verdict] = ()
        write_sealed(aside / PROVENANCE, {**about, "verdicts": [], "published": False})
        verdicts = [*{one.gate: one for one in (*judge(aside), *_by_making(about))}.values()]
        refused = [one for one in verdicts if not one.passed]
        if against := [one for one in refused if one.gate not in publish_anyway]:
            raise PrivacyError(
                str(target), f"is not published: {'; '.join(f'{one.gate} ({one.text})' for one in against)}, expected "
                "all gates to pass it",
                f"train on more people or for less long; `{_anyway(against)}` publishes it with this verdict",
            )  # fmt: skip
        told = {
            "published": True,
            "verdicts": [asdict(one) for one in verdicts],
            "published_anyway": [one.gate for one in refused],
        }
        write_sealed(aside / PROVENANCE, about | told)
    return verdicts


def _by_making(about: dict[str, Any]) -> Sequence[Verdict]:
    """Return what is known of a set without an attack: copies are real people, however few they are."""
    if about["control"] != "copies":
        return ()
    return [Verdict(REAL_PEOPLE, False, "failed: each record is one of train under another id", "failed")]


def _anyway(against: Sequence[Verdict]) -> str:
    return " ".join(f"--publish-anyway {shell_line(one.gate)}" for one in against)


def _settings(pipeline: PipelineConfig, dataset: TripletDataset) -> tuple[str, ...]:
    """Return what makes the pipeline of any MEDS dataset that of this one."""
    panels = [panel.model_dump(mode="json") for panel in pipeline.panels]
    return (
        f"time_origin={dataset.time_origin}", f"anchor='{pipeline.anchor}'", f"calendar={dataset.manifest.calendar}",
        f"parameters.earliest_time='{_EARLIEST}'", f"parameters.latest_time='{_LATEST}'",
        f"panels={json.dumps(panels)}",
    )  # fmt: skip


def _linked(source: str, target: str) -> str:
    """Give a file a second name, or copy it where a file has but one."""
    try:
        os.link(source, target)
    except OSError:
        return str(shutil.copy2(source, target))
    return target
