"""Stages of a workspace as they ran, from what it keeps of them: where they, or a project, cannot be read."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
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
from tawt.sources.graph import Graph, in_order
from tawt.sources.sql_file import SqlFile
from tawt.sources.stage import BuiltIn, Stage

_PARAMETERS = "pipeline.parameters."


def kept_graph(workspace: Workspace, built_in: Iterable[BuiltIn], fault: TawtError) -> Graph:
    """Return the finished stages of a workspace, with what keeps those that would run now from being read."""
    code = {one.name: one for one in built_in}
    names = [path.stem for path in sorted((workspace.root / "manifests").glob("*.json"))]
    there = {name: manifest for name in names if (manifest := read_manifest(workspace, name)) is not None}
    stages = {name: _stage(workspace, one, code.get(name)) for name, one in there.items()}
    return Graph(in_order(stages), {}, {}, Project(), fault)


def as_they_ran(graph: Graph, workspace: Workspace) -> Graph:
    """Return stages, of which those that cannot run as they are written are as they ran, where they did."""
    there = {name: manifest for name in graph.faulty if (manifest := read_manifest(workspace, name)) is not None}
    ran = {name: replace(_stage(workspace, one), fault=graph.stages[name].fault) for name, one in there.items()}
    return replace(graph, stages=in_order(graph.stages | ran)) if ran else graph


def _stage(workspace: Workspace, manifest: Manifest, code: BuiltIn | None = None) -> Stage:
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
    files = input_of(workspace.root, manifest).rows if not manifest.let_go else []
    fields = parquet_schema(files[0]) if files and layer_of(manifest.stage).suffix == ".parquet" else []
    columns = [
        Column.model_validate({"name": field.name, "type": types[field.type], "nullable": field.nullable})
        for field in fields
        if not field.name.startswith("_") and field.type in types
    ]
    return Contract(name=manifest.stage, description="", columns=tuple(columns))
