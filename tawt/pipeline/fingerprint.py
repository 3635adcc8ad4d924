"""Everything that a stage's output hangs on: what its fingerprint is made of, so that a change can be named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tawt.contracts.layers import raw_table
from tawt.database.parse import meaning
from tawt.files import digest
from tawt.pipeline.manifest import Components, versions
from tawt.pipeline.told import of_file, tell, tokens
from tawt.pipeline.workspace import Workspace
from tawt.sources.sql_file import SqlFile
from tawt.sources.stage import Settings, Stage


def components_of(stage: Stage, settings: Settings, inputs: dict[str, str]) -> Components:
    """Return what was written for a stage, parameters, inputs and versions.

    Args:
        stage: The stage.
        settings: What the stages of the run hang on.
        inputs: Each input -> what it is known by.
    """
    return own_components(stage, settings).model_copy(update={"inputs": inputs, "versions": versions()})


def own_components(stage: Stage, settings: Settings) -> Components:
    """Return what a stage hangs on besides its inputs and versions."""
    made_by, project, source = stage.made_by, settings.project, settings.pipeline.source
    raw = {f"contract of raw.{table}": of_file(_raw_contract(source, table), project) for table in stage.raw_tables}
    if isinstance(made_by, SqlFile):
        sources = {"sql": meaning(made_by.text)}
        sources |= {f"macro {macro.name}": macro.meaning for macro in made_by.macros}
        sources["contract"] = stage.contract.digest
        return Components(sources=sources | raw, parameters=_of_sql(stage, made_by, settings))
    sources = {"contract": "+".join(contract.digest for contract in made_by.contracts)}
    sources |= {f"seed {Path(key).stem}": of_file(key, project) for key in made_by.told if key.endswith(".csv")}
    return Components(sources=sources | raw, parameters=made_by.depends_on(settings))


def told_of(workspace: Workspace, stage: Stage) -> dict[str, str]:
    """Return what a stage hangs on as it is told without the engine: see `tawt.pipeline.told`."""
    source, made_by = workspace.pipeline.source, stage.made_by
    keys = [_raw_contract(source, table) for table in stage.raw_tables]
    keys += [f"pipeline.csv.{table}" for table in stage.raw_tables]
    if not isinstance(made_by, SqlFile):
        keys += [f"schemas/{name}.json" for name in made_by.schemas]
        return tell([*keys, *(key.format(source=source) for key in made_by.told)], workspace)
    layer, _, name = stage.name.partition(".")
    text = f"sql/{source}/{layer}/{name}.sql"
    keys += [text, f"schemas/{stage.layer.contract.format(source=source, layer=layer, name=name)}"]
    keys += [f"sql/shared/macros/{macro.name}.sql" for macro in made_by.macros]
    keys += [f"pipeline.parameters.{parameter}" for parameter in made_by.parameters]
    keys += ["ingest.sample"] if stage.layer.row_wise else ["ingest.n_shards"] if stage.layer.sharded else []
    told = tell(keys, workspace)
    # as it was read, whatever became of the file meanwhile
    return told if made_by.declared else told | {text: digest(tokens(made_by.text))}


def _raw_contract(source: str, table: str) -> str:
    return f"schemas/{source}/{table}"


def _of_sql(stage: Stage, sql: SqlFile, settings: Settings) -> dict[str, Any]:
    pipeline = settings.pipeline
    parameters: dict[str, Any] = {name: pipeline.values.get(name) for name in sql.parameters}
    if stage.layer.row_wise:
        # `--sample 500` is another sample when the source has other subjects
        parameters |= {"sample": settings.sample, "sampled_hash": settings.sampled_hash}
        parameters |= {"csv": pipeline.csv_of(raw_table(stage.inputs[0]) or "").model_dump()}
    return parameters | ({"shards": settings.n_shards} if stage.layer.sharded else {})
