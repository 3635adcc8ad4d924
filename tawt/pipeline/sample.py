"""Which subjects are in a sample, and into how many shards the subjects go; both by the subject's hash."""

from __future__ import annotations

from contextlib import closing

from tawt.contracts.layers import raw_table
from tawt.database.connect import bounded_memory, wrapped_errors
from tawt.errors import ConfigError, StageError
from tawt.pipeline.sql_stage import Plan, open_stage_connection
from tawt.pipeline.workspace import Workspace
from tawt.raw.copies import readable
from tawt.raw.find import RawTable
from tawt.raw.formats import format_of
from tawt.raw.views import bind_raw
from tawt.sources.graph import Graph
from tawt.sources.sql_file import parameters_for
from tawt.transforms.subject_hash import SAMPLE_SALT

_TEXT_BYTES_PER_SHARD = 128 << 20
_HASHES = 1 << 32


def shard_count(workspace: Workspace, raw: dict[str, RawTable]) -> int:
    """Return the number of shards: the pipeline's, else by the size of the raw files, else that of the last ingest."""
    if workspace.pipeline.shards != "auto":
        return workspace.pipeline.shards
    if not raw:
        return workspace.ingested.n_shards
    n_bytes = sum(
        file.path.stat().st_size * format_of(file.path).text_per_byte for table in raw.values() for file in table.files
    )
    return max(1, round(n_bytes / _TEXT_BYTES_PER_SHARD))


def sample_threshold(plan: Plan, graph: Graph) -> int | None:
    """Return the largest subject hash that is in the sample; None = no sample was asked for.

    Raises:
        ConfigError: `--sample N` needs a stage to draw from, and the pipeline names none.
        StageError: That stage has no subjects.
    """
    sample = plan.workspace.ingested.sample
    if sample is None:
        return None
    if sample.endswith("%"):
        return int(float(sample[:-1]) / 100 * _HASHES) - 1
    name = plan.workspace.pipeline.sample_from
    if name is None:
        raise ConfigError(
            "--sample", "a number of subjects needs `sample_from:`, expected a stage there", "give a percentage"
        )
    stage = graph.stages.get(name)
    if stage is None or stage.sql is None or stage.contract is None or "subject_id" not in stage.contract.names:
        raise StageError(
            name, "is off or has no subject_id, expected a stage of subjects", "name another stage under `sample_from:`"
        )
    scratch = plan.workspace.aside / f"{name}-raw"
    with (
        readable([plan.raw[raw_table(stage.inputs[0]) or ""]], scratch) as tables,
        closing(open_stage_connection(plan, stage)) as connection,
        wrapped_errors(name, workspace=plan.workspace.root, limits=plan.limits),
        bounded_memory(plan.limits),
    ):
        bind_raw(connection, tables[0])
        parameters = parameters_for(stage.sql, plan.workspace.pipeline.values)
        row = connection.execute(
            f"select max(h) from (select distinct tawt_hash(subject_id, {SAMPLE_SALT}) as h from "
            f"({stage.sql.text}\n) where _reason is null order by h limit {int(sample)})",
            parameters,
        ).fetchone()
    return int(row[0]) if row and row[0] is not None else _HASHES
