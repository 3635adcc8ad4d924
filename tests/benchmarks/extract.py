"""Write an invented MIMIC-like extract of N events as csv.gz, for benchmarks: no real data, the same bytes per seed.

    python tests/benchmarks/extract.py OUT --events 10000000 [--seed 1] [--order 0]

`hosp/{patients,admissions,labevents,diagnoses_icd}` and `icu/{icustays,chartevents}` with all columns of MIMIC-IV:
40 % labevents, 50 % chartevents, 4 % diagnoses, the rest patients, admissions and stays. Rows are in random order of
subject, subjects and items are heavy-tailed, 10 % of values are empty, some percent are texts, bounds or other
spellings of a unit. Every cell is a function of the row number and the seed, so the threads do not matter (another
version of DuckDB may hash otherwise). Another `--order` has the same rows, and each table in another order. Needs only duckdb; each table is compressed beside the queries.
"""

from __future__ import annotations

import argparse
import gzip
import math
import random
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue
from typing import IO

import duckdb

N_LAB_ITEMS, N_CHART_ITEMS, N_DIAGNOSES = 1_000, 2_000, 8_000
SHARES = {"hosp/labevents": 0.40, "icu/chartevents": 0.50, "hosp/diagnoses_icd": 0.04}
EVENTS_PER_SUBJECT = 500
PART_ROWS = 500_000
"""Rows per query: while one part is made, those before it are compressed."""

MACROS = """
create macro u(i, salt) as hash(i, salt, {seed}) / 18446744073709551616.0;
create macro pick(words, x) as nullif(words[1 + floor(len(words) * x)::int], '');
create macro bell(i, salt) as (u(i, salt) + u(i, salt + 1) + u(i, salt + 2) - 1.5) * 2;
create macro subject_of(i) as 10000000 + floor({n_subjects} * pow(u(i, 11), 2))::bigint;
create macro admission_of(subject, i) as subject * 10 + floor(3 * u(subject, 12) * u(i, 13))::bigint;
create macro starts(hadm) as
    4417977600 + floor(u(hadm // 10, 14) * 1.5e9 + (hadm % 10) * 1.0e7 + u(hadm, 15) * 5.0e6)::bigint // 60 * 60;
create macro lasts(hadm) as floor(86400 * (1 + 20 * pow(u(hadm, 16), 3)))::bigint // 60 * 60;
create macro stamp(seconds) as strftime(make_timestamp(seconds * 1000000), '%Y-%m-%d %H:%M:%S');
create macro within(hadm, i) as starts(hadm) + floor(lasts(hadm) * u(i, 17))::bigint // 60 * 60;
create macro provider(i) as 'P' || lpad(floor(2000 * u(i, 18))::int::varchar, 5, '0');
create macro number(item, i) as round(exp(6 * u(item, 21) - 1) * greatest(0.05, 1 + 0.25 * bell(i, 22)), 2);
"""

# `x` decides a row's kind: empty, words, below or above a bound, or a number. `number` is always there for a bound.
MEASURED = """
select *,
    case when x < 0.10 then null when x < 0.13 then pick(['NEG', 'POS', 'HOLD', 'see comment'], y)
         when x < 0.135 then '<' || number when x < 0.14 then '>' || number else number::varchar end as value,
    case when x >= 0.14 then number::varchar end as valuenum,
    case when y < 0.02 then pick([upper(unit), ' ' || unit, lower(unit), ''], y * 50) else unit end as valueuom
from (
    select i, subject, admission_of(subject, i) as hadm, item, u(i, 25) as x, u(i, 26) as y, number(item, i) as number,
        pick(['mg/dL', 'mEq/L', '%', 'K/uL', 'g/dL', 'IU/L', 'mmHg', 'bpm', 'insp/min', ''], u(item, 27)) as unit
    from (
        select i, subject_of(i) as subject, {first_item} + floor({n_items} * pow(u(i, 19), 3))::bigint as item
        from (select {row} + {offset} as i from range({low}, {high}))
    )
)
"""

SELECTS = {
    "hosp/patients": """
select s as subject_id, case when u(s, 31) < 0.5 then 'F' else 'M' end as gender,
    18 + floor(73 * u(s, 32))::int as anchor_age, year(make_timestamp(starts(s * 10) * 1000000)) as anchor_year,
    pick(['2008 - 2010', '2011 - 2013', '2014 - 2016', '2017 - 2019'], u(s, 33)) as anchor_year_group,
    case when u(s, 34) < 0.1 then stamp(starts(s * 10 + 2) + lasts(s * 10 + 2) + 8640000)[:10] end as dod
from (select 10000000 + range as s from range({low}, {high})) order by hash(s, {shuffle})""",
    "hosp/admissions": """
select h // 10 as subject_id, h as hadm_id, stamp(starts(h)) as admittime, stamp(starts(h) + lasts(h)) as dischtime,
    case when u(h, 35) < 0.02 then stamp(starts(h) + lasts(h)) end as deathtime,
    pick(['EW EMER.', 'URGENT', 'ELECTIVE', 'OBSERVATION ADMIT', 'DIRECT EMER.'], u(h, 36)) as admission_type,
    provider(h) as admit_provider_id,
    pick(['EMERGENCY ROOM', 'PHYSICIAN REFERRAL', 'TRANSFER FROM HOSPITAL'], u(h, 37)) as admission_location,
    case when u(h, 35) < 0.02 then 'DIED' else pick(['HOME', 'REHAB', 'HOME HEALTH CARE'], u(h, 38)) end
        as discharge_location,
    pick(['Medicare', 'Medicaid', 'Private', 'Other'], u(h, 39)) as insurance,
    pick(['English', 'English', 'Spanish', ''], u(h // 10, 40)) as language,
    pick(['MARRIED', 'SINGLE', 'WIDOWED', 'DIVORCED', ''], u(h // 10, 41)) as marital_status,
    pick(['WHITE', 'BLACK/AFRICAN AMERICAN', 'ASIAN', 'UNKNOWN'], u(h // 10, 42)) as race,
    case when u(h, 43) < 0.6 then stamp(starts(h) - 60 * (60 + floor(300 * u(h, 44))::bigint)) end as edregtime,
    case when u(h, 43) < 0.6 then stamp(starts(h) - 60 * floor(59 * u(h, 45))::bigint) end as edouttime,
    (u(h, 35) < 0.02)::int as hospital_expire_flag
from (select (10000000 + range // 3) * 10 + range % 3 as h from range({low}, {high})) order by hash(h, {shuffle})""",
    "icu/icustays": """
select h // 10 as subject_id, h as hadm_id, h + 300000000 as stay_id, unit as first_careunit, unit as last_careunit,
    stamp(starts(h)) as intime, stamp(starts(h) + lasts(h)) as outtime, round(lasts(h) / 86400.0, 6) as los
from (
    select *, pick(['Medical Intensive Care Unit (MICU)', 'Surgical Intensive Care Unit (SICU)'], u(h, 46)) as unit
    from (select (10000000 + range // 3) * 10 + range % 3 as h from range({low}, {high}))
) order by hash(h, {shuffle})""",
    "hosp/labevents": """
select i + 1 as labevent_id, subject as subject_id, hadm as hadm_id, hash(hadm, within(hadm, i)) % 90000000 as specimen_id,
    item as itemid, case when u(i, 51) < 0.8 then provider(i) end as order_provider_id, stamp(within(hadm, i)) as charttime,
    stamp(within(hadm, i) + 60 * (15 + floor(180 * u(i, 52))::bigint)) as storetime, value, valuenum, valueuom,
    round(exp(6 * u(item, 21) - 1) * 0.75, 1) as ref_range_lower,
    round(exp(6 * u(item, 21) - 1) * 1.25, 1) as ref_range_upper,
    case when abs(bell(i, 22)) > 1 and x >= 0.14 then 'abnormal' end as flag,
    pick(['ROUTINE', 'STAT', ''], u(i, 53)) as priority,
    case when u(i, 54) < 0.15 then 'RESULT REPORTED, SEE "NOTE".' end as comments
from ({measured})""",
    "icu/chartevents": """
select subject as subject_id, hadm as hadm_id, hadm + 300000000 as stay_id, 1000 + floor(90000 * u(hadm, 55))::int as caregiver_id,
    stamp(within(hadm, i)) as charttime, stamp(within(hadm, i) + 60 * (1 + floor(40 * u(i, 56))::bigint)) as storetime,
    item as itemid, value, valuenum, valueuom, (u(i, 57) < 0.01)::int as warning
from ({measured})""",
    "hosp/diagnoses_icd": """
select subject as subject_id, admission_of(subject, i) as hadm_id, 1 + floor(20 * u(i, 61))::int as seq_num,
    chr(65 + floor(26 * u(code, 62))::int) || lpad(code::varchar, 4, '0') as icd_code,
    case when u(code, 63) < 0.6 then 10 else 9 end as icd_version
from (
    select i, subject_of(i) as subject, floor({n_diagnoses} * pow(u(i, 64), 3))::bigint as code
    from (select {row} + {offset} as i from range({low}, {high}))
)""",
}
ITEM_RANGE = {"hosp/labevents": (50_000, N_LAB_ITEMS), "icu/chartevents": (220_000, N_CHART_ITEMS)}
OFFSET = {"hosp/labevents": 0, "icu/chartevents": 1 << 40, "hosp/diagnoses_icd": 2 << 40}


def row_at(order: int, n: int) -> str:
    """Return the SQL of which of n rows stands at place `range`: each at one, and no row near its neighbour."""
    if not order:
        return "range"
    draw = random.Random(order)
    stride = next(s for s in iter(lambda: draw.randrange(n // 3, n) or 1, None) if math.gcd(s, n) == 1)
    return f"((range * {stride} + {draw.randrange(n)}) % {n})"


def write_extract(out: Path, *, n_events: int, seed: int = 1, order: int = 0, gzip_level: int = 6) -> dict[str, int]:
    """Write the tables under `out` and return the number of records of each."""
    n_subjects = max(10, n_events // EVENTS_PER_SUBJECT)
    connection = duckdb.connect()
    connection.execute("set preserve_insertion_order = true")
    connection.execute(MACROS.format(seed=seed, n_subjects=n_subjects))
    n_rows = {"hosp/patients": n_subjects, "hosp/admissions": 3 * n_subjects, "icu/icustays": 3 * n_subjects}
    n_rows |= {table: int(n_events * share) for table, share in SHARES.items()}
    with tempfile.TemporaryDirectory(dir=_made(out)) as scratch, ThreadPoolExecutor(2) as packers:
        packing = []
        for table, n in n_rows.items():
            started = time.perf_counter()
            parts: SimpleQueue[Path | None] = SimpleQueue()
            packing.append(packers.submit(_pack, out / f"{table}.csv.gz", parts, gzip_level))
            # A table that is shuffled by sorting is one part; the others are random by their row number already.
            step = PART_ROWS if table in SHARES else n
            try:
                for low in range(0, n, step):
                    part = Path(scratch) / f"{table.replace('/', '-')}-{low}.csv"
                    bounds = {
                        "low": low,
                        "high": min(low + step, n),
                        "offset": OFFSET.get(table, 0),
                        "seed": seed,
                        "row": row_at(order, n),
                        "shuffle": f"{seed}, {order}" if order else seed,
                    }
                    first_item, n_items = ITEM_RANGE.get(table, (0, 0))
                    measured = MEASURED.format(first_item=first_item, n_items=n_items, **bounds)
                    select = SELECTS[table].format(measured=measured, n_diagnoses=N_DIAGNOSES, **bounds)
                    connection.execute(f"copy ({select}) to '{part}' (format csv, header {low == 0})")
                    parts.put(part)
            finally:
                parts.put(None)
            print(
                f"{table}: {n:,} rows, query {time.perf_counter() - started:.1f} s",
                file=sys.stderr,
                flush=True,
            )
        for packed in packing:
            packed.result()
    return n_rows


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _pack(path: Path, parts: SimpleQueue[Path | None], level: int) -> None:
    """Compress parts into one gzip member, in a process of its own where there is a gzip program."""
    aside = _made(path.parent) / (path.name + ".partial")
    with aside.open("wb") as target:
        if program := shutil.which("pigz") or shutil.which("gzip"):
            with subprocess.Popen([program, f"-{level}", "-n", "-c"], stdin=subprocess.PIPE, stdout=target) as child:
                assert child.stdin is not None
                _copy(parts, child.stdin)
            if child.returncode:
                raise RuntimeError(f"{program} failed on {path.name}: exit {child.returncode}")
        else:
            with gzip.GzipFile("", "wb", level, target, mtime=0) as stream:
                _copy(parts, stream)
    aside.replace(path)


def _copy(parts: SimpleQueue[Path | None], target: IO[bytes] | gzip.GzipFile) -> None:
    """Feed the parts on in order and remove each; the queue ends with None."""
    while part := parts.get():
        with part.open("rb") as text:
            shutil.copyfileobj(text, target, 1 << 20)
        part.unlink()


def main() -> None:
    parser = argparse.ArgumentParser(description="Write an invented MIMIC-like extract of N events as csv.gz.")
    parser.add_argument("out", type=Path)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--order", type=int, default=0, help="another number: the same rows in another order")
    parser.add_argument("--gzip-level", type=int, default=6)
    options = parser.parse_args()
    started = time.perf_counter()
    n_rows = write_extract(
        options.out, n_events=options.events, seed=options.seed, order=options.order, gzip_level=options.gzip_level
    )
    n_bytes = sum(path.stat().st_size for path in options.out.rglob("*.csv.gz"))
    seconds = time.perf_counter() - started
    print(f"{sum(n_rows.values()):,} records, {n_bytes / 1e6:.0f} MB, {seconds:.1f} s")


if __name__ == "__main__":
    main()
