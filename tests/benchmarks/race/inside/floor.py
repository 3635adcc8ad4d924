"""Read the six tables typed and write them as Parquet, unsorted: what no pipeline is below.

floor.py RAW OUT MEMORY_LIMIT THREADS
"""

import sys
from pathlib import Path

import duckdb

TYPES = {
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


def table(raw: str, name: str) -> str:
    """Return the SQL that reads a table of the extract, typed."""
    columns = ", ".join("'{}': '{}'".format(*column.split()) for column in TYPES[name].split(","))
    return (
        f"read_csv('{raw}/{name}.csv.gz', header=true, auto_detect=false, delim=',', quote='\"', escape='\"', "
        f"columns={{{columns}}})"
    )


def connect(out: str, limit: str, threads: str) -> duckdb.DuckDBPyConnection:
    """Connect with the limits that every job has."""
    connection = duckdb.connect(
        config={
            "memory_limit": limit, "threads": int(threads), "preserve_insertion_order": False,
            "temp_directory": out + "/spill",
        }
    )  # fmt: skip
    connection.execute("set enable_progress_bar = false")
    return connection


if __name__ == "__main__":
    raw, out, limit, threads = sys.argv[1:]
    Path(out).mkdir()
    connection = connect(out, limit, threads)
    for name in TYPES:
        connection.execute(
            f"copy (from {table(raw, name)}) to '{out}/{name.replace('/', '_')}.parquet' (format parquet)"
        )
