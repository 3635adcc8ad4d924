"""Open data sets: every count that their makers or a plain reader state; of the large ones, a fixed quarter of the stays."""

from __future__ import annotations

import csv
import gzip
import tarfile
from collections import Counter
from pathlib import Path

import meds
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

import tawt

LIMITS = {"threads": 2, "memory_limit": "2GB"}


def need(shared_data: Path, name: str) -> Path:
    folder = shared_data / name
    if not folder.is_dir():
        pytest.skip(f"{folder} is absent")
    return folder


def ledger_of(workspace: Path, stage: str) -> Counter[str]:
    """Route (and reason) -> count of one stage."""
    counts: Counter[str] = Counter()
    for row in pq.read_table(workspace / "ledger.parquet").to_pylist():
        if row["stage"] == stage:
            counts[row["route"] if row["reason"] is None else f"{row['route']}:{row['reason']}"] += row["n"]
    return counts


def events_of(workspace: Path) -> pa.Table:
    files = sorted((workspace / "events" / "data").rglob("*.parquet"))
    tables = [pq.read_table(file, partitioning=None) for file in files]
    for table in tables:
        meds.DataSchema.validate(table)
    return pa.concat_tables(tables)


def counted(column: pa.ChunkedArray) -> Counter[str]:
    """Value -> how often it stands there."""
    return Counter({pair["values"]: pair["counts"] for pair in column.value_counts().to_pylist()})


def all_good(workspace: Path) -> None:
    assert [finding for finding in tawt.check(workspace) if not finding.ok] == []


def quarter(archive: Path, place: Path) -> Path:
    """Write an archive of the files of every fourth stay of another, by its number."""
    with tarfile.open(archive) as whole, tarfile.open(place / archive.name, "w:xz", preset=0) as some:
        for member in whole:
            if member.isfile() and int(Path(member.name).stem.lstrip("p")) % 4 == 0:
                some.addfile(member, whole.extractfile(member))
    return place / archive.name


def physionet_lines(archive: Path) -> Counter[tuple[str, str]]:
    """Count (Parameter, fate) over all lines of an archive with `tarfile` alone."""
    pairs: Counter[str] = Counter()
    with tarfile.open(archive) as tar:
        for member in tar:
            if not member.name.endswith(".txt") or (file := tar.extractfile(member)) is None:
                continue
            pairs.update([line.partition(",")[2] for line in file.read().decode().splitlines()[1:]])
    lines: Counter[tuple[str, str]] = Counter()
    for pair, n in pairs.items():
        name, value = pair.split(",")
        if not name:
            lines["", "no parameter"] += n
        elif name == "RecordID":
            lines["", "record id"] += n
        elif float(value) == -1 and name in ("Age", "Gender", "Height", "ICUType", "Weight"):
            lines[name, "absent"] += n
        else:
            lines[name, "value"] += n
    return lines


def row_says_alive(row: dict[str, str]) -> bool:
    """Whether a stay of which no day of a death is on record ended alive."""
    return row["In-hospital_death"] == "0"


def test_physionet2012_set_b(shared_data: Path, tmp_path: Path) -> None:
    """966 stays and 423,063 lines beside the headers: each line is an event, a record id or a listed defect; 130 deaths are labels."""
    source = need(shared_data, "physionet2012")
    raw = tmp_path / "raw"
    raw.mkdir()
    quarter(source / "set-b.tar.xz", raw)
    header, *outcomes = (source / "Outcomes-b.txt").read_text().splitlines()
    own = [line for line in outcomes if int(line.partition(",")[0]) % 4 == 0]
    (raw / "Outcomes-b.txt").write_text("\n".join([header, *own]) + "\n")
    workspace = tmp_path / "ws"
    tawt.ingest(raw, "physionet2012", workspace, settings=("shards=2",), **LIMITS)
    lines = physionet_lines(raw / "set-b.tar.xz")
    counts = ledger_of(workspace, "staging.records")
    assert lines["", "record id"] == 966
    assert counts["in"] == sum(lines.values()) == 423_063
    assert counts["drop:record_id_row"] == 966
    assert counts["quarantine:Parameter:missing"] == lines["", "no parameter"]
    events = events_of(workspace)
    assert len(events["subject_id"].unique()) == 966
    by_code = counted(events["code"])
    expected: Counter[str] = Counter()
    for (name, _), n in lines.items():
        expected[name] += n
    assert by_code == Counter({name: n for name, n in expected.items() if name})
    absent = counted(events.filter(pc.equal(events["value_status"], "absent"))["code"])
    assert absent == Counter({name: n for (name, fate), n in lines.items() if fate == "absent"})
    deaths = pq.read_table(workspace / "labels" / "in_hospital_death" / "labels.parquet")
    meds.LabelSchema.validate(deaths)
    assert (len(deaths), sum(deaths["boolean_value"].to_pylist())) == (966, 130)
    with (raw / "Outcomes-b.txt").open(newline="") as file:
        ends = {int(row["RecordID"]): row for row in csv.DictReader(file)}
    days = {stay: int(row["Survival"]) for stay, row in ends.items()}
    told = {stay for stay, n in days.items() if n >= 0 or (n == -1 and row_says_alive(ends[stay]))}
    horizons = pq.read_table(workspace / "labels" / "survival_horizons" / "labels.parquet").to_pylist()
    assert {(row["subject_id"], row["horizon_hours"]): row["boolean_value"] for row in horizons} == {
        (stay, 24.0 * within): 0 <= days[stay] <= within for stay in told for within in (30, 90, 365)
    }
    assert len(horizons) == 3 * len(told) and len(told) > 900
    meds.LabelSchema.validate(pq.read_table(workspace / "labels" / "length_of_stay" / "labels.parquet"))
    all_good(workspace)


def sepsis_cells(archive: Path) -> tuple[Counter[str], dict[int, dict[int, bool]]]:
    """Count what is filled of all cells of an archive with `tarfile` alone, traits once a stay; and its labels by hour."""
    filled: Counter[str] = Counter()
    labels: dict[int, dict[int, bool]] = {}
    with tarfile.open(archive) as tar:
        for member in tar:
            if not member.name.endswith(".psv") or (file := tar.extractfile(member)) is None:
                continue
            header, *hours = (line.split("|") for line in file.read().decode().splitlines())
            for i, name in enumerate(header):
                cells = [hour[i] for hour in hours if hour[i] != "NaN"]
                is_trait = name in ("Age", "Gender", "Unit1", "Unit2", "HospAdmTime")
                filled[name] += bool(cells) if is_trait else len(cells)
            stay = int(Path(member.name).stem.removeprefix("p"))
            labels[stay] = {int(hour[-2]): hour[-1] == "1" for hour in hours}
    return filled, labels


def test_physionet2019_hospital_b(shared_data: Path, tmp_path: Path) -> None:
    """1,750 stays of 66,684 hours: each filled cell is one event, each hour has its label, 99 stays are septic."""
    (whole,) = need(shared_data, "physionet2019").glob("training_setB*.tar.xz")
    (tmp_path / "raw").mkdir()
    archive = quarter(whole, tmp_path / "raw")
    filled, labels = sepsis_cells(archive)
    workspace = tmp_path / "ws"
    tawt.ingest(archive.parent, "physionet2019", workspace, settings=("shards=2",), **LIMITS)
    counts = ledger_of(workspace, "staging.records")
    assert counts["in"] == counts["kept"] == filled.pop("ICULOS") == filled.pop("SepsisLabel") == 66_684
    filled["ICU_ADMISSION"] = len(labels)
    assert counted(events_of(workspace)["code"]) == +filled

    def told(task: str, value: str = "boolean_value") -> dict[tuple[int, int], float]:
        table = pq.read_table(workspace / "labels" / task / "labels.parquet")
        hour = (table["prediction_time"].cast(pa.int64()).to_numpy() - 946_684_800_000_000) // 3_600_000_000
        pairs = zip(table["subject_id"].to_pylist(), hour.tolist(), strict=True)
        return dict(zip(pairs, table[value].to_pylist(), strict=True))

    onset = {stay: min((h for h, yes in own.items() if yes), default=10**6) + 6 for stay, own in labels.items()}
    assert (len(labels), sum(hour < 10**6 for hour in onset.values())) == (1750, 99)
    assert told("sepsis_hourly") == {(stay, h): yes for stay, own in labels.items() for h, yes in own.items()}
    assert told("sepsis_onset_6h") == {
        (stay, h): 0 < onset[stay] - h <= 6 for stay, own in labels.items() for h in own if h < onset[stay]
    }
    asked = {stay: min(h for h in own if h >= 6) for stay, own in labels.items()}
    assert told("time_to_sepsis", "duration_hours") == {
        (stay, h): (max(labels[stay]) if onset[stay] > 10**6 else onset[stay]) - h for stay, h in asked.items()
    }
    all_good(workspace)


def n_records(path: Path) -> int:
    with gzip.open(path, "rt", encoding="utf-8", newline="") as text:
        return sum(bool(row) for row in csv.reader(text)) - 1  # a blank line is none


def test_mimic_iv_demo(shared_data: Path, tmp_path: Path) -> None:
    """100 subjects, 275 admissions of which 15 ended in death, 140 ICU stays, 107,727 lab results; chartevents are absent."""
    raw = need(shared_data, "mimic_iv_demo")
    workspace = tmp_path / "ws"
    result = tawt.ingest(raw, "mimic_iv", workspace, settings=("shards=2",), **LIMITS)
    assert any("raw.chartevents is absent" in note for note in result.notes)
    stated = {"patients": 100, "admissions": 275, "icustays": 140, "labevents": 107_727}
    for table, n in stated.items():
        assert ledger_of(workspace, f"staging.{table}")["in"] == n
    folders = {
        "patients": "hosp",
        "admissions": "hosp",
        "icustays": "icu",
        "labevents": "hosp",
        "diagnoses_icd": "hosp",
    }
    for table, folder in folders.items():
        counts = ledger_of(workspace, f"staging.{table}")
        assert counts["in"] == n_records(raw / folder / f"{table}.csv.gz")
        assert counts["in"] == counts["kept"] + sum(n for route, n in counts.items() if ":" in route)
    events = events_of(workspace)
    codes = Counter(events["code"].to_pylist())

    def starting(prefix: str) -> int:
        return sum(n for code, n in codes.items() if code.startswith(prefix))

    assert len(set(events["subject_id"].to_pylist())) == 100
    assert starting("HOSPITAL_ADMISSION") == 275
    assert starting("HOSPITAL_DISCHARGE//DIED") == 15
    assert starting("ICU_ADMISSION") == starting("ICU_DISCHARGE") == 140
    assert codes["MEDS_BIRTH"] == 100
    assert starting("DIAGNOSIS//ICD//") == ledger_of(workspace, "event_parts.diagnoses")["kept"]
    labs, part = starting("LAB//RESULT//"), ledger_of(workspace, "event_parts.labs")
    assert part["kept"] == labs + sum(
        row["n"] for row in pq.read_table(workspace / "ledger.parquet").to_pylist()
        if (row["stage"], row["input"], row["route"]) == ("events", "event_parts.labs", "drop")
    )  # fmt: skip
    tawt.build_vocab(workspace, **LIMITS)
    all_good(workspace)


def test_meds_synthetic(shared_data: Path, tmp_path: Path) -> None:
    """2,589 events of a MEDS 0.3 dataset stay 2,589 events with their subjects, times, codes and numbers."""
    raw = need(shared_data, "meds_synthetic")
    workspace = tmp_path / "ws"
    tawt.ingest(raw, "meds", workspace, settings=("shards=3",), **LIMITS)
    tawt.build_vocab(workspace, **LIMITS)
    source = pa.concat_tables(pq.read_table(path) for path in sorted((raw / "data").rglob("*.parquet")))
    events = events_of(workspace)
    assert len(events) == len(source) == 2589

    def rows(table: pa.Table) -> Counter:
        number = table["numeric_value"].cast(pa.float32()).to_pylist()
        columns = [
            table["subject_id"].to_pylist(),
            table["time"].cast(pa.timestamp("us")).to_pylist(),
            table["code"].to_pylist(),
        ]
        return Counter(zip(*columns, [None if n is None or not np.isfinite(n) else n for n in number], strict=True))

    assert rows(events) == rows(source)
    all_good(workspace)


def test_eicu_subset(shared_data: Path, tmp_path: Path) -> None:
    """174 unit stays of 100 persons: each record is counted, no number of a result is lost, and each person has one order of stays."""
    raw = need(shared_data, "eicu_subset")
    workspace = tmp_path / "ws"
    result = tawt.ingest(raw, "eicu", workspace, settings=("shards=2",), **LIMITS)
    assert sum("is absent (optional)" in note for note in result.notes) == 3
    tables = ("patient", "lab", "medication", "diagnosis", "treatment", "admissionDx", "physicalExam", "hospital")
    for table in tables:
        counts = ledger_of(workspace, f"staging.{table.lower()}")
        assert counts["in"] == counts["kept"] == n_records(raw / f"{table}.csv.gz")
    with gzip.open(raw / "patient.csv.gz", "rt", encoding="utf-8", newline="") as text:
        stays = list(csv.DictReader(text))
    with gzip.open(raw / "lab.csv.gz", "rt", encoding="utf-8", newline="") as text:
        labs = list(csv.DictReader(text))
    events = events_of(workspace)
    by_code = counted(events["code"])

    def starting(prefix: str) -> int:
        return sum(n for code, n in by_code.items() if code.startswith(prefix))

    assert len(stays) == 174 and len(events["subject_id"].unique()) == len({one["uniquepid"] for one in stays})
    assert starting("HOSPITAL_ADMISSION//") == len({one["patienthealthsystemstayid"] for one in stays})
    assert starting("ICU_ADMISSION//") == sum(one["unitstaytype"] != "stepdown/other" for one in stays)
    expired = {
        one["uniquepid"] for one in stays if "Expired" in (one["hospitaldischargestatus"], one["unitdischargestatus"])
    }
    assert by_code["MEDS_DEATH"] == len(expired)
    times = events.filter(pc.equal(pc.utf8_slice_codeunits(events["code"], 0, 20), "HOSPITAL_ADMISSION//"))
    starts = times.group_by("subject_id").aggregate([("time", "count_distinct"), ("time", "count")])
    assert starts["time_count_distinct"].to_pylist() == starts["time_count"].to_pylist()
    calcium = events.filter(pc.equal(events["code"], "LAB//ionized calcium"))["numeric_value"].to_pylist()
    assert len(calcium) == sum(one["labname"] == "ionized calcium" for one in labs)
    assert all(0.7 < n < 1.4 for n in calcium)  # mmol/L, in whichever of two units each came
    lost = events.filter(pc.is_in(events["value_status"], pa.array(["unit_unknown", "unparsed"])))["code"].to_pylist()
    assert sum(code.startswith("LAB//") for code in lost) <= len(labs) / 1000
    tawt.build_vocab(workspace, **LIMITS)
    all_good(workspace)
