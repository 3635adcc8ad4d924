"""Which subjects are in a sample, and into how many shards the subjects go; both by the subject's hash."""

from __future__ import annotations

import math
from contextlib import closing

from tawt.config.pipeline import PipelineConfig
from tawt.database.connect import bounded_memory, wrapped_errors
from tawt.errors import ConfigError
from tawt.files import ASIDE
from tawt.pipeline.records import sample_of
from tawt.pipeline.relations import connected
from tawt.raw.copies import readable
from tawt.raw.find import RawTable
from tawt.raw.formats import format_of
from tawt.raw.views import bind_raw
from tawt.sources.held import held_on
from tawt.sources.stage import Bound
from tawt.transforms.subject_hash import SAMPLE_SALT

_TEXT_BYTES_PER_SHARD = 64 << 20
"""About a quarter of a million laboratory results: then a shard is seldom cut into pieces while it is merged."""
_LEAST_OF_RECORD = 100
"""Bytes that a record counts for, however short it is."""
_HASHES = 1 << 32


def check_sample(sample: str | int | None) -> str | None:
    """Return `--sample`, which must be `N` or `P%`.

    Raises:
        ConfigError: It is neither.
    """
    if sample is None:
        return None
    try:
        return sample_of(str(sample))
    except ValueError:
        raise ConfigError(
            f"--sample {sample}", "is no sample, expected a number of subjects or a percentage", "for example 500 or 5%"
        ) from None


def shard_count(pipeline: PipelineConfig, raw: dict[str, RawTable], before: int) -> int:
    """Return the number of shards: the pipeline's, else by the text and the records of the raw files, else what it was.

    It is a power of two, so that raw files which grow seldom cut all shards anew: when they are twice as large.
    """
    if pipeline.shards != "auto":
        return pipeline.shards
    if not raw:
        return before
    texts = (
        sum(file.path.stat().st_size * format_of(file.path).text_per_byte for file in table.files)
        for table in raw.values()
    )
    least = (_LEAST_OF_RECORD * table.n_records for table in raw.values())
    n_bytes = sum(map(max, texts, least))
    return 1 << max(0, round(math.log2(max(1, n_bytes / _TEXT_BYTES_PER_SHARD))))


def sampled_hash(sample: str | None, subjects: Bound | None = None) -> int | None:
    """Return the largest subject hash that is in a sample; None = everything is.

    Args:
        sample: `N` or `P%`; None = no sample.
        subjects: The stage that `N` subjects are drawn from.
    """
    if sample is None:
        return None
    if sample.endswith("%"):
        return int(float(sample[:-1]) / 100 * _HASHES) - 1
    assert subjects is not None
    name, limits = subjects.stage.name, subjects.limits
    with (
        readable(list(subjects.raw.values()), subjects.root / ASIDE / f"{name}-raw") as tables,
        closing(connected(subjects)) as connection,
        wrapped_errors(name, workspace=subjects.root, limits=limits),
        bounded_memory(limits),
    ):
        for table in tables:
            bind_raw(connection, table, numbers=subjects.stage.numbers)
        select = held_on(connection, subjects.stage, subjects.parameters)
        row = connection.execute(
            f"select max(h) from (select distinct tawt_hash(subject_id, {SAMPLE_SALT}) as h from "
            f"({select}) where _reason is null order by h limit {int(sample)})",
            subjects.parameters,
        ).fetchone()
    return int(row[0]) if row and row[0] is not None else _HASHES
