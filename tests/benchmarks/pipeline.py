"""Raw csv.gz to mapped shards, as a ratio to the floor: one DuckDB pass that only reads and writes, typed and unsorted.

    python tests/benchmarks/pipeline.py [--events 10000000] [--memory-limit 2GB] [--rounds 2]

Every job is a process of its own; CPU seconds are user + system of that process, peak memory its largest resident
set. Rounds alternate between the jobs, so that a noisy machine is noisy to both.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

FLOOR = """
import duckdb, sys
raw, out, limit, threads = sys.argv[1:5]
con = duckdb.connect(config={"memory_limit": limit, "threads": int(threads), "preserve_insertion_order": False,
                             "temp_directory": out + "/spill"})
con.execute("set enable_progress_bar = false")
types = {
    "hosp/patients": "subject_id BIGINT, gender VARCHAR, anchor_age INT, anchor_year INT, anchor_year_group VARCHAR, dod DATE",
    "hosp/admissions": "subject_id BIGINT, hadm_id BIGINT, admittime TIMESTAMP, dischtime TIMESTAMP, deathtime TIMESTAMP, "
        "admission_type VARCHAR, admit_provider_id VARCHAR, admission_location VARCHAR, discharge_location VARCHAR, "
        "insurance VARCHAR, language VARCHAR, marital_status VARCHAR, race VARCHAR, edregtime TIMESTAMP, "
        "edouttime TIMESTAMP, hospital_expire_flag SMALLINT",
    "hosp/labevents": "labevent_id BIGINT, subject_id BIGINT, hadm_id BIGINT, specimen_id BIGINT, itemid INT, "
        "order_provider_id VARCHAR, charttime TIMESTAMP, storetime TIMESTAMP, value VARCHAR, valuenum DOUBLE, "
        "valueuom VARCHAR, ref_range_lower DOUBLE, ref_range_upper DOUBLE, flag VARCHAR, priority VARCHAR, comments VARCHAR",
    "icu/chartevents": "subject_id BIGINT, hadm_id BIGINT, stay_id BIGINT, caregiver_id BIGINT, charttime TIMESTAMP, "
        "storetime TIMESTAMP, itemid INT, value VARCHAR, valuenum DOUBLE, valueuom VARCHAR, warning SMALLINT",
    "icu/icustays": "subject_id BIGINT, hadm_id BIGINT, stay_id BIGINT, first_careunit VARCHAR, last_careunit VARCHAR, "
        "intime TIMESTAMP, outtime TIMESTAMP, los DOUBLE",
    "hosp/diagnoses_icd": "subject_id BIGINT, hadm_id BIGINT, seq_num INT, icd_code VARCHAR, icd_version SMALLINT",
}
for table, columns in types.items():
    spelled = ", ".join("'%s': '%s'" % tuple(c.strip().split(" ")) for c in columns.split(","))
    con.execute(f"copy (select * from read_csv('{raw}/{table}.csv.gz', header=true, auto_detect=false, delim=',', "
                f"quote='\\"', escape='\\"', columns={{{spelled}}})) to '{out}/{table.replace('/', '_')}.parquet' (format parquet)")
"""

TAWT = """
import sys, tawt
raw, out, limit, threads = sys.argv[1:5]
def report(event):
    if event["event"] == "done" and event["manifest"] is not None:
        print(f'    {event["stage"]:<28} {event["manifest"].seconds:7.2f} s', file=sys.stderr)
tawt.ingest(raw, "mimic_iv", out, memory_limit=limit, threads=int(threads), report=report)
tawt.build_vocab(out, memory_limit=limit, threads=int(threads), report=report)
"""


@dataclass(frozen=True)
class Cost:
    """What one job cost."""

    cpu_seconds: float
    wall_seconds: float
    peak_megabytes: float


def measure(code: str, raw: Path, memory_limit: str, threads: int) -> Cost:
    """Run one job in its own process, with its output in a folder that is removed."""
    out = Path(tempfile.mkdtemp(dir=raw.parent))
    started = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-c", code, str(raw), str(out), memory_limit, str(threads)])
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - started
    shutil.rmtree(out)
    if status:
        raise SystemExit(f"the job failed with status {status}")
    return Cost(usage.ru_utime + usage.ru_stime, wall, usage.ru_maxrss / 1024)


def main() -> None:
    """Make the extract, run both jobs in turn, print the figures and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=10_000_000)
    parser.add_argument("--memory-limit", default="2GB")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--extract", type=Path, help="an extract made before; else one is made and removed")
    given = parser.parse_args()
    scratch = Path(tempfile.mkdtemp())
    raw = given.extract or scratch / "raw"
    if given.extract is None:
        extract = Path(__file__).with_name("extract.py")
        subprocess.run([sys.executable, str(extract), str(raw), "--events", str(given.events)], check=True)
    try:
        costs: dict[str, list[Cost]] = {"floor": [], "tawt": []}
        for _ in range(given.rounds):
            for name, code in (("floor", FLOOR), ("tawt", TAWT)):
                costs[name].append(measure(code, raw, given.memory_limit, given.threads))
        print(f"{'job':<8}{'CPU s':>10}{'wall s':>10}{'peak MB':>10}   (least of {given.rounds} rounds, memory: most)")
        best = {}
        for name, rounds in costs.items():
            best[name] = min(cost.cpu_seconds for cost in rounds)
            wall = min(cost.wall_seconds for cost in rounds)
            peak = max(cost.peak_megabytes for cost in rounds)
            print(f"{name:<8}{best[name]:>10.1f}{wall:>10.1f}{peak:>10.0f}")
        print(f"ratio of CPU seconds: {best['tawt'] / best['floor']:.2f}")
    finally:
        shutil.rmtree(scratch)


if __name__ == "__main__":
    main()
