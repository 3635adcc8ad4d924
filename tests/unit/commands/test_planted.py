"""Planted leaks: a workspace in which stages, labels and records were made wrong in a dozen ways, and one that is right."""

from __future__ import annotations

import csv
import gzip
import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

import tawt
from tawt.commands.audit import audit
from tawt.errors import ConfigError
from tawt.hospital.invent import write_hospital
from tawt.labels.leaks.verdict import Verdict
from tests.unit.clinic import write
from tests.unit.conftest import Hospital

PARTS = {
    # billed codes at the admission
    "diagnoses": """
select d.subject_id, a.admittime as time, 'DIAGNOSIS//ICD//' || icd_version || '//' || icd_code as code, d._row,
    case when a.hadm_id is null then 'quarantine:hadm_id:no_admission' end as _reason
from staging.diagnoses_icd d
left join (select hadm_id, min(admittime) as admittime from staging.admissions group by hadm_id) a using (hadm_id)
""",
    # results known when they were drawn, whenever they were stored
    "labs": """
select subject_id, charttime as time, 'LAB//RESULT//' || itemid as code, numeric_value, text_value, raw_value, unit,
    value_status, specimen_id as record_id, _row
from staging.labevents
""",
    # where somebody was discharged to, and the peak of the first day, at the admission
    "known_too_early": """
select subject_id, admittime as time, 'DISCHARGED_TO//' || discharge_location as code, _row,
    case when discharge_location is null then 'drop:nothing_measured' end as _reason
from staging.admissions
""",
    "first_day": """
select a.subject_id, max(a.admittime) as time, 'PEAK//51003' as code, max(l.numeric_value) as numeric_value, a._row,
    case when max(l.numeric_value) is null then 'drop:nothing_measured' end as _reason
from staging.admissions a
left join staging.labevents l on l.subject_id = a.subject_id and l.itemid = 50912
    and l.charttime between a.admittime and a.admittime + interval 24 hours
group by a.subject_id, a._row
""",
    # the length of a stay at its beginning
    "icu_days": """
select subject_id, intime as time, 'ICU_DAYS' as code, date_diff('hour', intime, outtime) / 24 as numeric_value, 'd' as unit,
    _row, case when outtime is null then 'drop:nothing_measured' end as _reason
from staging.icustays
""",
    # a score that follows from the outcome
    "severity": """
select subject_id, admittime + interval 1 hour as time, 'SEVERITY' as code,
    case when deathtime is null then 1 else 9 end as numeric_value, _row
from staging.admissions
""",
}
LEAKS = {
    "AVAILABILITY_LAG": ("LAB",),
    "BILLED_AFTER_DISCHARGE": ("DIAGNOSIS",),
    "UNDATED_SOURCE": ("DIAGNOSIS",),
    "HINDSIGHT_VARIABLE": ("DISCHARGED_TO",),
    "FIRST_DAY_SUMMARY": ("PEAK",),
    "INTERVAL_CROSSING": ("ICU_DAYS", "SEVERITY"),
    "OUTCOME_ENCODING": ("SEVERITY", "DISCHARGED_TO"),
    "SINGLE_FEATURE_DOMINANCE": ("SEVERITY", "DISCHARGED_TO"),
    "DUPLICATE_RECORD": (),
}
"""What is planted -> the first part of the codes that leak."""
MAY_BE = {"MISSINGNESS_PROXY", "SYNTHETIC_IN_EVALUATION"}
"""What follows from it: that a code is there tells the outcome, and two copies may lie in held_out both."""


def _twins(raw: Path, n: int) -> None:
    """Let records of some people be there once more under another id, without some of their rows."""
    ids: list[str] = []
    for path in sorted(raw.rglob("*.csv.gz"), key=lambda path: path.name != "patients.csv.gz"):
        with gzip.open(path, "rt", newline="") as file:
            header, *rows = csv.reader(file)
            rows = [row for row in rows if len(row) == len(header)]  # of some the line is cut off
        if "subject_id" not in header:
            continue
        at = header.index("subject_id")
        ids = ids or sorted(row[at] for row in rows)[:n]
        own = [row for i, row in enumerate(rows) if row[at] in ids and (len(rows) < 1000 or i % 7)]
        with gzip.open(path, "wt", newline="") as file:
            csv.writer(file).writerows([header, *rows, *(_renamed(header, row) for row in own)])


def _renamed(header: list[str], row: list[str]) -> list[str]:
    """Return a record under other numbers of the person and of its stays."""
    other = {"subject_id": "9", "hadm_id": "8", "stay_id": "7"}
    return [
        f"{other[name]}{cell[1:]}" if name in other and cell else cell for name, cell in zip(header, row, strict=True)
    ]


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with all that is planted in stages and records, and labels of deaths in hospital from one day on."""
    folder = tmp_path_factory.mktemp("planted")
    write_hospital(folder / "raw", n_subjects=90, seed=12)
    _twins(folder / "raw", 40)
    write(folder / "project", {
        "pipelines/planted.yaml": "extends: demo\nname: planted\n",
        **{f"sql/mimic_iv/event_parts/{name}.sql": f"-- One row is planted.\n{text}" for name, text in PARTS.items()},
    })  # fmt: skip
    pipeline = str(folder / "project" / "pipelines" / "planted.yaml")
    tawt.ingest(folder / "raw", pipeline, folder / "ws", threads=1, memory_limit="1GB")
    tawt.build_vocab(folder / "ws", threads=1, memory_limit="1GB")
    tawt.label("in_hospital_mortality_24h", folder / "ws", threads=1, memory_limit="500MB")
    return folder / "ws"


def by_code(workspace: Path, labels: str | Path, **more: Any) -> dict[str, Verdict]:
    """What an audit says of each leak."""
    result = audit(labels, workspace, threads=1, memory_limit="500MB", **more)
    kept = json.loads(result.path.read_text())
    assert [one["status"] for one in kept["verdicts"]] == [one.status for one in result.verdicts]
    return {one.code: one for one in result.verdicts}


def test_what_was_planted_in_stages_and_records_is_found(planted: Path) -> None:
    """Each is a leak, by the codes that were planted and no others, and what it is worth is measured; nothing else is."""
    said = by_code(planted, "in_hospital_mortality_24h")
    assert {code for code, one in said.items() if one.status == "leak"} - MAY_BE == {*LEAKS}
    for code, begins in LEAKS.items():
        one = said[code]
        assert {name.partition("//")[0] for name in one.codes} <= {*begins} and bool(one.codes) == bool(begins), one
        assert one.inflation is not None and one.inflation.with_leak >= one.inflation.without - 0.1, one
    worth = {code: one.inflation.gain for code, one in said.items() if one.inflation is not None}
    assert min(worth[code] for code in ("OUTCOME_ENCODING", "SINGLE_FEATURE_DOMINANCE", "HINDSIGHT_VARIABLE")) > 0.05
    assert abs(worth["INTERVAL_CROSSING"]) < 0.2 < said["OUTCOME_ENCODING"].inflation.with_leak  # type: ignore[union-attr]


STAYS = """
with s as (
    select subject_id, time as began from events where starts_with(code, 'HOSPITAL_ADMISSION')
), e as (
    select subject_id, time as ended, contains(code, 'DIED') as died from events
    where starts_with(code, 'HOSPITAL_DISCHARGE')
)
select s.subject_id, began, min(ended) as ended, arg_min(died, ended) as died from s
join e on e.subject_id = s.subject_id and ended > began group by all
"""
LABELS = {
    # the window begins at the admission, and what lies up to 24 hours later is known
    "LABEL_IN_INPUT": f"""
        select subject_id, began + interval 24 hours as prediction_time, exists (
            select 1 from events e where e.subject_id = s.subject_id and starts_with(e.code, 'ICU_ADMISSION')
            and e.time between began and began + interval 72 hours
        ) as boolean_value from ({STAYS}) s where ended > began + interval 24 hours
    """,
    # only stays of three days at least are asked about at one day
    "COHORT_FUTURE_INFORMATION": f"""
        select subject_id, began + interval 24 hours as prediction_time, died as boolean_value from ({STAYS}) s
        where ended > began + interval 72 hours
    """,
    # most with a diagnosis have it on record from the stay before
    "REPEATED_EVENT": f"""
        select subject_id, max(began) + interval 1 hour as prediction_time, exists (
            select 1 from events e where e.subject_id = any_value(s.subject_id)
            and e.code = 'DIAGNOSIS//ICD//10//I10' and e.time > max(s.began)
        ) as boolean_value from ({STAYS}) s group by subject_id
    """,
}


def test_what_was_planted_in_labels_is_found(hospital: Hospital, tmp_path: Path) -> None:
    """No task says how they were made; where their event lies, and who is asked about, is told from the events."""
    for code, text in LABELS.items():
        path = tmp_path / f"{code}.parquet"
        pq.write_table(tawt.query(text, hospital.workspace), path)
        said = by_code(hospital.workspace, path, out=tmp_path / code)
        leaks = {name for name, one in said.items() if one.status == "leak"}
        assert code in leaks and leaks <= {code, "POST_OUTCOME_INSTANCE", "MISSINGNESS_PROXY"}, said


def test_a_workspace_that_is_right_is_clean(own_workspace: Path) -> None:
    """No leak is found, with a task and without one, and of what is not verified it is said what to look at."""
    tawt.label("in_hospital_mortality_24h", own_workspace, threads=1, memory_limit="500MB")
    path = own_workspace / "labels" / "in_hospital_mortality_24h" / "labels.parquet"
    plain = pq.read_table(path).select(["subject_id", "prediction_time", "boolean_value"])
    pq.write_table(plain.replace_schema_metadata(None), own_workspace / "plain.parquet")
    for labels in ("in_hospital_mortality_24h", own_workspace / "plain.parquet"):
        said = by_code(own_workspace, labels)
        assert not {code for code, one in said.items() if one.status == "leak"}, said
        assert {code for code, one in said.items() if one.status == "not verified"} <= {
            "SITE_OVERLAP", "UNDATED_SOURCE", "EVALUATION_REUSE", "PRETRAINED_ON_TEST", "DECLARED_PRACTICE",
            "SHUFFLED_LABELS",
        }  # fmt: skip
    assert said["LABEL_IN_INPUT"].told.startswith("each positive label is followed by")


def test_each_thing_that_is_asked_is_looked_at_by_its_name(hospital: Hospital, tmp_path: Path) -> None:
    """Of several targets each is told apart, whichever comes first: what one of them leaks is not said of another."""
    for names in (("a_death", "b_icu"), ("b_death", "a_icu")):
        text = f"""
            with s as (from ({STAYS}) where ended > began + interval 24 hours),
            icu as ({LABELS["LABEL_IN_INPUT"]}),
            asked as (
                select subject_id, began + interval 24 hours as prediction_time, '{names[0]}' as target,
                died as boolean_value, 0::bigint as prior_count from s
                union all select subject_id, prediction_time, '{names[1]}', boolean_value, 2 from icu
            )
            select * from asked qualify row_number() over (partition by subject_id, prediction_time, target) = 1
        """
        path = tmp_path / f"{names[1]}.parquet"
        pq.write_table(tawt.query(text, hospital.workspace), path)
        said = by_code(hospital.workspace, path, out=tmp_path / names[1])
        for code in ("LABEL_IN_INPUT", "REPEATED_EVENT", "POST_OUTCOME_INSTANCE"):
            one = said[code]
            assert one.status == "leak" and one.told.startswith(f"{names[1]}: ") and names[0] not in one.told, one
        assert said["REPEATED_EVENT"].inflation is None or names[1] in said["REPEATED_EVENT"].inflation.metric
        assert all(f"{name}: " in said["SHUFFLED_LABELS"].told for name in names)


def test_numbers_are_audited_when_it_is_said_that_they_are(hospital: Hospital, tmp_path: Path) -> None:
    """Whole numbers ask which they are, by an option that there is; of what only a yes or no tells nothing is claimed."""
    path = tmp_path / "days.parquet"
    text = f"""
        select subject_id, max(began) + interval 24 hours as prediction_time,
        date_diff('day', max(began), max(ended)) as integer_value from ({STAYS}) group by subject_id
    """
    pq.write_table(tawt.query(text, hospital.workspace), path)
    with pytest.raises(ConfigError, match="has whole numbers") as error:
        by_code(hospital.workspace, path, out=tmp_path)
    assert "--kind numbers" in error.value.hint
    said = by_code(hospital.workspace, path, out=tmp_path, kind="numbers")
    assert {said[code].told for code in ("OUTCOME_ENCODING", "REPEATED_EVENT", "SHUFFLED_LABELS")} == {
        "of a yes or no alone"
    }
    assert said["FUTURE_EVENT"].status == "clean" and said["LABEL_IN_INPUT"].status == "not verified"
