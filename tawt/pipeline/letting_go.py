"""Stages whose files do not stay with `keep: last`: they are let go once all that reads them is made.

What is let go is finished still, and up to date: its manifest lists the hashes of the files that it had, its quarantine
and what its shards were made of stay. Who needs its files makes it again.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path

from tawt.contracts.layers import layer_of
from tawt.contracts.workspace import home_of
from tawt.files import sealed, sync, write_text
from tawt.pipeline.commit import remove_listed
from tawt.pipeline.manifest import Manifest, manifest_at
from tawt.pipeline.workspace import Workspace, beside, manifest_path
from tawt.places import make_new, remove
from tawt.raw.beside import IMAGES
from tawt.sources.graph import Graph
from tawt.sources.stage import Stage

_GOING = ".going"
"""End of the name, beside a manifest, of an empty file that is there while files of its stage are removed."""


def asked_for(graph: Graph, selection: str | Sequence[str]) -> dict[str, str]:
    """Return the stages that the user named, each for itself or as one of a layer -> that it was."""
    named = {part.strip().strip("+") for part in selection.split(",")} if isinstance(selection, str) else set()
    stages = (one for one in graph.stages.values() if one.name in named or one.layer.name in named)
    return {one.name: "asked for by name" for one in stages}


def wanted(
    graph: Graph, there: Mapping[str, Manifest], running: Collection[str], named: Mapping[str, str]
) -> dict[str, str]:  # fmt: skip
    """Return the stages whose files must be there -> who reads them, in words.

    Args:
        graph: All stages.
        there: What is finished of them.
        running: Those that run.
        named: Those that are wanted in any case -> why.
    """
    found = dict(named)
    seen, todo = {*running}, [*running]

    def add(name: str) -> None:
        if name in there and there[name].let_go and name not in seen:
            seen.add(name)
            todo.append(name)

    for name in named:
        add(name)
    while todo:
        reader = todo.pop(0)
        for name in graph.stages[reader].inputs:
            found.setdefault(name, f"{reader} reads it")
            add(name)
    return found


def made_again(manifest: Manifest | None, wanted_by: str | None) -> str | None:
    """Return why a stage runs that is up to date: it was let go, and is wanted; None where that is not so."""
    gone = manifest is not None and bool(manifest.let_go) and wanted_by is not None
    return f"let go, and {wanted_by}" if gone else None


def passing(
    root: Path, keep: str, graph: Graph, named: Collection[str], among: Collection[str]
) -> frozenset[str]:  # fmt: skip
    """Return the stages that a run lets go once all that reads them is made.

    Args:
        root: The workspace; what another has that it is made of is not its own.
        keep: As the pipeline says it.
        graph: All stages.
        named: Those that the user named: they stay.
        among: Those that the run deals with.
    """
    if keep == "all":
        return frozenset()
    stages = (name for name in graph.stages if layer_of(name).passing and name in among and name not in named)
    # what images there are is asked of it when a plan is made
    return frozenset(name for name in stages if name != IMAGES and home_of(root, name) == root)


def of_no_use(
    graph: Graph, there: Mapping[str, Manifest], left: Collection[str], among: Iterable[str]
) -> list[str]:  # fmt: skip
    """Return the stages that nobody reads any more: all that read them are made of what they are now.

    Args:
        graph: All stages.
        there: What is finished of them.
        left: Those that are to be made yet.
        among: Which are looked at.
    """
    stages = [name for name in dict.fromkeys(among) if name in there and name not in left]
    content = {name: there[name].content for name in stages if not there[name].let_go}

    def has_read(reader: Stage, name: str) -> bool:
        made = there.get(reader.name) if reader.name not in left and reader.fault is None else None
        return made is not None and made.components.inputs.get(name) == content[name]

    def reads(reader: Stage, name: str) -> bool:  # what one that cannot run as it is written will read is not known
        return name in reader.inputs or (reader.fault is not None and layer_of(name).name in reader.layer.reads)

    readers = graph.stages.values()
    return [name for name in content if all(has_read(one, name) for one in readers if reads(one, name))]


def lacks(here: Manifest | None, there: Manifest) -> bool:
    """Return whether a stage is not here as another place has it; what has been let go there may be here yet."""
    return here is None or here.state != there.state or bool(here.let_go and not there.let_go)


def without_files(manifest: Manifest) -> Manifest:
    """Return the manifest of a stage that is let go."""
    stay = {name: n for name, n in manifest.files.items() if name in beside(manifest.stage)}
    gone = {name: n for name, n in manifest.files.items() if name not in stay}
    return manifest.model_copy(update={"files": stay, "let_go": {**manifest.let_go, **gone}})


def let_go(workspace: Workspace, manifest: Manifest) -> Manifest:
    """Remove the files of a finished stage of a workspace, and return its manifest, which says so first.

    So a kill leaves a stage that is whole or let go; of one that is let go, `finish` removes what is left of it.
    """
    root, path = workspace.root, workspace.manifest(manifest.stage)
    assert home_of(root, manifest.stage) == root, manifest.stage
    listed, mark = without_files(manifest), _mark(path)
    make_new(mark)
    sync(path.parent)
    write_text(path, sealed(listed.model_dump(mode="json")))
    _finish(root, listed)
    return listed


def finish(root: Path) -> None:
    """Remove the files, which a kill left, of stages that were let go."""
    for mark in sorted((root / "manifests").glob(f".*.json{_GOING}")):
        manifest = manifest_at(mark.with_name(mark.name.removeprefix(".").removesuffix(_GOING)))
        if manifest is not None and manifest.let_go:
            _finish(root, manifest)
        remove(mark)


def about_to_go(root: Path, manifest: Manifest) -> set[Path]:
    """Return what a kill left of a stage while it was let go, which the next command removes."""
    mark = _mark(manifest_path(root, manifest.stage))
    return {mark, *(root / name for name in manifest.let_go)} if mark.is_file() else set()


def _finish(root: Path, manifest: Manifest) -> None:
    remove_listed(root, manifest.stage, manifest.let_go)
    remove(_mark(manifest_path(root, manifest.stage)))


def _mark(path: Path) -> Path:
    return path.with_name(f".{path.name}{_GOING}")
