"""Everything that a stage's output hangs on: what its fingerprint is made of, so that a change can be named."""

from __future__ import annotations

from typing import Any

from tawt.contracts.layers import raw_table
from tawt.files import digest
from tawt.pipeline.manifest import Components, versions
from tawt.sources.sql_file import SqlFile
from tawt.sources.stage import Settings, Stage


def components_of(stage: Stage, settings: Settings, inputs: dict[str, str]) -> Components:
    """Return SQL, parameters, contract, inputs and versions of a stage.

    Args:
        stage: The stage.
        settings: What the stages of the run hang on.
        inputs: Each input -> what it is known by.
    """
    return own_components(stage, settings).model_copy(update={"inputs": inputs, "versions": versions()})


def own_components(stage: Stage, settings: Settings) -> Components:
    """Return what a stage hangs on besides its inputs and versions."""
    made_by = stage.made_by
    if isinstance(made_by, SqlFile):
        sql, contract, parameters = digest(made_by.made_of), stage.contract.digest, _of_sql(stage, made_by, settings)
        return Components(sql=sql, parameters=parameters, contract=contract)
    contracts = "+".join(contract.digest for contract in made_by.contracts)
    return Components(parameters=made_by.depends_on(settings), contract=contracts)


def _of_sql(stage: Stage, sql: SqlFile, settings: Settings) -> dict[str, Any]:
    pipeline = settings.pipeline
    parameters: dict[str, Any] = {name: pipeline.values.get(name) for name in sql.parameters}
    if stage.layer.row_wise:
        # `--sample 500` is another sample when the source has other subjects
        parameters |= {"sample": settings.sample, "sampled_hash": settings.sampled_hash}
        parameters |= {"csv": pipeline.csv_of(raw_table(stage.inputs[0]) or "").model_dump()}
    return parameters | ({"shards": settings.n_shards} if stage.layer.sharded else {})
