"""What comes out of each job, by kind of event, and what is missing from whom."""

from __future__ import annotations

import json
import struct
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import duckdb
import numpy as np

sys.path.insert(0, str(Path(__file__).parent / "inside"))
from floor import TYPES, table

KINDS = ("laboratory", "chart", "diagnoses", "others")
KIND = (
    "case when code like 'LAB//%' then 'laboratory' when code like 'CHART//%' then 'chart' "
    "when code like 'DIAGNOSIS//%' then 'diagnoses' else 'others' end"
)
FILES = {
    "tawt": "events/data/*/*.parquet", "ingest": "events/data/*/*.parquet", "extract": "data/*/*.parquet",
    "flat": "unsorted_data/*.parquet", "polars": "data/*.parquet", "cpp": "data/*.parquet",
}  # fmt: skip
CARRIED = {
    "hosp/labevents": "subject_id, hadm_id, charttime, itemid, valueuom, valuenum::float, value",
    "icu/chartevents": "subject_id, hadm_id, stay_id, charttime, itemid, valueuom, valuenum::float, value",
    "hosp/diagnoses_icd": "subject_id, hadm_id, icd_version, icd_code",
}
"""What events of MEDS-extract hold of a row here: rows that are equal in it are one to it."""


def count_out(name: str, out: Path) -> Counter[str] | None:
    """Return how many events of each kind a job has left; None where its form is not one of events."""
    if name == "tensors":
        return _tensors(out)
    if name not in FILES:
        return None
    files = f"read_parquet('{out / FILES[name]}', hive_partitioning=false, union_by_name=true)"
    return Counter(dict(duckdb.sql(f"select {KIND} as kind, count(*) from {files} group by kind").fetchall()))


def _tensors(out: Path) -> Counter[str]:
    """Count codes of all tensors, and those without a time, which stand beside them."""
    files = [f"'{out}/{name}.parquet'" for name in ("metadata/codes", "tokenization/schemas/*/*")]
    kinds = dict(duckdb.sql(f'select "code/vocab_index", {KIND} from {files[0]}').fetchall())
    n: Counter[str] = Counter()
    for index, count in duckdb.sql(
        f"select unnest(static_code) as c, count(*) from read_parquet({files[1]}, hive_partitioning=false) group by c"
    ).fetchall():
        n[kinds[index]] += count
    for path in out.glob("data/**/*.nrt"):
        with path.open("rb") as file:
            head = json.loads(file.read(struct.unpack("<Q", file.read(8))[0]))
            begin, end = head["dim2/code"]["data_offsets"]
            assert head["dim2/code"]["dtype"] == "I64"
            file.seek(begin, 1)
            codes = np.frombuffer(file.read(end - begin), "<i8")
        for index, count in zip(*np.unique(codes, return_counts=True), strict=True):
            n[kinds[int(index)]] += int(count)
    return n


def reasons(raw: Path, outs: dict[str, Path]) -> Iterator[str]:
    """Say of what is missing what can be counted: in tawt's ledger, in the raw tables, in the other's events."""
    if place := outs.get("tawt") or outs.get("ingest"):
        ledger = duckdb.sql(
            f"select route, reason, sum(n) from '{place}/ledger.parquet' where route in ('drop', 'quarantine') group by all order by all"
        ).fetchall()
        told = ", ".join(f"{reason} {n:,} ({route})" for route, reason, n in ledger)
        yield f"tawt's ledger: {told or 'nothing dropped or quarantined'}"
    if "extract" in outs:
        n = {
            name: duckdb.sql(
                f"select (select count(*) from {table(str(raw), name)}) - "
                f"(select count(*) from (select distinct {columns} from {table(str(raw), name)}))"
            ).fetchall()[0][0]
            for name, columns in CARRIED.items()
        }
        told = ", ".join(f"{name} {count:,}" for name, count in n.items())
        yield f"rows equal in all that events of MEDS-extract hold: {told} (of {len(TYPES)} tables)"
    if "extract" in outs and "tensors" in outs:
        data = outs["extract"] / "data"
        (unseen,) = duckdb.sql(
            f"select count(*) from '{data}/*/*.parquet' where code not in (select code from '{data}/train/*.parquet')"
        ).fetchall()[0]
        yield f"events of MEDS-extract whose code train does not have: {unseen:,}"
