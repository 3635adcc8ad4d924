"""The stage `vocabulary`: events of train -> the index, statistics, bins and categories of every data_type."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from duckdb import DuckDBPyConnection

from tawt.builtin.carried import carry_vocabulary
from tawt.contracts.account import Account
from tawt.contracts.dataset import SPECIAL_CODES
from tawt.contracts.dataset import VOCABULARY as VOCABULARY_FILE
from tawt.database.connect import connect, parquet_files, wrapped_errors
from tawt.errors import StageError
from tawt.pipeline.telling import FEW_TEXTS
from tawt.readers import read_parquet, table_of
from tawt.shell import command
from tawt.sources.stage import Bound, BuiltIn, StageResult, Tick
from tawt.transforms.counting import COLUMNS as COUNTED
from tawt.transforms.counting import Tally
from tawt.transforms.crowds import COLUMNS, Crowds
from tawt.transforms.extend import extended, n_unknown
from tawt.transforms.vocabulary import Counts, fit_vocabulary

UNKNOWN_BEFORE = "n_rows_unknown_before"
"""Fact: rows of train of codes that the vocabulary which is gone on from does not have."""
_NO_BASE = pa.table({"code": pa.array([], pa.string()), "categories": pa.array([], pa.list_(pa.string()))})


def run_vocabulary(bound: Bound, folder: Path, tick: Tick) -> StageResult:
    """Fit the vocabulary on train, behind the one that it goes on from, if there is one.

    Raises:
        StageError: Train holds no event, or numbers in another unit than the old ones.
        FileError: What it goes on from is not as it was written.
    """
    events = bound.inputs["events"]
    basis = bound.settings.basis
    record = basis.record if basis is not None else None
    base = table_of(basis.content()) if basis is not None and record is not None else None
    frozen = record is not None and record.frozen
    train = events.below("data" if frozen else "data/train")
    # whoever is read in a frozen vocabulary fits nothing, and texts are looked at for the kind of a code alone
    counts = _count(bound, train, 1 if frozen else bound.pipeline.vocabulary.min_category_subjects, base)
    metadata = read_parquet(events.folder / "metadata" / "codes.parquet", None, events.make_again).to_pylist()
    dictionary = {row["code"]: (row["description"], row["parent_codes"]) for row in metadata}
    if frozen:
        return carry_vocabulary(bound, folder, counts, dictionary, train)
    crowds = Crowds(fit_vocabulary(counts, bound.pipeline, bound.stage.contract, dictionary))
    for file in train:
        crowds.add(read_parquet(file, COLUMNS, events.make_again, read_dictionary=["code", "value_status"]))
    table, more = crowds.table(), {}
    if base is not None:
        table = extended(base, table, bound.pipeline.vocabulary.max_categories)
        more = {
            "n_new_data_types": len(table) - len(base),
            UNKNOWN_BEFORE: n_unknown(base, counts.codes, counts.n_rows),
        }
    pq.write_table(table, folder / VOCABULARY_FILE, compression="zstd")
    rows = table.slice(len(SPECIAL_CODES))
    kinds = rows["value_kind"].value_counts().to_pylist()
    facts = {
        "n_data_types": len(rows), "n_rare_codes": len({*counts.codes} - {*rows["code"].to_pylist()}),
        "value_kinds": {entry["values"]: entry["counts"] for entry in sorted(kinds, key=lambda e: e["values"])},
        **({FEW_TEXTS: {**counts.few}} if counts.few.get("texts") else {}), **more,
    }  # fmt: skip
    n_rows = int(counts.n_rows.sum())
    account = Account(driving="events", n_records_in=n_rows, whole=False, n_records_kept=n_rows, n_rows_out=len(table))
    return StageResult((account,), facts)


def _count(bound: Bound, files: list[Path], least: int, base: pa.Table | None) -> Counts:
    make_again = bound.inputs["events"].make_again
    if not files:
        ledger = command("query", "select * from ledger", workspace=bound.root)
        raise StageError(
            "vocabulary", "train holds no event, expected at least one",
            "check `splits:`" if bound.inputs["events"].n_rows else f"where the records went: `{ledger}`",
        )  # fmt: skip
    tally = Tally()
    for file in files:
        read = read_parquet(file, COUNTED, make_again, read_dictionary=["code", "unit", "value_status"])
        tally.add(read)
    codes, numbers = tally.codes(), tally.numbers()
    with (
        closing(connect(bound.limits, bound.folders, bound.spill, macros=())) as connection,
        wrapped_errors("vocabulary", workspace=bound.root, limits=bound.limits),
    ):
        places = pa.array(range(len(codes)), pa.int64())
        connection.register("_codes", codes.select(["code"]).append_column("i", places))
        train, most = f"(select * from {parquet_files(files)})", bound.pipeline.vocabulary.max_categories
        texts, few = _texts(connection, train, most, least, base)
    return Counts(
        codes=codes["code"].to_pylist(), n_rows=codes["n_rows"].to_numpy(), n_subjects=codes["n_subjects"].to_numpy(),
        n_value_subjects=codes["n_value_subjects"].to_numpy(), units=codes["unit"].to_pylist(), numbers=numbers,
        texts=texts, few=few,
    )  # fmt: skip


def _texts(
    connection: DuckDBPyConnection, train: str, most: int, least: int, base: pa.Table | None
) -> tuple[pa.Table, dict[str, int]]:
    """Count the texts of each of `_codes`: the most frequent that at least so many subjects have, and what the others
    are together that the base has not either."""
    # a table, so that what a chart's free text has millions of is on disk where memory ends
    connection.execute(
        "create temp table _texts as select code, text, sum(n)::bigint as n, count(*) as n_subjects from "
        "(select code, text_value as text, subject_id, count(*) as n "
        f"from {train} where value_status = 'category' group by all) group by all"
    )
    texts = connection.sql(
        f"select i as code, text, n, n_subjects from _texts join _codes using (code) where n_subjects >= {least} "
        # the vocabulary keeps no others
        f"qualify row_number() over (partition by i order by n desc, text) <= {most} order by i, text"
    ).to_arrow_table()
    connection.register("_base", base.select(["code", "categories"]) if base is not None else _NO_BASE)
    is_few = f"filter (n_subjects < {least} and is_old is null)"
    few = connection.sql(
        f"select count(*) {is_few} as texts, coalesce(sum(n) {is_few}, 0)::bigint as rows, "
        f"coalesce(sum(n), 0)::bigint as all_rows, {least} as below from _texts "
        "left join (select code, unnest(categories) as text, true as is_old from _base) using (code, text)"
    ).to_arrow_table()
    return texts, few.to_pylist()[0]


VOCABULARY = BuiltIn(
    "vocabulary",
    ("events",),
    ("vocabulary",),
    "One row is one data_type, fitted on train.",
    (
        "pipeline.vocabulary",
        "pipeline.data_types.*.normalization",
        "pipeline.data_types.*.description",
        "ingest.base",
    ),  # fmt: skip
    run_vocabulary,
)
