"""Write every event that the six tables give, unsorted, as meds_etl wants it: plain SQL, without a check of any kind.

flat.py RAW OUT MEMORY_LIMIT THREADS
"""

import sys
from pathlib import Path

from floor import TYPES, connect, table

COLUMNS = (  # of each event, with one type in every file
    "subject_id, time, code, numeric_value::float as numeric_value, text_value::varchar as text_value, "
    "unit::varchar as unit, available_time"
)
TRAITS = ("insurance", "language", "marital_status", "race")
STAMPS = {"edregtime": "ED_REGISTRATION", "edouttime": "ED_OUT"}


def plain(time: str, code: str, source: str, where: str = "true") -> str:
    """Return the SQL of events without a value."""
    return f"select subject_id, {time} as time, {code} as code from {source} where {where}"


def selects(tables: dict[str, str]) -> list[str]:
    """Return the SQL of each kind of event."""
    patients, admissions, stays = (tables[f"{name}"] for name in ("hosp/patients", "hosp/admissions", "icu/icustays"))
    deaths = f"(select subject_id, min(deathtime) as deathtime from {admissions} group by subject_id)"
    discharges = f"(select hadm_id, dischtime from {admissions})"
    made = [
        plain("null::timestamp", "'GENDER//' || gender", patients),
        plain("make_timestamp(anchor_year - anchor_age, 1, 1, 0, 0, 0)", "'MEDS_BIRTH'", patients),
        plain("coalesce(deathtime, dod + interval '23:59:59')", "'MEDS_DEATH'",
              f"{patients} left join {deaths} using (subject_id)", "coalesce(deathtime, dod) is not null"),
        plain("admittime", "concat_ws('//', 'HOSPITAL_ADMISSION', coalesce(admission_type, 'UNK'), "
              "coalesce(admission_location, 'UNK'))", admissions),
        plain("dischtime", "'HOSPITAL_DISCHARGE//' || coalesce(discharge_location, 'UNK')", admissions),
        plain("intime", "'ICU_ADMISSION//' || first_careunit", stays),
        plain("outtime", "'ICU_DISCHARGE//' || last_careunit", stays),
        plain("dischtime", "'DIAGNOSIS//ICD//' || icd_version || '//' || icd_code",
              f"{tables['hosp/diagnoses_icd']} join {discharges} using (hadm_id)"),
        *(plain("admittime", f"'{name.upper()}//' || {name}", admissions, f"{name} is not null") for name in TRAITS),
        *(plain(name, f"'{code}'", admissions, f"{name} is not null") for name, code in STAMPS.items()),
    ]  # fmt: skip
    rows = [
        f"select *, null as numeric_value, null as text_value, null as unit, time as available_time from ({one})"
        for one in made
    ]
    return rows + [
        f"select subject_id, charttime as time, '{code}' || itemid as code, valuenum as numeric_value, "
        "case when valuenum is null then value end as text_value, valueuom as unit, storetime as available_time "
        f"from {tables[name]}"
        for name, code in (("hosp/labevents", "LAB//RESULT//"), ("icu/chartevents", "CHART//"))
    ]


if __name__ == "__main__":
    raw, out, limit, threads = sys.argv[1:]
    (Path(out) / "unsorted_data").mkdir(parents=True)
    (Path(out) / "metadata").mkdir()
    (Path(out) / "metadata" / "dataset.json").write_text('{"dataset_name": "race"}')
    connection = connect(out, limit, threads)
    for number, select in enumerate(selects({name: table(raw, name) for name in TYPES})):
        connection.execute(
            f"copy (select {COLUMNS} from ({select})) to '{out}/unsorted_data/{number:02}.parquet' (format parquet)"
        )
