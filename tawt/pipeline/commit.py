"""The act that makes a stage finished: output, quarantine and manifest appear together or not at all."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from tawt.files import publish, publish_file, sync
from tawt.pipeline.manifest import Manifest, manifest_at, write_manifest
from tawt.pipeline.stages import Graph
from tawt.pipeline.workspace import Workspace, forget_ledger
from tawt.places import remove
from tawt.seals import sha256_file


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
    forget_ledger(workspace.root)
    if (old := workspace.manifest(manifest.stage)).exists():
        remove(old)
        sync(old.parent)
    publish(folder, output)
    if quarantine is not None:
        place.parent.mkdir(parents=True, exist_ok=True)
        publish_file(quarantine, place)
    else:
        remove(place)
    write_manifest(workspace, listed)
    return listed


def forget_others(workspace: Workspace, graph: Graph) -> list[str]:
    """Remove the files of stages that the pipeline and the tables as they are now do not have; return their names.

    Only what a manifest of ours lists is removed: whatever else lies there is somebody's, and `check` tells it.
    """
    others = []
    for path in sorted((workspace.root / "manifests").glob("*.json")):
        manifest = manifest_at(path) if path.stem not in graph.stages else None
        if manifest is None:
            continue
        others.append(manifest.stage)
        remove(path)
        folders = set()
        for name in manifest.files:
            file = workspace.root / name
            with suppress(IsADirectoryError, NotADirectoryError):  # a folder is not what was listed
                file.unlink(missing_ok=True)
            folders |= {folder for folder in file.parents if folder.is_relative_to(workspace.output(manifest.stage))}
        for folder in sorted(folders, reverse=True):
            with suppress(OSError):  # not empty, or gone already
                folder.rmdir()
    return others
