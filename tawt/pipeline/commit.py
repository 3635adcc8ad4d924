"""The act that makes a stage finished: output, quarantine and manifest appear together or not at all."""

from __future__ import annotations

import shutil
from pathlib import Path

from tawt.files import publish, publish_file, remove, sync
from tawt.pipeline.manifest import Manifest, write_manifest
from tawt.pipeline.stages import Graph
from tawt.pipeline.workspace import LEDGER, Workspace
from tawt.seals import sha256_file

LAYERS = ("staging", "codes", "event_parts", "labels")
"""Folders of a workspace that hold one folder per stage."""


def commit(workspace: Workspace, folder: Path, quarantine: Path | None, manifest: Manifest) -> Manifest:
    """Put a stage that was written aside in the place of what was there, and return its manifest with its files.

    The old manifest goes before anything else and the new one comes last, so that whatever a kill leaves between is
    not finished and is made again; no reader looks at files that no manifest lists.

    Args:
        workspace: Held by this command.
        folder: The stage's output, aside.
        quarantine: Its quarantined records, aside; None = it has none.
        manifest: What is known of it but for its files.
    """
    output, place = workspace.output(manifest.stage), workspace.quarantine(manifest.stage)
    files = {output / path.relative_to(folder): path for path in sorted(folder.rglob("*")) if path.is_file()}
    if quarantine is not None:
        files[place] = quarantine
    names = {path.relative_to(workspace.root).as_posix(): aside for path, aside in files.items()}
    listed = manifest.model_copy(
        update={
            "files": {name: aside.stat().st_size for name, aside in names.items()},
            "hashes": {name: sha256_file(aside) for name, aside in names.items()},
        }
    )
    for gone in (workspace.root / LEDGER, workspace.manifest(manifest.stage)):
        if gone.exists():
            remove(gone)
            sync(gone.parent)
    publish(folder, output)
    if quarantine is not None:
        place.parent.mkdir(parents=True, exist_ok=True)
        publish_file(quarantine, place)
    else:
        remove(place)
    write_manifest(workspace, listed)
    return listed


def forget_others(workspace: Workspace, graph: Graph) -> list[str]:
    """Remove the files of stages that the pipeline and the tables as they are now do not have; return their names."""
    root = workspace.root
    there = {path.stem for path in (root / "manifests").glob("*.json")}
    there |= {path.stem for path in (root / "quarantine").glob("*.parquet")}
    for layer in LAYERS:
        stage = "tasks" if layer == "labels" else layer
        there |= {f"{stage}.{path.name}" for path in (root / layer).glob("*") if path.is_dir()}
    others = sorted(there - set(graph.stages))
    for name in others:
        remove(workspace.manifest(name))
        remove(workspace.quarantine(name))
        if name.partition(".")[2]:
            shutil.rmtree(workspace.output(name), ignore_errors=True)
    return others
