"""What is carried into vocabularies of other places: each file to its hash, and whether events are those of now."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from tawt.contracts.basis import BASE_TABLE, base_fault
from tawt.contracts.layers import made_by
from tawt.contracts.workspace import CARRIED
from tawt.errors import FileError
from tawt.files import ASIDE
from tawt.pipeline.ledger import standing
from tawt.pipeline.letting_go import about_to_go
from tawt.pipeline.manifest import manifest_at
from tawt.pipeline.plan import input_of
from tawt.pipeline.stale import in_words
from tawt.pipeline.workspace import LOCK, OF_STAGES, RECORDS, SPILL, Workspace
from tawt.quality.finding import Finding
from tawt.quality.runs import fault_of
from tawt.quality.strangers import Known
from tawt.seals import holds, sha256_file
from tawt.sources.graph import Graph
from tawt.sources.stage import Input


def know_carried(root: Path, known: Known) -> None:
    """Let it be known what lies below `carried/`."""
    for place in (root / CARRIED).glob("*"):
        known.add(place / name for name in (*RECORDS, BASE_TABLE))
        known.locks.add(place / LOCK)
        known.folders |= {place / name for name in (*OF_STAGES, SPILL)}
        known.loose.add(place / ASIDE)
        for path in (place / "manifests").glob("*.json"):
            if (manifest := manifest_at(path)) is not None:
                known.files |= {path, *(place / name for name in manifest.files), *about_to_go(place, manifest)}


def check_carried(opened: Workspace, graph: Graph) -> Iterator[tuple[Finding, dict[str, Input]]]:
    """Yield a finding for each folder, and its stages where all of it is as it was written.

    Args:
        opened: The workspace whose events they are made of.
        graph: Its stages.
    """
    for place in sorted((opened.root / CARRIED).glob("*")):
        nested, name = Workspace(place, opened.pipeline), f"{CARRIED}/{place.name}"
        own = [one for one in standing(nested, graph) if one.stage.name in made_by("build-vocab")]
        wrong = {one.stage.name: one.state for one in own if one.manifest is None}
        with suppress(FileError):
            wrong |= base_fault(place)
        for path in (place / record for record in RECORDS if (place / record).exists()):
            wrong |= {path.name: fault} if (fault := fault_of(path, holds)) else {}
        for one in own:
            for file, sha256 in one.manifest.hashes_here.items() if one.manifest is not None else ():
                if fault := fault_of(place / file, lambda path, sha256=sha256: sha256_file(path) == sha256):  # type: ignore[misc]
                    wrong[file] = fault
        stale = {one.stage.name: one.stale for one in own if one.stale}
        said = f"; note: made anew when it is used next, as {in_words(next(iter(stale.values())))}" if stale else ""
        detail = "; ".join(f"{file} {fault}" for file, fault in wrong.items()) or f"as it was written{said}"
        whole = {} if wrong else {one.stage.name: one.manifest for one in own if one.manifest is not None}
        mend = f"remove {place}: it is made anew when it is used" if wrong else ""
        here = {stage: input_of(place, made) for stage, made in whole.items() if not made.let_go}
        yield Finding(name, not wrong, detail, mend), here
