"""Reads the stages of a pipeline: what lies in the folders of its source, and what follows from that."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from tawt.config.pipeline import PipelineConfig
from tawt.contracts.contract import Contract
from tawt.contracts.layers import SQL_LAYERS, TASKS, raw_table
from tawt.contracts.table import Table, read_table
from tawt.database.macros import load_macros
from tawt.database.parse import is_zone
from tawt.errors import ConfigError, ContractError, StageError, faults_of, nearest
from tawt.project import SHARED, Project
from tawt.sources.graph import Graph, Skip, in_order
from tawt.sources.hold import held_stage, hold_inputs, stage_of
from tawt.sources.sql_file import SqlFile, hold_parameters, read_sql
from tawt.sources.stage import BuiltIn, Stage
from tawt.sources.tables import declared_stage, table_files


def load_graph(pipeline: PipelineConfig, project: Project | None = None, built_in: Iterable[BuiltIn] = ()) -> Graph:
    """Read every stage of a pipeline's source, the files of a project before tawt's, and add those that are built in.

    Raises:
        ConfigError: The source has no stages, `off:` or `order:` names none of them, or the project has what it cannot.
        ContractError: The contract of a raw table is refused.
        StageError: A macro is refused. What is wrong with a stage is a fault of that stage.
    """
    files = project or Project()
    files.hold()
    folder, said, macros = f"sql/{pipeline.source}", table_files(files, pipeline.source), load_macros(files)
    if not pipeline.images:
        said = {name: path for name, path in said.items() if path.parent.name == pipeline.source}
    if not files.folders(folder) and not said:
        known = [name for name in (*files.folders("sql"), *files.folders("schemas")) if name != "shared"]
        raise ConfigError(
            f"source `{pipeline.source}`", f"has no folder below sql/ or schemas/, expected one{_looked_in(files)}",
            nearest(pipeline.source, known),
        )  # fmt: skip
    _refuse_others(files, folder)
    if pipeline.zone is not None and not is_zone(pipeline.zone):
        raise ConfigError(
            "zone", f"`{pipeline.zone}` is no time zone, expected one by its name",
            "for example `Europe/Berlin`, or `UTC`",
        )  # fmt: skip
    raw = {name: read_table(path) for name, path in said.items()}
    by_hand = {
        f"{layer.name}.{name}": (path, layer.name)
        for layer in SQL_LAYERS
        for place in ([f"sql/{SHARED}"] if pipeline.images else []) + [folder]
        for name, path in files.files(f"{place}/{layer.name}", ".sql").items()
    }
    built_in = tuple(built_in)
    serving = {one.name: {t for t in raw if one.serves(raw[t])} for one in built_in if one.serves is not None}
    found = {
        name: stage
        for table in raw
        if (name := f"staging.{table}") not in by_hand
        for stage in [stage_of(declared_stage(raw[table], said[table], macros), files, pipeline.source, raw, serving)]
    }
    for name, (path, layer_name) in by_hand.items():
        sql = SqlFile(name, path, "", (), ())
        try:
            with faults_of(path):
                sql = read_sql(path, layer_name, macros)
                found[name] = stage_of(sql, files, pipeline.source, raw, serving)
        except (StageError, ContractError, ConfigError) as fault:
            unknown = Contract(name=name, description="", columns=())
            found[name] = Stage(name, sql.references, unknown, sql, fault=fault)
    named = {f"off.{i}": name for i, name in enumerate(pipeline.off)}
    named |= {f"order.{i}": f"event_parts.{family}" for i, family in enumerate(pipeline.order)}
    named |= {"sample_from": pipeline.sample_from} if pipeline.sample_from is not None else {}
    for key, name in named.items():
        if name not in found:
            parts = [one.partition(".")[2] for one in found if one.startswith("event_parts.")]
            near = nearest(name.partition(".")[2], parts) if key.startswith("order.") else nearest(name, found)
            raise ConfigError(key, f"names the stage `{name}`, which is not there, expected a stage", near)
    for key, names in (("tables", list(pipeline.tables)), ("members", [one.table for one in pipeline.members])):
        for name in sorted(set(names) - set(raw)):
            raise ConfigError(
                f"tables.{name}" if key == "tables" else key,
                f"says under `{key}` how raw table `{name}` is written, which has no contract, expected one that has",
                nearest(name, raw),
            )
    skipped = dict.fromkeys(pipeline.off, Skip())
    behind: set[str] = set()  # what they read is not known
    for name, stage in found.items():  # each after those that it reads
        if stage.fault is not None or behind.intersection(stage.inputs):
            behind.add(name)
        elif stage.sql is not None:
            try:
                with faults_of(stage.sql.path):
                    hold_inputs(stage, found, raw)
                    found[name] = held_stage(stage, found, raw, macros)
            except StageError as fault:
                found[name] = replace(stage, fault=fault)
                behind.add(name)
            if name not in skipped:
                hold_parameters(stage.sql, pipeline.values)
    _hold_subjects(found, raw, said, pipeline.source)
    for code in built_in:
        read = [n for n in sorted(found) if n not in skipped and _reads(code, found[n])]
        if code.of and code.of not in read:
            continue
        read += [f"raw.{table}" for table in sorted(serving.get(code.name, ()))]
        if read or code.name not in serving:
            found[code.name] = Stage(code.name, tuple(read), code.contracts[0], code)
    return Graph(in_order({n: s for n, s in found.items() if n not in skipped}), {**raw}, skipped, files)


def _hold_subjects(found: dict[str, Stage], raw: Mapping[str, Table], said: Mapping[str, Path], source: str) -> None:
    """Hold the tables of a source to one kind of subjects: a number that stands in a table is none that was given."""
    by_text = sorted(name for name, table in raw.items() if table.subjects)
    for stage in found.values() if by_text else ():
        table = raw.get(raw_table(stage.inputs[0]) or "") if stage.fault is None else None
        if table is None or "subject_id" not in stage.contract.names:
            continue
        own = [column.type for column in table.columns if column.plain == "subject_id"]
        if "subject" not in (own or [column.type for column in table.columns]):
            of_all = said[table.table].parent.name == SHARED
            own_file = f"a copy of schemas/{SHARED}/{table.table}.yaml, schemas/{source}/{table.table}.yaml"
            raise StageError(
                stage.name, f"takes subjects as numbers, and raw.{by_text[0]} has them as text, expected one kind",
                f"say `type: subject` of the column in {own_file if of_all else f'the contract of {table.name}'}",
            )  # fmt: skip


def _refuse_others(files: Project, folder: str) -> None:
    """Refuse a folder of stages that is no layer's: nothing would ever read what is in it."""
    known = [*(layer.name for layer in SQL_LAYERS), TASKS]
    for name in files.folders(folder):
        if name not in known and name[0] not in "._":
            raise ConfigError(f"{folder}/{name}", f"is no layer, expected {', '.join(known)}", nearest(name, known))


def _looked_in(project: Project) -> str:
    return f" in {project.root} or in what comes with tawt" if project.root is not None else ""


def _reads(code: BuiltIn, stage: Stage) -> bool:
    """Return whether a built-in stage reads another one: by its name, or as one of a layer."""
    of_layer = stage.layer.name in code.reads and not (
        code.of and stage.sql is not None and code.of not in stage.inputs
    )
    return stage.name in code.reads or of_layer
