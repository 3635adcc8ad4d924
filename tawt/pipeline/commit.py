"""The act that makes a stage finished: output, quarantine and manifest appear together or not at all."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path

from tawt.contracts.layers import STAGE
from tawt.errors import StageError
from tawt.files import publish, publish_file, sealed, sync
from tawt.pipeline.each_shard import KEPT
from tawt.pipeline.manifest import Manifest, manifest_at
from tawt.pipeline.workspace import Workspace, beside, folder_of, forget_ledger, manifest_path, write_records
from tawt.places import make_new, remove
from tawt.seals import sha256_file
from tawt.sources.graph import Graph

_HALF = re.compile(rf"\.(?P<stage>{STAGE})\.json\.tmp(\.old)?")
"""Manifest of a stage whose files are being put in place: the new one, and that of the files which go."""


class RefusedError(StageError):
    """What a stage gave is whole, and cannot be used."""


def commit(workspace: Workspace, folder: Path, quarantine: Path | None, manifest: Manifest) -> Manifest:
    """Put a stage that was written aside in the place of what was there, and return its manifest with its files.

    While files move, the stage has no manifest: no reader looks at them. What lists them, the old manifest and the new
    one, lies beside its place under other names, so that `forget_half` knows whatever a kill leaves for the stage's.

    Args:
        workspace: Held by this command; what is given of it is written down first.
        folder: The stage's output, aside.
        quarantine: Its quarantined records, aside; None = it has none.
        manifest: What is known of it but for its files; where it was let go, also of those that it had.
    """
    output = workspace.output(manifest.stage)
    asides = dict(zip(beside(manifest.stage), (quarantine, _shards_of(folder)), strict=True))
    files = {output / path.relative_to(folder): path for path in sorted(folder.rglob("*")) if path.is_file()}
    files |= {workspace.root / name: aside for name, aside in asides.items() if aside is not None}
    names = {path.relative_to(workspace.root).as_posix(): aside for path, aside in files.items()}
    listed = manifest.model_copy(
        update={
            "files": {name: aside.stat().st_size for name, aside in names.items()},
            "hashes": {name: manifest.hashes[name] for name in manifest.let_go}
            | {name: sha256_file(aside) for name, aside in names.items()},
        }
    )
    write_records(workspace)
    forget_ledger(workspace.root)
    final = workspace.manifest(manifest.stage)
    new, old = (final.with_name(f".{final.name}.tmp{end}") for end in ("", ".old"))
    final.parent.mkdir(exist_ok=True)
    make_new(new)
    new.write_text(sealed(listed.model_dump(mode="json")), encoding="utf-8")
    sync(new)
    if final.exists():
        final.rename(old)
    sync(final.parent)
    publish(folder, output)
    for name, aside in asides.items():
        if aside is not None:
            (workspace.root / name).parent.mkdir(parents=True, exist_ok=True)
            publish_file(aside, workspace.root / name)
        else:
            remove(workspace.root / name)
    publish_file(new, final)
    remove(old)
    return listed


def _shards_of(folder: Path) -> Path | None:
    """Take what the shards of a stage were made of out of its output, to lie beside it."""
    written, aside = folder / KEPT, folder.with_name(f"{folder.name}{KEPT}")
    return written.rename(aside) if written.is_file() else None


def forget_half(root: Path) -> None:
    """Remove what a kill left of stages whose files were being put in place: they are made anew."""
    for path in sorted((root / "manifests").glob(".*")):
        if half := _HALF.fullmatch(path.name):
            finished = (root / "manifests" / f"{half['stage']}.json").exists()
            manifest = None if finished else manifest_at(path, half["stage"])
            if manifest is not None:
                _forget(root, path, manifest.stage, manifest.files)
            remove(path)


def others_of(root: Path, graph: Graph) -> dict[str, Manifest]:
    """Return the finished stages that the pipeline and the tables as they are now do not have, by name."""
    paths = [path for path in sorted((root / "manifests").glob("*.json")) if path.stem not in graph.stages]
    found = {path.stem: manifest_at(path) for path in paths}
    return {name: manifest for name, manifest in found.items() if manifest is not None}


def forget_others(root: Path, others: Mapping[str, Manifest]) -> None:
    """Remove the files of stages that are of no use any more.

    Only what a manifest of ours lists is removed: whatever else lies there is somebody's, and `check` tells it.
    """
    for name, manifest in others.items():
        _forget(root, manifest_path(root, name), name, manifest.files)


def _forget(root: Path, path: Path, stage: str, files: Iterable[str]) -> None:
    """Remove the files that a manifest lists, and last the manifest.

    So that a kill between leaves what tells the next command of the rest.
    """
    remove_listed(root, stage, files)
    remove(path)


def remove_listed(root: Path, stage: str, files: Iterable[str]) -> None:
    """Remove files of a stage, and folders that are empty then."""
    folders = set()
    for name in files:
        file = root / name
        with suppress(IsADirectoryError, NotADirectoryError):  # a folder is not what was listed
            file.unlink(missing_ok=True)
        folders |= {above for above in file.parents if above.is_relative_to(root / folder_of(stage))}
    for folder in sorted(folders, reverse=True):
        with suppress(OSError):  # not empty, or gone already
            folder.rmdir()
