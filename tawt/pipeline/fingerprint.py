"""Everything that a stage's output hangs on: what its fingerprint is made of, so that a change can be named."""

from __future__ import annotations

from tawt.database.macros import FOLDER
from tawt.pipeline.keys import OPTED_OUT, SAMPLED, Now
from tawt.pipeline.manifest import Components, versions
from tawt.sources.sql_file import SqlFile
from tawt.sources.stage import Stage
from tawt.sources.written import of_sql


def components_of(stage: Stage, source: str, now: Now, inputs: dict[str, str]) -> Components:
    """Return what was written for a stage, settings, inputs and versions.

    Args:
        stage: The stage.
        source: Of the pipeline.
        now: What the workspace has behind keys.
        inputs: Each input -> what it is known by.
    """
    keys = now.tell(keys_of(stage, source))
    if (sql := stage.sql) is not None:  # as they were read, whatever became of the files meanwhile
        keys |= {_macro(macro.name): of_sql(macro.text) for macro in sql.macros}
        keys |= {} if sql.declared else {_text_of(stage, source): of_sql(sql.text)}
    return Components(keys=keys, inputs=inputs, versions=versions())


def keys_of(stage: Stage, source: str) -> list[str]:
    """Return all that a stage hangs on besides its inputs and versions: see `tawt.pipeline.keys`."""
    made_by, (layer, _, name) = stage.made_by, stage.name.partition(".")
    raw = [
        key
        for table in stage.raw_tables
        for key in (f"schemas/{source}/{table}", f"pipeline.csv.{table}", f"pipeline.members.{table}")
    ]
    if not isinstance(made_by, SqlFile):
        schemas = [f"schemas/{schema}" for schema in made_by.schemas]
        return [*(key.format(source=source) for key in made_by.keys), *schemas, *raw]
    keys = [_text_of(stage, source), *(_macro(macro.name) for macro in made_by.macros)]
    keys += [f"schemas/{stage.layer.contract.format(source=source, layer=layer, name=name)}", *raw]
    keys += [f"pipeline.parameters.{parameter}" for parameter in made_by.parameters]
    # `--sample 500` is another sample when the source has other subjects
    return keys + (
        ["ingest.sample", SAMPLED, "pipeline.sample_from", OPTED_OUT]
        if stage.layer.row_wise
        else ["ingest.n_shards"] * stage.layer.sharded
    )


def _macro(name: str) -> str:
    return f"{FOLDER}/{name}.sql"


def _text_of(stage: Stage, source: str) -> str:
    layer, _, name = stage.name.partition(".")
    return f"sql/{source}/{layer}/{name}.sql"
