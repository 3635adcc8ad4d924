"""Where every record of the invented hospital went, found again from the raw files with the standard library alone."""

from __future__ import annotations

import csv
import gzip
import re
from collections import Counter, defaultdict
from datetime import datetime
from pathlib import Path

import pyarrow.parquet as pq
import pytest

TABLES = {
    "labevents": "hosp/labevents", "chartevents": "icu/chartevents", "diagnoses_icd": "hosp/diagnoses_icd",
    "patients": "hosp/patients", "admissions": "hosp/admissions", "icustays": "icu/icustays",
    "d_labitems": "hosp/d_labitems", "d_items": "icu/d_items", "d_icd_diagnoses": "hosp/d_icd_diagnoses",
}  # fmt: skip
FAMILIES = {
    "labevents": "labs", "chartevents": "chart", "diagnoses_icd": "diagnoses", "patients": "patients",
    "admissions": "admissions", "icustays": "icustays",
}  # fmt: skip
EARLIEST, LATEST = datetime(1900, 1, 1), datetime(2300, 1, 1)
TIMES = ("charttime", "storetime", "admittime", "dischtime", "deathtime", "edregtime", "edouttime", "intime", "outtime")
REQUIRED = {"charttime", "admittime", "intime"}
KEYS = ("subject_id", "hadm_id", "stay_id", "itemid")


def raw_table(folder: Path, table: str) -> tuple[list[dict[str, str]], list[int]]:
    """Return the records of a table in file order, and the lines at which one has too few fields."""
    records, short = [], []
    with gzip.open(folder / f"{TABLES[table]}.csv.gz", "rt", encoding="utf-8", newline="") as text:
        reader = csv.reader(text)
        header = next(reader)
        before = reader.line_num
        for row in reader:
            if len(row) == len(header):
                records.append(dict(zip(header, row, strict=True)))
            else:
                short.append(before + 1)
            before = reader.line_num
    return records, short


def key_defect(table: str, record: dict[str, str]) -> tuple[str, str] | None:
    """Return column and reason of the first key cell that cannot be used."""
    used = {"labevents": KEYS[::3], "chartevents": KEYS[::3], "diagnoses_icd": KEYS[:2], "admissions": KEYS[:2]}
    for column in used.get(table, KEYS[:1]) if table not in ("d_labitems", "d_items", "d_icd_diagnoses") else ():
        if not record[column]:
            return column, "missing"
        if not record[column].isdigit():
            return column, "unparseable"
    for column in TIMES:
        if column in record:
            if not record[column]:
                if column in REQUIRED:
                    return column, "missing"
                continue
            try:
                time = datetime.strptime(record[column], "%Y-%m-%d %H:%M:%S")
            except ValueError:
                return column, "unparseable"
            if not EARLIEST <= time <= LATEST:
                return column, "out_of_range"
    return None


@pytest.fixture(scope="module")
def raw(hospital) -> dict[str, tuple[list[dict[str, str]], list[int]]]:
    return {table: raw_table(hospital.raw, table) for table in TABLES}


@pytest.fixture(scope="module")
def ledger(hospital) -> dict[tuple[str, str, str | None], int]:
    total: Counter[tuple[str, str, str | None]] = Counter()
    for row in pq.read_table(hospital.workspace / "ledger.parquet").to_pylist():
        total[row["stage"], row["route"], row["reason"]] += row["n"]
    return total


def numbered(records: list[dict[str, str]]) -> enumerate:
    return enumerate(records, 1)


@pytest.mark.parametrize("table", TABLES)
def test_staging_balances_against_the_raw_file(table: str, raw, ledger) -> None:
    """Records in, kept and quarantined by reason are what a CSV reader and `strptime` count in the file."""
    records, short = raw[table]
    defects = Counter(key_defect(table, record) for record in records)
    kept = defects.pop(None, 0)
    expected = {("in", None): len(records) + len(short), ("kept", None): kept, ("rows_out", None): kept}
    expected |= {("quarantine", f"{column}:{reason}"): n for (column, reason), n in defects.items()}
    if short:
        expected["quarantine", "line:missing_columns"] = len(short)
    got = {(route, reason): n for (stage, route, reason), n in ledger.items() if stage == f"staging.{table}"}
    assert got == expected


@pytest.mark.parametrize("table", ["labevents", "chartevents"])
def test_the_quarantine_lists_the_very_records(table: str, hospital, raw) -> None:
    """File, record number, column and reason of every listed record are those of the raw file; lines likewise."""
    records, short = raw[table]
    expected = {(i, None, *defect) for i, r in numbered(records) if (defect := key_defect(table, r)) is not None}
    expected |= {(None, line, "line", "missing_columns") for line in short}
    listed = pq.read_table(hospital.workspace / "quarantine" / f"staging.{table}.parquet").to_pylist()
    assert {(row["record"], row["line"], row["column"], row["reason"]) for row in listed} == expected
    assert len(listed) == len(expected) > 20
    assert {row["file"] for row in listed} == {f"{TABLES[table]}.csv.gz"}
    assert {name for row in listed for name in row} == {
        "file",
        "record",
        "line",
        "column",
        "reason",
        "stage",
        "pipeline",
    }


@pytest.mark.parametrize("table", FAMILIES)
def test_every_raw_record_is_an_event_a_drop_or_a_quarantine(table: str, hospital, raw, ledger) -> None:
    """The `source_row`s of events, the listed quarantines and the counted drops together are the file, each once."""
    records, short = raw[table]
    family = f"event_parts.{FAMILIES[table]}"
    rows: defaultdict[int, list[dict]] = defaultdict(list)
    for event in hospital.events().select(["subject_id", "source", "source_row"]).to_pylist():
        if event["source"] == family:
            rows[event["source_row"]].append(event)
    quarantined = set()
    for stage in (f"staging.{table}", family):
        path = hospital.workspace / "quarantine" / f"{stage}.parquet"
        if path.is_file():
            quarantined |= {row["record"] for row in pq.read_table(path).to_pylist() if row["record"] is not None}
    everyone = set(range(1, len(records) + 1))
    assert not quarantined & set(rows)
    lost = everyone - quarantined - set(rows)
    assert lost == duplicates(table, raw, quarantined)
    assert set(rows) <= everyone
    for number, events in rows.items():
        assert {event["subject_id"] for event in events} == {int(records[number - 1]["subject_id"])}
    assert ledger[f"staging.{table}", "in", None] == len(rows) + len(lost) + len(quarantined) + len(short)


def duplicates(table: str, raw, quarantined: set[int]) -> set[int]:
    """Return the records that say nothing that an earlier one did not: equal in every column that events use."""
    unused = {"labevent_id", "specimen_id", "hadm_id", "stay_id", "comments", "ref_range_lower", "ref_range_upper",
              "flag", "priority", "order_provider_id", "caregiver_id", "warning", "seq_num"}  # fmt: skip
    seen, again = set(), set()
    for number, record in numbered(raw[table][0]):
        if number in quarantined:
            continue
        same = tuple(value for name, value in record.items() if name not in unused)
        if same in seen:
            again.add(number)
        seen.add(same)
    return again if table in ("labevents", "chartevents") else set()


def test_the_planted_traps_went_where_they_must(hospital, raw, ledger) -> None:
    """Counts of the ledger and of the statuses are those of the hospital's own list of traps."""
    traps = hospital.summary.traps

    def quarantined(reason: str) -> int:
        return sum(n for (_, route, why), n in ledger.items() if route == "quarantine" and why == reason)

    assert quarantined("itemid:missing") == traps["empty_itemid"]
    assert quarantined("charttime:missing") == traps["empty_time"]
    assert quarantined("charttime:unparseable") == traps["impossible_time"]
    assert quarantined("charttime:out_of_range") == traps["far_future_time"]
    assert quarantined("line:missing_columns") == traps["short_row"]
    assert quarantined("hadm_id:no_admission") == traps["orphan_diagnosis"]
    assert sum(n for key, n in ledger.items() if key[:2] == ("events", "drop")) == traps["duplicate_row"]
    events = hospital.events()
    status = Counter(events["value_status"].to_pylist())
    assert status["absent"] == traps["empty_value"]
    assert status["unparsed"] == traps["unparseable_value"]
    assert status["unit_unknown"] == traps["unit_unknown"]
    assert status["out_of_range"] == traps["out_of_range"] + impossible_scores(raw)
    assert status["censored_low"] == traps["below_bound"]
    assert status["censored_high"] == traps["above_bound"]
    rhythms = sum(record["itemid"] == "220048" for record in raw["chartevents"][0])
    tens = sum(record["itemid"] == "51984" and record["value"] == "10" for record in raw["labevents"][0])
    assert status["category"] == traps["text_result"] + rhythms - tens
    rules = Counter(events["unit_rule"].to_pylist())
    assert rules["convert:mmol/L->mg/dL"] == traps["unit_mmol"]
    assert rules["unknown"] == traps["unit_unknown"]


def impossible_scores(raw) -> int:
    """Coma scores above their scale: a second result of one minute is a point higher."""
    highest = {"220739": 4, "223900": 5, "223901": 6}
    return sum(
        float(record["valuenum"]) > highest[record["itemid"]]
        for record in raw["chartevents"][0]
        if record["itemid"] in highest and re.fullmatch(r"\d+(\.\d+)?", record["valuenum"])
        and key_defect("chartevents", record) is None
    )  # fmt: skip


@pytest.mark.parametrize("table", ["labevents", "chartevents"])
def test_values_are_those_of_the_raw_cells(table: str, hospital, raw) -> None:
    """A number in its own unit is the raw cell's float32; text and bounds are kept, and raw_value fills only gaps."""
    prefix = {"labevents": "LAB//RESULT//", "chartevents": "CHART//"}[table]
    records = raw[table][0]
    met: Counter[str] = Counter()
    for event in hospital.events().to_pylist():
        if event["source"] != f"event_parts.{FAMILIES[table]}":
            continue
        record = records[event["source_row"] - 1]
        assert event["code"] == prefix + record["itemid"]
        assert event["time"] == datetime.strptime(record["charttime"], "%Y-%m-%d %H:%M:%S")
        store = datetime.strptime(record["storetime"], "%Y-%m-%d %H:%M:%S")
        assert event["available_time"] == max(event["time"], store)
        status, rule = event["value_status"], event["unit_rule"]
        number = record["valuenum"] or record["value"]
        met[status] += 1
        if status == "numeric" and rule in (None, "spelling"):
            assert event["numeric_value"] == pytest.approx(float(number), rel=1e-7)
            assert (event["raw_value"] is None) == (rule is None)
            assert (event["raw_unit"] or event["unit"] or "") == record["valueuom"].strip()
        elif status == "numeric":
            assert float(event["raw_value"]) == float(record["valuenum"])
            assert event["raw_unit"] == record["valueuom"].strip()
        elif status == "category":
            assert (event["text_value"], event["numeric_value"]) == (record["value"], None)
        elif status in ("out_of_range", "unit_unknown"):
            assert (event["numeric_value"], float(event["raw_value"])) == (None, float(record["valuenum"]))
        elif status.startswith("censored"):
            assert event["numeric_value"] == pytest.approx(float(record["value"][1:]), rel=1e-6)
            assert event["raw_value"] == record["value"]
        elif status == "unparsed":
            assert (event["numeric_value"], event["raw_value"]) == (None, record["valuenum"])
        else:
            assert status == "absent"
            assert record["value"] == record["valuenum"] == ""
    assert {"numeric", "absent", "unparsed", "out_of_range"} <= set(met)
