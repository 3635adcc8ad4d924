"""Everything that a stage's output hangs on: what its fingerprint is made of, so that a change can be named."""

from __future__ import annotations

from typing import Any

from tawt.builtin.events import splits_file
from tawt.contracts.contract import read_contract
from tawt.contracts.dataset import FORMAT
from tawt.contracts.layers import raw_table
from tawt.errors import StageError
from tawt.files import digest
from tawt.pipeline.manifest import Components, read_manifest, versions
from tawt.pipeline.sql_stage import Plan
from tawt.pipeline.workspace import Workspace
from tawt.project import asset
from tawt.seals import sha256_file
from tawt.shell import command
from tawt.sources.graph import Stage

SAMPLED = "sampled_hash"
"""The parameter that is known from the raw tables alone."""
_CONTRACTS = {
    "events": ("events",),
    "vocabulary": ("vocabulary",),
    "triplets": ("triplets",),
    "dataset": ("dataset", "dataset_index"),
}
"""The contracts of the stages that are code."""


def components_of(plan: Plan, stage: Stage, fingerprints: dict[str, str]) -> Components:
    """Return SQL, parameters, contract, inputs and versions of a stage.

    Args:
        plan: What the run shares.
        stage: The stage.
        fingerprints: Of the stages that this run has dealt with; others are read from their manifests.

    Raises:
        StageError: An input is not finished.
    """
    own = own_components(plan.workspace, stage, plan.n_shards)
    if stage.layer.row_wise:
        # `--sample 500` is another sample when the source has other subjects
        own.parameters[SAMPLED] = plan.sample_threshold
    inputs = {name: _input(plan, stage, name, fingerprints) for name in stage.inputs}
    return own.model_copy(update={"inputs": inputs, "versions": versions()})


def own_components(workspace: Workspace, stage: Stage, n_shards: int) -> Components:
    """Return what a stage hangs on besides its inputs and versions, as the workspace's pipeline has it now."""
    if stage.sql is not None:
        parameters = _of_sql(workspace, stage, n_shards)
        contract = stage.contract.digest if stage.contract is not None else None
    else:
        parameters = _OF_ENGINE[stage.name](workspace, n_shards)
        contract = "+".join(read_contract(asset(f"schemas/{name}.json")).digest for name in _CONTRACTS[stage.name])
    sql = digest(stage.sql.made_of) if stage.sql is not None else None
    return Components(sql=sql, parameters=parameters, contract=contract)


def _input(plan: Plan, stage: Stage, name: str, fingerprints: dict[str, str]) -> str:
    if (table := raw_table(name)) is not None:
        return digest(plan.raw[table].identity)
    if name in fingerprints:
        return fingerprints[name]
    manifest = read_manifest(plan.workspace, name)
    if manifest is None:
        raise StageError(
            stage.name,
            f"needs {name}, which is not there, expected it to be finished",
            command("run", f"+{stage.name}", workspace=plan.workspace.root),
        )
    return manifest.fingerprint


def _of_sql(workspace: Workspace, stage: Stage, n_shards: int) -> dict[str, Any]:
    assert stage.sql is not None
    pipeline = workspace.pipeline
    parameters: dict[str, Any] = {name: pipeline.values.get(name) for name in stage.sql.parameters}
    if stage.layer.row_wise:
        table = raw_table(stage.inputs[0]) or ""
        return parameters | {"sample": workspace.ingested.sample, "csv": pipeline.csv_of(table).model_dump()}
    return parameters | ({"shards": n_shards} if stage.layer.sharded else {})


def _of_events(workspace: Workspace, n_shards: int) -> dict[str, Any]:
    pipeline, listed = workspace.pipeline, splits_file(workspace)
    known = {c: (d.concept, d.unit, d.low, d.high, d.description) for c, d in sorted(pipeline.data_types.items())}
    files = workspace.project.files("sql/shared/seeds", ".csv").values()
    seeds = {path.name: digest(path.read_text(encoding="utf-8")) for path in files}
    return {
        "splits": pipeline.splits.model_dump(),
        "splits_file": sha256_file(listed) if listed is not None else None,
        "duplicates": pipeline.duplicates,
        "order": list(pipeline.order),
        "data_types": digest(known),
        "seeds": digest(seeds),
        "shards": n_shards,
    }


def _of_vocabulary(workspace: Workspace, n_shards: int) -> dict[str, Any]:
    pipeline = workspace.pipeline
    known = {c: (d.normalization, d.description) for c, d in sorted(pipeline.data_types.items())}
    return {**pipeline.vocabulary.model_dump(), "data_types": digest(known)}


def _of_triplets(workspace: Workspace, n_shards: int) -> dict[str, Any]:
    pipeline = workspace.pipeline
    return {"clock": pipeline.clock, "panels": digest([panel.model_dump() for panel in pipeline.panels])}


def _of_dataset(workspace: Workspace, n_shards: int) -> dict[str, Any]:
    pipeline = workspace.pipeline
    return {
        "format": FORMAT,
        "time_origin": pipeline.time_origin,
        "anchor": pipeline.anchor,
        "calendar": pipeline.calendar,
    }


_OF_ENGINE = {
    "events": _of_events,
    "vocabulary": _of_vocabulary,
    "triplets": _of_triplets,
    "dataset": _of_dataset,
}
