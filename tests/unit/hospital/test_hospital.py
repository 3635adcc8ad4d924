"""The invented hospital: same bytes, every trap where the summary says, and a signal that only time shows."""

from __future__ import annotations

import csv
import gzip
import hashlib
from collections import Counter, defaultdict
from datetime import datetime
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tawt.errors import ConfigError
from tawt.hospital.invent import HospitalSummary, write_hospital

# From the published MIMIC-IV table definitions, written here a second time on purpose.
MIMIC_IV_COLUMNS = {
    "hosp/patients": "subject_id,gender,anchor_age,anchor_year,anchor_year_group,dod",
    "hosp/admissions": "subject_id,hadm_id,admittime,dischtime,deathtime,admission_type,admit_provider_id,"
    "admission_location,discharge_location,insurance,language,marital_status,race,edregtime,edouttime,"
    "hospital_expire_flag",
    "hosp/labevents": "labevent_id,subject_id,hadm_id,specimen_id,itemid,order_provider_id,charttime,storetime,"
    "value,valuenum,valueuom,ref_range_lower,ref_range_upper,flag,priority,comments",
    "hosp/diagnoses_icd": "subject_id,hadm_id,seq_num,icd_code,icd_version",
    "hosp/d_labitems": "itemid,label,fluid,category",
    "hosp/d_icd_diagnoses": "icd_code,icd_version,long_title",
    "icu/icustays": "subject_id,hadm_id,stay_id,first_careunit,last_careunit,intime,outtime,los",
    "icu/chartevents": "subject_id,hadm_id,stay_id,caregiver_id,charttime,storetime,itemid,value,valuenum,"
    "valueuom,warning",
    "icu/d_items": "itemid,label,abbreviation,linksto,category,unitname,param_type,lownormalvalue,highnormalvalue",
}

Table = list[dict[str, Any]]


class Hospital:
    """A written hospital, read back with the standard library alone."""

    def __init__(self, folder: Path, n_subjects: int, seed: int = 0) -> None:
        self.folder = folder
        self.summary: HospitalSummary = write_hospital(folder, n_subjects=n_subjects, seed=seed)
        self.headers: dict[str, list[str]] = {}
        self.tables: dict[str, Table] = {}
        for table in MIMIC_IV_COLUMNS:
            with gzip.open(folder / f"{table}.csv.gz", "rt", encoding="utf-8", newline="") as text:
                reader = csv.DictReader(text)
                self.tables[table] = list(reader)
                self.headers[table] = list(reader.fieldnames or [])
        self.labs, self.charts = self.tables["hosp/labevents"], self.tables["icu/chartevents"]

    def hashes(self) -> dict[str, str]:
        return {
            str(path.relative_to(self.folder)): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(self.folder.rglob("*"))
            if path.is_file()
        }


@pytest.fixture(scope="module", params=[40, 200])
def hospital(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Hospital:
    return Hospital(tmp_path_factory.mktemp("hospital"), request.param)


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Hospital:
    return Hospital(tmp_path_factory.mktemp("large"), 300, seed=3)


@cache
def minutes(text: str) -> float:
    return datetime.strptime(text, "%Y-%m-%d %H:%M:%S").timestamp() / 60


def is_number(text: str | None) -> bool:
    try:
        return text is not None and np.isfinite(float(text))
    except ValueError:
        return False


def auc(score: list[float], truth: list[int]) -> float:
    """Area under the ROC curve, by counting pairs."""
    yes = np.array([s for s, t in zip(score, truth, strict=True) if t])
    no = np.array([s for s, t in zip(score, truth, strict=True) if not t])
    pairs = yes[:, None] - no[None, :]
    return float((pairs > 0).mean() + (pairs == 0).mean() / 2)


def test_the_same_seed_gives_the_same_bytes(tmp_path: Path) -> None:
    """Two folders of one seed hold equal files, another seed changes every table with patients in it."""
    first, again, other = (Hospital(tmp_path / name, 40, seed) for name, seed in (("a", 5), ("b", 5), ("c", 6)))
    assert first.hashes() == again.hashes()
    assert first.summary == again.summary
    same = {name for name, digest in first.hashes().items() if other.hashes()[name] == digest}
    assert same == {"hosp/d_labitems.csv.gz", "hosp/d_icd_diagnoses.csv.gz", "icu/d_items.csv.gz"}


def test_every_table_has_the_columns_of_mimic_iv(hospital: Hospital) -> None:
    """Headers equal the published column lists, in order, and nothing else lies in the folder."""
    assert {table: ",".join(header) for table, header in hospital.headers.items()} == MIMIC_IV_COLUMNS
    assert set(hospital.hashes()) == {f"{table}.csv.gz" for table in MIMIC_IV_COLUMNS}


def test_the_summary_counts_the_records(hospital: Hospital) -> None:
    """`n_rows` is what a CSV reader finds in each table."""
    assert hospital.summary.n_rows == {table: len(rows) for table, rows in hospital.tables.items()}


def test_every_trap_is_found_as_often_as_the_summary_says(hospital: Hospital) -> None:
    """Each trap, recognised in the written files alone, is there, in the number that the summary states."""
    both = hospital.labs + hospital.charts
    full = [r for r in both if None not in r.values()]
    ids = [int(r["subject_id"]) for r in hospital.labs], [int(r["subject_id"]) for r in hospital.charts]
    per_subject = Counter(r["subject_id"] for r in both)
    admissions = {r["hadm_id"] for r in hospital.tables["hosp/admissions"]}
    glucose = {"50931"}
    exact = Counter(tuple(r.values()) for r in both)
    word_items = {"51487", "51464", "51984", "51466", "50941"}
    numeric = [r for r in full if r["itemid"] not in word_items | {"220048"}]
    found = {
        "out_of_subject_order": sum(b < a for column in ids for a, b in pairwise(column)),
        "empty_value": sum(r["value"] == "" for r in full),
        "unparseable_value": sum(r["valuenum"] != "" and not is_number(r["valuenum"]) for r in full),
        "below_bound": sum(r["value"] == "<0.01" for r in full),
        "above_bound": sum(r["value"] == ">1000" for r in full),
        "unit_mmol": sum(r["valueuom"] == "mmol/L" and r["itemid"] in glucose for r in full),
        "unit_spelling": sum(r["valueuom"] in {"MG/DL", "mg/dl", " mg/dL", "10*9/L", "10^3/uL", "K/UL"} for r in full),
        "unit_unknown": sum(r["valueuom"] in {"arb. units", "furlong/L"} for r in full),
        "text_result": sum(r["itemid"] in word_items for r in full),
        "duplicate_row": sum(n - 1 for n in exact.values()),
        "impossible_time": sum(r["charttime"] in {"2150-13-45 99:00:00", "2150-02-30 12:00:00"} for r in full),
        "empty_time": sum(r["charttime"] == "" for r in full),
        "far_future_time": sum(r["charttime"].startswith("9999") for r in full),
        "out_of_range": sum(r["valuenum"] in {"999", "9999"} for r in numeric),
        "empty_itemid": sum(r["itemid"] == "" for r in full),
        "orphan_diagnosis": sum(r["hadm_id"] not in admissions for r in hospital.tables["hosp/diagnoses_icd"]),
        "short_row": len(both) - len(full),
        "quoted_comment": sum("\n" in r["comments"] and "," in r["comments"] for r in full if "comments" in r),
        "temperature_misfiled": sum(r["itemid"] == "223762" and r["valueuom"] == "°F" for r in full),
        "one_event_subject": sum(n == 1 for n in per_subject.values()),
    }
    traps = hospital.summary.traps
    assert {name: traps[name] for name in found} == found
    assert min(found.values()) >= 1
    assert traps["tie_same_item"] >= 3 and traps["tie_in_time"] >= 1000
    ties = Counter(
        (r["subject_id"], r["charttime"], r["itemid"]) for r in exact_once(full) if r["charttime"] and r["itemid"]
    )
    # A copy can lose its twin to no other trap, but a year 9999 or a misfiled item can make a tie of its own.
    assert sum(n - 1 for n in ties.values()) >= traps["tie_same_item"]


def exact_once(rows: Table) -> Table:
    return list({tuple(r.values()): r for r in rows}.values())


def test_charted_rows_are_sorted_by_item_and_laboratory_rows_are_not(hospital):
    """As in many extracts, simultaneous rows of one table stand in the order of their items, those of the other in none."""
    of_charts, of_labs = ([row["itemid"] for row in rows] for rows in (hospital.charts, hospital.labs))
    out_of_order = [sum(a > b for a, b in pairwise(items)) for items in (of_charts, of_labs)]
    assert out_of_order[0] < 0.05 * len(of_charts) and out_of_order[1] > 0.3 * len(of_labs)
    moments = Counter((row["subject_id"], row["charttime"]) for row in hospital.charts)
    assert max(moments.values()) > 4


def test_a_record_lies_inside_its_admission(hospital: Hospital) -> None:
    """Every readable time of an event with an admission falls between its start and end."""
    span = {
        r["hadm_id"]: (minutes(r["admittime"]), minutes(r["dischtime"])) for r in hospital.tables["hosp/admissions"]
    }
    n_checked = 0
    for row in hospital.labs + hospital.charts:
        if row["hadm_id"] and row["charttime"] and row["charttime"][:4] != "9999":
            try:
                time = minutes(row["charttime"])
            except ValueError:
                continue
            start, end = span[row["hadm_id"]]
            assert start <= time <= end
            assert time < minutes(row["storetime"])
            n_checked += 1
    assert n_checked > 1000


def test_no_subject_is_outside_patients(hospital: Hospital) -> None:
    """Every table names only subjects of `patients`: the hospital invents no unknown subject."""
    known = {r["subject_id"] for r in hospital.tables["hosp/patients"]}
    assert len(known) == hospital.summary.n_subjects
    for table, rows in hospital.tables.items():
        assert {r["subject_id"] for r in rows if "subject_id" in r} <= known, table


def test_one_subject_has_a_single_event_and_one_very_many(hospital: Hospital) -> None:
    """The lone subject has one lab and no admission; the large one has most rows, at most 15 % of all."""
    rows = Counter(r["subject_id"] for r in hospital.labs + hospital.charts)
    lone = [subject for subject, n in rows.items() if n == 1]
    admitted = {r["subject_id"] for r in hospital.tables["hosp/admissions"]}
    assert len(lone) == 1 and lone[0] not in admitted
    ((_, most), (_, next_most)) = rows.most_common(2)
    assert next_most < most <= 0.15 * rows.total()
    assert abs(most / hospital.summary.traps["large_subject"] - 1) < 0.02


def test_a_subject_has_some_hundred_rows(large: Hospital) -> None:
    """300 subjects have 100,000 to 200,000 records, and the large subject ten to thirty times the mean."""
    rows = Counter(r["subject_id"] for r in large.labs + large.charts)
    assert 100_000 <= rows.total() <= 200_000
    assert 10 <= max(rows.values()) / (rows.total() / len(rows)) <= 30


def episodes(hospital: Hospital) -> dict[str, list[tuple[float, str]]]:
    """Per truth admission, its lab records of the first 46 hours but the first draw: minutes and item, in order."""
    start = {r["hadm_id"]: minutes(r["admittime"]) for r in hospital.tables["hosp/admissions"]}
    wanted = {str(t["hadm_id"]) for t in hospital.summary.truth}
    out: dict[str, list[tuple[float, str]]] = defaultdict(list)
    for row in hospital.labs:
        if row["hadm_id"] in wanted and is_time(row["charttime"]):
            after = minutes(row["charttime"]) - start[row["hadm_id"]]
            if 60 < after < 46 * 60:
                out[row["hadm_id"]].append((after, row["itemid"]))
    return {hadm: sorted(rows) for hadm, rows in out.items()}


def is_time(text: str | None) -> bool:
    try:
        return bool(text) and text[:4] != "9999" and minutes(text) > 0
    except ValueError:
        return False


def test_the_gap_after_an_abnormal_potassium_foretells_death(large: Hospital) -> None:
    """The gap separates the dead from the living about as well as the trait itself can."""
    truth = {str(t["hadm_id"]): t for t in large.summary.truth}
    shown = episodes(large)
    assert shown.keys() == truth.keys() and len(truth) > 250
    first_gap = {h: rows[4][0] - rows[0][0] for h, rows in shown.items()}
    assert all((first_gap[h] <= 120) == bool(t["quick"]) for h, t in truth.items())
    died = [truth[h]["died"] for h in truth]
    assert auc([-first_gap[h] for h in truth], died) > 0.8
    share = {q: np.mean([t["died"] for t in truth.values() if t["quick"] == q]) for q in (0, 1)}
    assert 0.7 < share[1] < 0.9 and share[0] < 0.12
    flagged = {r["hadm_id"] for r in large.tables["hosp/admissions"] if r["hospital_expire_flag"] == "1"}
    assert {h for h in truth if truth[h]["died"]} == flagged & truth.keys()


def test_without_time_the_signal_is_not_there(large: Hospital) -> None:
    """Order of items, number of records and values are the same for quick and slow subjects, up to chance."""
    truth = {str(t["hadm_id"]): t for t in large.summary.truth}
    shown = episodes(large)
    assert len({tuple(item for _, item in rows) for rows in shown.values()}) == 1
    n_rows = Counter(r["hadm_id"] for r in large.labs + large.charts)
    potassium: dict[str, list[float]] = defaultdict(list)
    for row in large.labs:
        if row["itemid"] == "50971" and row["hadm_id"] in truth and is_number(row["valuenum"]):
            potassium[row["hadm_id"]].append(float(row["valuenum"]))
    quick = [t["quick"] for t in truth.values()]
    for score in ([float(n_rows[h]) for h in truth], [float(np.mean(potassium[h])) for h in truth]):
        assert 0.4 < auc(score, quick) < 0.6


def test_values_can_be_told_from_their_neighbours(large: Hospital) -> None:
    """A value is close to the subject's previous one and to that of a related item: there is something to learn."""
    series: dict[tuple[str, str], list[tuple[float, float]]] = defaultdict(list)
    for row in large.labs + large.charts:
        if (
            row["itemid"] in {"220045", "51222", "51221"}
            and is_time(row["charttime"])
            and is_number(row["valuenum"])
            and float(row["valuenum"]) < 900
        ):
            series[row["itemid"], row["subject_id"]].append((minutes(row["charttime"]), float(row["valuenum"])))
    for item in ("220045", "51222"):
        pairs = [(a[1], b[1]) for (i, _), rows in series.items() if i == item for a, b in pairwise(sorted(rows))]
        assert np.corrcoef(np.array(pairs).T)[0, 1] > 0.75, item
    both = [
        (dict(rows)[t], v)
        for (i, subject), rows in series.items()
        if i == "51222"
        for t, v in series["51221", subject]
        if t in dict(rows)
    ]
    assert len(both) > 1000 and np.corrcoef(np.array(both).T)[0, 1] > 0.8


def test_too_few_subjects_are_refused(tmp_path: Path) -> None:
    """Fewer than ten subjects or a negative seed is a clear error, and nothing is written."""
    with pytest.raises(ConfigError, match="is 3, expected at least 10"):
        write_hospital(tmp_path / "x", n_subjects=3)
    with pytest.raises(ConfigError, match="--seed"):
        write_hospital(tmp_path / "x", n_subjects=40, seed=-1)
    assert not (tmp_path / "x").exists()
