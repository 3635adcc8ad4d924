"""The stages of a workspace as they ran, from what it keeps of them: for looking, where a project cannot be read."""

from __future__ import annotations

from collections.abc import Iterable
from graphlib import TopologicalSorter
from pathlib import Path

import pyarrow as pa

from tawt.contracts.contract import Column, Contract
from tawt.contracts.layers import layer_of
from tawt.contracts.types import TYPES
from tawt.errors import TawtError
from tawt.pipeline.manifest import Manifest, read_manifest
from tawt.pipeline.origin import without_project
from tawt.pipeline.plan import input_of
from tawt.pipeline.workspace import Workspace
from tawt.project import Project
from tawt.readers import parquet_schema
from tawt.sources.graph import Graph
from tawt.sources.sql_file import SqlFile
from tawt.sources.stage import BuiltIn, Stage

_PARAMETERS = "pipeline.parameters."


def kept_graph(workspace: Workspace, built_in: Iterable[BuiltIn], fault: TawtError) -> Graph:
    """Return the finished stages of a workspace, with what keeps those that would run now from being read."""
    code = {one.name: one for one in built_in}
    names = [path.stem for path in sorted((workspace.root / "manifests").glob("*.json"))]
    there = {name: manifest for name in names if (manifest := read_manifest(workspace, name)) is not None}
    order = TopologicalSorter({n: [i for i in one.components.inputs if i in there] for n, one in there.items()})
    stages = {name: _stage(workspace, there[name], code.get(name)) for name in order.static_order()}
    return Graph(stages, {}, {}, Project(), fault)


def _stage(workspace: Workspace, manifest: Manifest, code: BuiltIn | None) -> Stage:
    driving, inputs = manifest.accounts[0].driving, manifest.components.inputs
    reads = tuple(sorted(inputs, key=lambda name: name != driving))
    if code is not None:
        return Stage(code.name, reads, code.contracts[0], code)
    layer, _, name = manifest.stage.partition(".")
    relative = f"sql/{workspace.pipeline.source}/{layer}/{name}.sql"
    path = None if without_project(workspace) else workspace.project.find(relative)
    given = (key.removeprefix(_PARAMETERS) for key in manifest.components.keys if key.startswith(_PARAMETERS))
    sql = SqlFile(manifest.stage, path or Path(relative), manifest.sql or "", reads, tuple(given))
    return Stage(manifest.stage, reads, _contract(workspace, manifest), sql)


def _contract(workspace: Workspace, manifest: Manifest) -> Contract:
    """Return what the files of a stage of SQL say of its columns."""
    types: dict[pa.DataType, str] = {type_.arrow: name for name, type_ in reversed(TYPES.items())}
    files = input_of(workspace.root, manifest).rows
    fields = parquet_schema(files[0]) if files and layer_of(manifest.stage).suffix == ".parquet" else []
    columns = [
        Column.model_validate({"name": field.name, "type": types[field.type], "nullable": field.nullable})
        for field in fields
        if not field.name.startswith("_") and field.type in types
    ]
    return Contract(name=manifest.stage, description="", columns=tuple(columns))
