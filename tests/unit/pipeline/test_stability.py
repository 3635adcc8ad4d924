"""The same bytes at any thread count and after a kill, and a reason for every stage that runs again."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

import tawt
from tawt.builtin.all import stages_of
from tawt.config.named import resolve_pipeline
from tawt.errors import ConfigError
from tawt.hospital.invent import write_hospital
from tawt.pipeline import workspace as workspaces
from tawt.pipeline.holding import hold
from tawt.project import asset_root
from tawt.sources.graph import Graph
from tests.unit.conftest import read_events

QUICK = {"threads": 1, "memory_limit": "500MB"}
PROMISED = ("events", "vocabulary", "triplets", "dataset", "quarantine", "ledger.parquet")
"""What is promised to be the same bytes; staging and event parts are the same rows."""
ENGINE = ["events", "vocabulary", "triplets", "dataset"]


def hashes(workspace: Path) -> dict[str, str]:
    """File -> hash of everything whose bytes are promised."""
    return {
        path.relative_to(workspace).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for name in PROMISED
        for path in sorted([workspace / name, *(workspace / name).rglob("*")])
        if path.is_file()
    }


def reasons(result: tawt.RunResult) -> dict[str, str]:
    """Stage -> why it ran; what is up to date is left out."""
    return {stage.stage: stage.reason for stage in result.stages if stage.reason is not None}


def test_threads_change_no_byte(hospital, tmp_path: Path) -> None:
    """The hospital with one thread gives the files of the hospital with two, byte for byte."""
    tawt.ingest(hospital.raw, "demo", tmp_path / "ws", settings=("shards=3",), **QUICK)
    tawt.build_vocab(tmp_path / "ws", **QUICK)
    one, two = hashes(tmp_path / "ws"), hashes(hospital.workspace)
    assert one == two
    assert len(one) > 35


@pytest.fixture
def assets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the SQL, schemas and pipelines that a test may edit."""
    for name in ("sql", "schemas", "pipelines"):
        shutil.copytree(asset_root() / name, tmp_path / "assets" / name)
    monkeypatch.setattr("tawt.project.asset_root", lambda: tmp_path / "assets")
    return tmp_path / "assets"


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def dry(selection: str, workspace: Path) -> dict[str, str]:
    return reasons(tawt.run(selection, workspace, dry_run=True, **QUICK))


def test_nothing_runs_where_nothing_changed(hospital, own_workspace: Path) -> None:
    """A second ingest and build-vocab run no stage and touch no file, also with other threads."""
    stamps = {path: path.stat().st_mtime_ns for path in own_workspace.rglob("*.parquet")}
    assert reasons(tawt.ingest(hospital.raw, "demo", own_workspace, settings=("shards=3",), **QUICK)) == {}
    assert reasons(tawt.build_vocab(own_workspace, threads=2, memory_limit="1GB")) == {}
    assert {path for path, stamp in stamps.items() if path.stat().st_mtime_ns != stamp} == {
        own_workspace / "ledger.parquet"
    }


def test_an_edited_stage_reruns_alone_and_then_what_follows(own_workspace: Path, assets: Path) -> None:
    """After an edit, X runs for `sql changed`; X+ then names the changed input of every stage that reads it."""
    sql = assets / "sql" / "mimic_iv" / "event_parts" / "icustays.sql"
    edit(sql, "coalesce(first_careunit, 'UNK')", "coalesce(upper(first_careunit), 'UNK')")
    assert dry("event_parts", own_workspace) == {"event_parts.icustays": "sql changed"}
    ran = reasons(tawt.run("event_parts.icustays", own_workspace, **QUICK))
    assert ran == {"event_parts.icustays": "sql changed"}
    assert reasons(tawt.run("event_parts.icustays+", own_workspace, **QUICK)) == {
        "events": "input changed: event_parts.icustays",
        "vocabulary": "input changed: events",
        "triplets": "input changed: events, vocabulary",
        "dataset": "input changed: vocabulary",  # triplets know codes by number: theirs are the same bytes
    }
    codes = {row["code"] for row in pq.read_table(own_workspace / "events/metadata/codes.parquet").to_pylist()}
    assert any(code.startswith("ICU_ADMISSION//MEDICAL INTENSIVE") for code in codes)
    assert [finding for finding in tawt.check(own_workspace) if not finding.ok] == []


def test_each_kind_of_change_has_its_reason(own_workspace: Path, assets: Path) -> None:
    """A contract, a parameter, a seed, a setting and a removed file are each named, at the first stage they reach."""
    patients = assets / "schemas" / "mimic_iv" / "patients.yaml"
    edit(patients, "One row", "Each row")
    assert dry("staging", own_workspace) == {}
    edit(patients, "unit: years", "unit: days")
    assert dry("staging", own_workspace) == {"staging.patients": "contract of raw.patients changed"}
    edit(assets / "schemas" / "mimic_iv" / "d_items.yaml", "required: false", "required: true")
    assert dry("staging", own_workspace)["staging.d_items"] == "contract of raw.d_items changed"
    text = (own_workspace / "pipeline.yaml").read_text()
    assert "parameters: {}" in text
    (own_workspace / "pipeline.yaml").write_text(
        text.replace("parameters: {}", "parameters: {latest_time: 2299-01-01}")
    )
    said = dry("staging", own_workspace)
    assert said["staging.labevents"] == "parameter latest_time 2300-01-01 -> 2299-01-01"
    assert "staging.d_labitems" not in said
    (own_workspace / "pipeline.yaml").write_text(text)
    next((own_workspace / "event_parts" / "labs").glob("*.parquet")).unlink()
    assert dry("event_parts", own_workspace) == {"event_parts.labs": "new"}
    edit(assets / "sql" / "shared" / "seeds" / "plausible_ranges.csv", "potassium,mEq/L,0,30", "potassium,mEq/L,0,29")
    tawt.run("event_parts.labs", own_workspace, **QUICK)
    assert dry("events", own_workspace)["events"] == "seed plausible_ranges changed"


def test_a_changed_dialect_reads_every_raw_table_again(hospital) -> None:
    """What text files are read with is a parameter of every stage of staging."""
    settings = ("shards=3", "csv.strict=false")
    ran = reasons(tawt.ingest(hospital.raw, "demo", hospital.workspace, settings=settings, dry_run=True, **QUICK))
    staging = {name: reason for name, reason in ran.items() if name.startswith("staging.")}
    assert len(staging) == 9 and all(reason.startswith("parameter csv.") for reason in staging.values())


@pytest.mark.parametrize(
    ("setting", "first"),
    [
        ("splits.seed=1", "events"),
        ("duplicates=keep", "events"),
        ("vocabulary.n_bins=5", "vocabulary"),
        ("clock=available_time", "triplets"),
        ("time_origin=first_event", "dataset"),
        ("calendar=none", "dataset"),
    ],
)
def test_a_setting_reruns_from_where_it_matters(hospital, setting: str, first: str) -> None:
    """A changed split reruns from events on, a changed bin count from the vocabulary on, and nothing before."""
    options = {"settings": ("shards=3", setting), "dry_run": True, **QUICK}
    if first == "events":
        ran = reasons(tawt.ingest(hospital.raw, "demo", hospital.workspace, **options))
    else:
        ran = reasons(tawt.build_vocab(hospital.workspace, **options))
    section = setting.partition("=")[0].partition(".")[0]
    assert ran.pop(first).startswith(f"parameter {section}")
    after = ENGINE[ENGINE.index(first) + 1 :]
    assert list(ran) == ([] if first == "events" else after)
    assert all(reason.startswith("input changed") for reason in ran.values())


SELECTIONS: list[tuple[str, Callable[[str], bool]]] = [
    ("staging.labevents", lambda name: name == "staging.labevents"),
    ("staging.labevents+", lambda name: name in ("staging.labevents", "event_parts.labs", *ENGINE)),
    (
        "+event_parts.diagnoses",
        lambda name: name in ("staging.admissions", "staging.diagnoses_icd", "event_parts.diagnoses"),
    ),
    ("codes", lambda name: name.startswith("codes.")),
    ("+vocabulary", lambda name: name not in ("triplets", "dataset")),
    ("triplets+", lambda name: name in ("triplets", "dataset")),
    ("codes.labs,event_parts.chart", lambda name: name in ("codes.labs", "event_parts.chart")),
]


@pytest.fixture(scope="module")
def graph() -> Graph:
    return stages_of(resolve_pipeline("demo"))


@pytest.mark.parametrize(("selection", "chosen"), SELECTIONS, ids=[selection for selection, _ in SELECTIONS])
def test_a_selection_is_what_it_says(hospital, graph: Graph, selection: str, chosen: Callable[[str], bool]) -> None:
    """`X` is X, `X+` what reads it, `+X` what it reads, a layer all its stages, commas join; in running order."""
    everything = [json.loads(p.read_text())["stage"] for p in (hospital.workspace / "manifests").glob("*.json")]
    names = graph.select(selection)
    assert sorted(names) == sorted(filter(chosen, everything))
    for place, name in enumerate(names):
        assert not set(graph.stages[name].inputs) & set(names[place:])


def test_a_selection_of_nothing_is_refused(hospital) -> None:
    """An unknown stage is an error that names the nearest one."""
    with pytest.raises(ConfigError, match=r"staging\.labevent"):
        tawt.run("staging.labevent", hospital.workspace, **QUICK)


def sampled(raw: Path, workspace: Path, sample: str | None) -> set[int]:
    """Stage two tables of a sample and return the subjects of the charts."""
    given = workspaces.given_workspace(workspace, resolve_pipeline("demo", ("shards=2",)), raw, sample)
    with hold(workspace):
        workspaces.write_records(given)
    tawt.run("staging.patients,staging.diagnoses_icd", workspace, **QUICK)
    folders = [workspace / "staging" / name for name in ("patients", "diagnoses_icd")]
    tables = [pq.read_table(next(folder.glob("*.parquet"))) for folder in folders]
    patients, diagnosed = ({*table["subject_id"].to_pylist()} for table in tables)
    assert diagnosed <= patients
    return patients


def test_samples_are_whole_subjects_and_nest(hospital, tmp_path: Path) -> None:
    """10 % lies within 30 % within everybody, N is N subjects, and a subject in it has all of its records."""
    everyone = sampled(hospital.raw, tmp_path / "all", None)
    ten, thirty, seven = (sampled(hospital.raw, tmp_path / name, name) for name in ("10%", "30%", "7"))
    assert ten < thirty < everyone
    assert (len(everyone), len(seven)) == (60, 7)
    assert seven < thirty or thirty < seven
    full = pq.read_table(next((tmp_path / "all" / "staging" / "diagnoses_icd").glob("*.parquet")))[
        "subject_id"
    ].to_pylist()
    part = pq.read_table(next((tmp_path / "30%" / "staging" / "diagnoses_icd").glob("*.parquet")))[
        "subject_id"
    ].to_pylist()
    assert sorted(part) == sorted(subject for subject in full if subject in thirty)
    ledger = pq.read_table(tmp_path / "30%" / "ledger.parquet").to_pylist()
    dropped = {row["stage"]: row["n"] for row in ledger if row["reason"] == "not_sampled"}
    assert dropped == {"staging.patients": 60 - len(thirty), "staging.diagnoses_icd": len(full) - len(part)}


def test_a_sample_of_n_follows_the_subjects_of_the_source(hospital, tmp_path: Path) -> None:
    """`--sample 7` over a table with other patients is another sample: every table is staged again for it."""
    raw = Path(shutil.copytree(hospital.raw, tmp_path / "raw"))
    seven = sampled(raw, tmp_path / "ws", "7")
    write_hospital(tmp_path / "other", n_subjects=60, seed=8)
    shutil.copy(tmp_path / "other" / "hosp" / "patients.csv.gz", raw / "hosp" / "patients.csv.gz")
    said = dry("staging.patients,staging.diagnoses_icd", tmp_path / "ws")
    assert said["staging.diagnoses_icd"] == "the sample is of other subjects"
    assert len(seven) == 7


def test_a_stage_to_sample_from_that_is_not_there_is_named(hospital, tmp_path: Path) -> None:
    """With and without a sample, and brings the nearest; a number is a sample too."""
    for sample in (None, "10%", 7):
        with pytest.raises(ConfigError, match=r"names the stage `staging\.patient`") as caught:
            tawt.ingest(
                hospital.raw, "demo", tmp_path / "ws", sample=sample, settings="sample_from=staging.patient", **QUICK
            )
        assert "staging.patients" in caught.value.hint
    for wrong in (0, "9" * 31, "nan%", "٣", "1_0", "101%", "0.0%", "-1"):
        with pytest.raises(ConfigError, match="is no sample"):
            tawt.ingest(hospital.raw, "demo", tmp_path / "ws", sample=wrong, **QUICK)


def test_a_pipeline_named_without_its_ending_is_found(tmp_path: Path, monkeypatch) -> None:
    """`-p mine` where `mine.yaml` lies, or a path to `pipelines/mine`, is told which file to give."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pipelines").mkdir()
    for path in (Path("pipelines/mine.yaml"), Path("other.yaml")):
        path.write_text("source: demo")
        with pytest.raises(ConfigError, match="is no pipeline") as caught:
            resolve_pipeline(str(path.with_suffix("")))
        assert caught.value.hint == f"give the file: --pipeline {path}"


def test_an_ingest_of_a_sample_holds_all_of_some(hospital, tmp_path: Path) -> None:
    """The events of a sampled ingest are those of its subjects in the whole one, in their splits, and of nobody else."""
    tawt.ingest(hospital.raw, "demo", tmp_path / "ws", sample="7", settings=("shards=3",), **QUICK)
    sampled, everyone = read_events(tmp_path / "ws"), hospital.events()
    subjects = set(sampled["subject_id"].to_pylist())
    assert len(subjects) == 7
    assert sampled.equals(everyone.filter(pc.is_in(everyone["subject_id"], pa.array(sorted(subjects)))))
