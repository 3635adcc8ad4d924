"""No cell of a patient's record gets into a message, a log, a manifest or any file that is not the data itself."""

from __future__ import annotations

import csv
import gzip
import io
import re
import shutil
from pathlib import Path

import pytest

from tawt.builtin.all import stages_of
from tawt.config.named import resolve_pipeline
from tawt.contracts.table import read_table
from tawt.sources.declare import staging_contract

# digits that nothing else has: a key that cannot be typed, a date that is none, a number that is none
CANARY = re.compile(r"canary|774411|8855\.22", re.IGNORECASE)
DATA = ("staging", "event_parts", "events", "codes", "vocabulary", "triplets", "dataset", "labels", "shards")
SEEDS = {
    "hosp/labevents": {
        "subject_id": "canary-subject", "itemid": "canary-item", "charttime": "canary-time", "storetime": "canary-stored",
        "value": "CANARY VALUE", "valuenum": "canary8855.22x", "valueuom": "canary/dL", "comments": "a canary comment",
        "hadm_id": "774411000", "priority": "CANARY",
    },
    "hosp/patients": {"subject_id": "774411001x", "gender": "CANARY", "dod": "canary-dod", "anchor_year": "canary"},
    "hosp/diagnoses_icd": {"icd_code": "CANARY1", "hadm_id": "774411002", "icd_version": "canary"},
    "icu/chartevents": {"charttime": "2150-99-99 canary", "value": "canary text", "valuenum": "8855.22e999canary"},
    "hosp/d_labitems": {"label": "canary label"},
}  # fmt: skip
"""Each is planted alone into a record of its own, and all of a table together into one more."""


def _plant(path: Path, cells: dict[str, str]) -> None:
    rows = list(csv.DictReader(io.StringIO(gzip.decompress(path.read_bytes()).decode())))
    model, planted = rows[len(rows) // 2], [{name: text} for name, text in cells.items()]
    rows += [{**model, **one} for one in [*planted, cells]]
    text = io.StringIO()
    writer = csv.DictWriter(text, list(model), lineterminator="\n", extrasaction="ignore")
    writer.writeheader()
    writer.writerows({k: v or "" for k, v in row.items()} for row in rows)
    broken = text.getvalue() + "canary,too,few\n" + ",".join(["canary"] * (len(model) + 2)) + "\n"
    path.write_bytes(gzip.compress(broken.encode(), 1, mtime=0))


@pytest.fixture(scope="module")
def seeded(tmp_path_factory) -> Path:
    """Raw tables with unmistakable strings in cells of every kind, and broken lines made of them."""
    from tawt.hospital.invent import write_hospital

    raw = tmp_path_factory.mktemp("canaries") / "raw"
    write_hospital(raw, n_subjects=15, seed=3)
    for table, cells in SEEDS.items():
        _plant(raw / f"{table}.csv.gz", cells)
    return raw


def _written(workspace: Path) -> dict[str, str]:
    """All that was written beside the data: text files, and every Parquet file of the ledger and the quarantine."""
    import pyarrow.parquet as pq

    texts = {}
    for path in workspace.rglob("*"):
        inside = path.relative_to(workspace)
        if not path.is_file() or (inside.parts[0] in (*DATA, ".aside") and path.suffix in (".parquet", ".arrow")):
            continue
        if path.suffix == ".parquet" and path.name != "vocabulary.parquet":
            # the numbers of an embedding are digits of any order
            names = [name for name in pq.read_schema(path).names if name != "embedding"]
            texts[str(inside)] = str(pq.read_table(path, columns=names).to_pylist()) + str(
                pq.read_schema(path).metadata
            )
        elif path.suffix not in (".parquet", ".safetensors"):
            texts[str(inside)] = path.read_bytes().decode("latin-1")
    return texts


def test_no_cell_gets_out_of_the_data(seeded: Path, tmp_path: Path, tawt, tiny) -> None:
    """Through every command, with bad keys, dates, numbers and lines in every table, no canary is said or written
    beside the data, and the raw folder's place stands in `local.json` alone; the canaries did go through the data."""
    work, said = tmp_path / "w", []
    for words in (
        ("ingest", seeded, "-p", "demo", "--threads", 1),
        ("ingest", seeded, "-p", "demo", "--dry-run", "--force"),
        ("build-vocab", "--threads", 1), ("run", "staging.labevents", "--force", "--threads", 1), ("stages",), ("check",),
        ("show", "staging.labevents"), ("show", "vocabulary"), ("show", "events"),
        ("pretrain", "--device", "cpu", "--out", work / "runs" / "tiny", *tiny), ("embed", "--run", "tiny", "--device", "cpu"),
        ("query", "select file, record, \"column\", reason from quarantine"), ("query", "select * from ledger"),
    ):  # fmt: skip
        ended = tawt(*words, "-w", work)
        assert ended.code == 0, ended.err
        said.append(ended.out + ended.err)
    assert not CANARY.search("".join(said)), CANARY.search("".join(said))
    texts = _written(work)
    assert {"ledger.parquet", "quarantine/staging.labevents.parquet", "manifests/events.json"} <= texts.keys()
    for name, text in texts.items():
        assert not CANARY.search(text), name
        assert name == "local.json" or str(seeded) not in text, name
    shown = tawt("show", "staging.labevents", "--quarantine", "--limit", 100, "-w", work).out
    found = tawt("query", "select * from events where code ilike '%canary%'", "-w", work).out
    assert len(CANARY.findall(shown)) >= 4 and CANARY.search(found)


BROKEN = {
    "refused": "select subject_id::bigint as subject_id, {rest} from raw.patients",
    "conversion": "select whole((gender::double)::varchar) as subject_id, {rest} from raw.patients",
    "conversion of text": "select whole(error(gender)::varchar) as subject_id, {rest} from raw.patients",
    "a day": "select whole((dod || '')::json::varchar) as subject_id, {rest} from raw.patients",
    "pattern": "select whole(regexp_extract('x', '[' || gender)) as subject_id, {rest} from raw.patients",
    "json": "select whole(json_extract(gender, '$.a')::varchar) as subject_id, {rest} from raw.patients",
    "reason": "select whole(subject_id) as subject_id, {rest} from raw.patients",
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_stage_that_breaks_on_a_cell_does_not_show_it(
    kind: str, seeded: Path, tmp_path: Path, tawt, monkeypatch
) -> None:
    """Whatever an engine error quotes, the message says only the stage, the kind and what to use instead."""
    # the table, what its events need, and no more
    others = [
        one for one in stages_of(resolve_pipeline("demo")).stages
        if one.startswith(("staging.", "codes.", "event_parts.")) and not one.endswith((".patients", ".admissions"))
    ]  # fmt: skip
    root = Path(__file__).parents[2]
    for folder in ("sql", "schemas", "pipelines"):
        shutil.copytree(root / folder, tmp_path / "assets" / folder)
    monkeypatch.setattr("tawt.project._PACKAGE", tmp_path / "assets" / "tawt")
    staged = staging_contract(read_table(tmp_path / "assets" / "schemas" / "mimic_iv" / "patients.yaml"))
    contract, stage = (
        tmp_path / "assets" / folder / "mimic_iv" / "staging" / f"patients.{suffix}"
        for folder, suffix in (("schemas", "json"), ("sql", "sql"))
    )
    for path in (contract, stage):
        path.parent.mkdir(exist_ok=True)
    contract.write_text(staged.model_dump_json(exclude_defaults=True))
    reason = "gender::varchar as _reason" if kind == "reason" else "null::varchar as _reason"
    rest = ", ".join(f"null::{c.sql_type} as {c.name}" for c in staged.columns if c.name != "subject_id")
    stage.write_text(BROKEN[kind].format(rest=f"{rest}, _row, {reason}"))
    off = ("--set", f"off=[{', '.join(others)}]")
    ended = tawt("ingest", seeded, "-p", "demo", "-w", tmp_path / "w", "--threads", 1, *off)
    assert ended.code == 1, ended.err
    assert "staging.patients" in ended.error and "\n\nhint: " in ended.error
    assert not CANARY.search(ended.out + ended.err)
    assert all(not CANARY.search(text) for text in _written(tmp_path / "w").values())


def test_no_name_that_can_be_a_cell_gets_out(tmp_path: Path, tawt) -> None:
    """Names of small files, a header that no contract knows and control characters in names and cells: whether a command
    succeeds or fails, nothing of them is said, and nothing is written but in the data and in `local.json`."""
    raw, work, said = tmp_path / "raw", tmp_path / "w", ""
    header, odd = "Time,Parameter,Value\n", "\x1b]0;canary\x07\x9b31m\u202e"
    (raw / "set-a").mkdir(parents=True)
    (raw / "set-a" / "774411.txt").write_text(f"{header}00:00,Age,54\nlate,HR,1\n1,2\n00:05,HR,{odd}\n")
    for name, content in (
        ("774412", f"{header}00:00,HR,80\n".encode()), ("774413", b""), ("774414", f"{header}\xff".encode("latin-1")),
        (f"canary{odd}", b"canary,b\n"), ("0774411", f"{header}00:00,HR,80\n".encode()),
    ):  # fmt: skip
        path = raw / "set-a" / f"{name}.txt"
        path.write_bytes(content)
        ended = tawt("ingest", raw, "-p", "physionet2012", "-w", work, "--threads", 1)
        said += ended.out + ended.err
        assert (ended.code, "error: set-a" in ended.err) == ((0, False) if name == "774412" else (1, True)), ended.err
        if ended.code:
            path.unlink()
    (raw / "Outcomes-a.txt").write_text("RecordID,canary_stay,canary_death\n774411,3,0\n")
    for words in (
        ("ingest", raw, "-p", "physionet2012", "--threads", 1), ("build-vocab", "--threads", 1), ("check",), ("stages",),
        ("show", "staging.records"), ("query", "from quarantine"), ("query", "select canary from \"x\x1b[2J\""),
        ("query", "select 'canary'::int"), ("query", "select raw_value::int from staging.records"),
    ):  # fmt: skip
        ended = tawt(*words, "-w", work)
        said += ended.out + (ended.err if words[0] != "query" else ended.err.replace("canary", "", 1))
    assert not CANARY.search(said), CANARY.search(said)
    for name, text in _written(work).items():
        assert name == "local.json" or not CANARY.search(text), name
    shown = "".join(
        tawt("query", "select raw_value from staging.records", "-w", work, "--format", form).out
        for form in ("table", "csv", "json")
    )
    assert CANARY.search(shown) and "\\x1b" in shown
    assert not [c for c in said + shown if not c.isprintable() and c != "\n"]
