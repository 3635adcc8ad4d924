"""The stage `vocabulary` where it is that of another place: as it is, beside it what codes of this one are read as."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pyarrow as pa

from tawt.contracts.account import Account
from tawt.contracts.dataset import VOCABULARY
from tawt.database.connect import connect, parquet_files, wrapped_errors
from tawt.readers import table_of
from tawt.sources.stage import Bound, StageResult
from tawt.transforms.carry import CARRIED, carried
from tawt.transforms.units import Units
from tawt.transforms.vocabulary import Counts

UNKNOWN_HERE = "unknown"
"""Stands for the codes that the vocabulary does not know."""


def carry_vocabulary(
    bound: Bound, folder: Path, counts: Counts, dictionary: dict[str, tuple[str | None, list[str] | None]],
    files: list[Path],
) -> StageResult:  # fmt: skip
    """Write the vocabulary that is kept in the workspace, byte for byte, and what each code is read as.

    Raises:
        FileError: The vocabulary is not as it was written.
    """
    basis = bound.settings.basis
    assert basis is not None and basis.record is not None
    content = basis.content()
    base = table_of(content)
    units = Units.of(bound.pipeline, bound.settings.project)
    table = carried(base, counts, dictionary, basis.record.concepts, units, basis.record.by_code)
    (folder / VOCABULARY).write_bytes(content)
    with pa.ipc.new_file(str(folder / CARRIED), table.schema) as writer:
        writer.write_table(table)
    ways = [UNKNOWN_HERE if way is None else way for way in table["way"].to_pylist()]
    n_rows = int(counts.n_rows.sum())
    facts = {
        "n_data_types": _sums(ways, [1] * len(ways)), "n_rows": _sums(ways, table["n_rows"].to_pylist()),
        "n_subjects": _subjects(bound, files, table["code"].to_pylist(), ways),
    }  # fmt: skip
    account = Account(driving="events", n_records_in=n_rows, whole=False, n_records_kept=n_rows, n_rows_out=len(base))
    return StageResult((account,), facts)


def _sums(ways: list[str], counts: list[int]) -> dict[str, int]:
    return {
        way: sum(n for one, n in zip(ways, counts, strict=True) if one == way) for way in dict.fromkeys(sorted(ways))
    }


def _subjects(bound: Bound, files: list[Path], codes: list[str], ways: list[str]) -> dict[str, int]:
    """Return how many subjects have a row of a code that is known so; `known` in any way, and `all`."""
    with (
        closing(connect(bound.limits, bound.folders, bound.spill, macros=())) as connection,
        wrapped_errors("vocabulary", workspace=bound.root, limits=bound.limits),
    ):
        connection.register("_ways", pa.table({"code": codes, "way": ways}))
        rows = connection.sql(
            "with t as (select distinct way, subject_id from _ways join (select distinct code, subject_id from "
            f"{parquet_files(files)}) using (code)) select way, count(*) from t group by way "
            f"union all select 'known', count(distinct subject_id) from t where way != '{UNKNOWN_HERE}' "
            "union all select 'all', count(distinct subject_id) from t"
        ).fetchall()
    return dict(sorted(rows))
