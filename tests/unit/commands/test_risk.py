"""`tawt risk`: chances by simulation as predictions, beside what they cost; what cannot be asked is told."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import meds
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import tawt
from tawt.config.train import PretrainConfig
from tawt.dataset.reader import open_dataset
from tawt.errors import CheckpointError, ConfigError
from tawt.evaluation.withheld import withheld_text
from tawt.quality.workspace import check
from tests.unit.conftest import Hospital

MODEL = {"d_model": 16, "n_layers": 1, "n_heads": 2, "d_ffn": 16}
BATCHING = {"tokens_per_batch": 1024, "max_length": 256}
TRAIN = {"max_steps": 4, "threads": 1, "validate_every": 0, "checkpoint_every": 4}
NUMBERS = "^LAB"
TASK = """predicates:
  admission: {code: {regex: "^HOSPITAL_ADMISSION"}}
  out: {code: {regex: "^HOSPITAL_DISCHARGE"}}
trigger: admission
windows:
  input: {start: null, end: trigger + 24h, start_inclusive: true, end_inclusive: true, index_timestamp: end}
  gap: {start: trigger, end: start + 24h, start_inclusive: false, end_inclusive: true, has: {out: (None, 0)}}
  target: {start: input.end, end: start + 48h, start_inclusive: false, end_inclusive: true, label: out}
"""


@pytest.fixture(scope="module")
def work(hospital: Hospital, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with a label set, a decoder of a few steps and an encoder."""
    copy = Path(shutil.copytree(hospital.workspace, tmp_path_factory.mktemp("risk") / "w"))
    (copy.parent / "out_soon.yaml").write_text(TASK)
    tawt.label(copy.parent / "out_soon.yaml", copy, threads=1, memory_limit="500MB")
    decoder = {
        "model": MODEL | {"causal": True}, "batching": BATCHING | {"order": "by_type"},
        "objective": {"masked": {"weight": 0.0}, "next": {"weight": 1.0}}, "train": TRAIN,
    }  # fmt: skip
    for name, tree in (("decoder", decoder), ("encoder", {"model": MODEL, "batching": BATCHING, "train": TRAIN})):
        tawt.pretrain(copy, PretrainConfig.model_validate(tree), device="cpu", out=copy / "runs" / name)
    return copy


def asked(work: Path, run="decoder", **more):
    """Ask of the labels of train, of which there are most."""
    given = {
        "aces": work.parent / "out_soon.yaml",
        "split": "train",
        "n": 3,
        "most": 20,
        "shortcuts": 0,
        "only": 30,
    } | more
    return tawt.risk(work, "out_soon", run, **given)


def test_labels_of_a_task_lead_to_what_the_newest_run_can_do(work: Path, request) -> None:
    """A decoder is asked about them at once; an encoder has to learn them first."""
    typed = request.getfixturevalue("tawt")
    for newest, follows in (("encoder", "tawt finetune"), ("decoder", "tawt risk")):
        (work / "runs" / newest / "config.yaml").touch()
        ended = typed("label", work.parent / "out_soon.yaml", "-w", work, "--threads", 1)
        last = ended.err.splitlines()[-1]
        assert ended.code == 0 and last.startswith(f"next: {follows} out_soon -w") and f"--run {newest}" in last


def test_chances_are_predictions_of_the_labels(work: Path) -> None:
    """A chance within 0 and 1 for each label by each estimator, listed and sealed, equal when asked again."""
    result = asked(work)
    labels = pq.read_table(work / "labels" / "out_soon" / "labels.parquet")
    told = {name: pq.read_table(result.folder / f"{name}.parquet") for name in ("M0", "M1", "M2")}
    assert 20 < result.n_rows <= len(labels) and 0 <= result.complete <= 1 and result.steps["M0"] > 3
    for name, table in told.items():
        chance = table["predicted_boolean_probability"].to_numpy()
        assert len(table) == result.n_rows and ((chance >= 0) & (chance <= 1)).all() and chance.std() > 0, name
    chance = told["M0"]["predicted_boolean_probability"].to_numpy()
    assert np.allclose(chance * 3, np.round(chance * 3)), "counts of three continuations"
    assert json.loads((result.folder / "risk.json").read_text())["n"] == 3
    before = [(result.folder / f"{name}.parquet").read_bytes() for name in told]
    again = asked(work)
    assert before == [(again.folder / f"{name}.parquet").read_bytes() for name in told]
    other = asked(work, seed=1, out=work.parent / "other")
    assert (other.folder / "M1.parquet").read_bytes() != before[1]
    (held,) = [one for one in check(work) if one.check == "evaluations, audits and risks"]
    assert held.ok
    (result.folder / "M2.parquet").write_bytes(before[1])
    (held,) = [one for one in check(work) if one.check == "evaluations, audits and risks"]
    assert not held.ok


def test_a_task_of_any_form_is_answered_on_records(work: Path) -> None:
    """Whether a number is high within two days: chances by Monte Carlo alone, and the text says so."""
    path = work.parent / "high.yaml"
    predicates = f"any: {{code: {{regex: {NUMBERS}}}, value_min: 200.0}}\n  out: {{code"
    path.write_text(TASK.replace("label: out", "label: any").replace("out: {code", predicates, 1))
    tawt.label(path, work, threads=1, memory_limit="500MB")
    result = tawt.risk(work, "high", "decoder", aces=path, split="train", n=3, most=40, shortcuts=0, only=60)
    assert not result.plain and [*result.steps] == ["M0"] and "resolved on records" in result.text()
    chance = pq.read_table(result.folder / "M0.parquet")["predicted_boolean_probability"].to_numpy()
    assert ((chance >= 0) & (chance <= 1)).all() and chance.max() > 0 and len(chance) + result.n_open > 60


def test_trajectories_are_in_the_public_schema(work: Path, exposed) -> None:
    """Files of MEDS with a prediction time that is never null, each with one continuation of a record, in order."""
    result = asked(work, trajectories=True, out=work.parent / "written", only=30)
    files = sorted((result.folder / "trajectories").rglob("*.parquet"))
    assert {path.parent.name for path in files} == {"0000", "0001", "0002"}
    labels = pq.read_table(work / "labels" / "out_soon" / "labels.parquet").select(["subject_id", "prediction_time"])
    known = {*zip(*(column.to_pylist() for column in labels.columns), strict=True)}
    assert exposed(result.folder) == [], "as private as the records"
    n = 0
    for path in files:
        table = pq.read_table(path, partitioning=None)
        assert table.column_names == [*meds.DataSchema.schema().names, "prediction_time"]
        held = meds.DataSchema.validate(table.drop_columns(["prediction_time"]))
        assert held is None or held.num_rows == len(table)
        field = table.schema.field("prediction_time")
        assert field.type == pa.timestamp("us") and not field.nullable and not table["prediction_time"].null_count
        rows = table.to_pylist()
        assert {(row["subject_id"], row["prediction_time"]) for row in rows} <= known
        timed = [row for row in rows if row["time"] is not None]
        assert all(row["time"] >= row["prediction_time"] for row in timed)
        keys = [(row["subject_id"], row["prediction_time"], row["time"]) for row in timed]
        assert keys == sorted(keys)
        n += len(rows)
    assert n > 100


def test_the_checks_go_with_the_answer(work: Path) -> None:
    """All five are printed and kept; of its own workspace another distribution is not checked, and few tell nothing.
    That nothing is done yet is told before the first part is, and so is what is asked again for the shortcuts."""
    heard: list[dict] = []
    result = asked(work, shortcuts=60, only=None, out=work.parent / "checked", report=heard.append)
    done = [one["n_done"] for one in heard if one["event"] == "part"]
    assert done == sorted(done) and done[0] == 0 and done[1] > 0
    again = [one["n_done"] for one in heard if one["event"] == "again"]
    assert again.count(0) == 2 and again.count(heard[-1]["n_rows"]) == 2, "histories of others, and none"
    kept = json.loads((result.folder / "risk.json").read_text())["checks"]
    assert 0 < kept[3]["figures"]["history_removed"]["n"] <= 60 < result.comparison.n_rows
    names = ["performance by frequency", "calibration", "share completed", "shortcuts", "another distribution"]
    assert [one["name"] for one in kept] == names and all(name in result.text() for name in names)
    assert kept[4]["state"] == "not checked" and kept[2]["figures"]["bounds"].keys() == {"M0", "M1", "M2"}
    low, high = kept[2]["figures"]["bounds"]["M0"]
    assert low <= high and (low < high) == (result.complete < 1)
    assert "shortcuts are those of M1" in result.text() and "counts as a no" in result.text(), "it met what was cut"
    assert json.loads((result.folder / "risk.json").read_text())["checks_of"] == "M1"


def test_labels_and_what_to_look_for_may_come_from_two_places(work: Path) -> None:
    """Labels in a file of somebody's own are asked by an ACES file; one that answers otherwise is refused."""
    labels = pq.read_table(work / "labels" / "out_soon" / "labels.parquet")
    own = work.parent / "mine.parquet"
    pq.write_table(labels.select(["subject_id", "prediction_time", "boolean_value"]).replace_schema_metadata({}), own)
    tawt.label(own, work, threads=1, memory_limit="500MB")
    given = {"split": "train", "n": 3, "most": 20, "shortcuts": 0, "only": 30}
    result = tawt.risk(work, "mine", "decoder", aces=work.parent / "out_soon.yaml", **given)
    same = asked(work, out=work.parent / "same")
    for name in ("M0", "M1", "M2"):
        one, other = (pq.read_table(folder / f"{name}.parquet") for folder in (result.folder, same.folder))
        assert one["predicted_boolean_probability"].equals(other["predicted_boolean_probability"])
    for other in (given | {"aces": "in_hospital_mortality_24h"}, given | {"aces": work.parent / "sooner.yaml"}):
        (work.parent / "sooner.yaml").write_text(TASK.replace("48h", "36h"))
        with pytest.raises(ConfigError, match=r"is not the task that the labels are of, `out_soon\.yaml`"):
            asked(work, **other)
    counted = work.parent / "often.yaml"
    counted.write_text(TASK + "label_type: count\n")
    with pytest.raises(ConfigError, match="answers with count, and the labels are of kind binary"):
        tawt.risk(work, "mine", "decoder", aces=counted, **given)


def test_what_cannot_be_asked_is_told(work: Path) -> None:
    """An encoder, a decoder that is told whole records, labels whose task is unknown, a task that asks for a value: each
    says what is expected."""
    with pytest.raises(CheckpointError, match="predicts no next event"):
        asked(work, "encoder")
    settings = ("objective.latent.encoder=encoder", "train.max_steps=1")
    tawt.pretrain(work, work / "runs" / "decoder" / "config.yaml", settings=settings, out=work / "runs" / "told")
    with pytest.raises(CheckpointError, match="one without a latent"):
        asked(work, "told")
    with pytest.raises(ConfigError, match="is of no ACES task"):
        asked(work, aces=None)
    text = TASK + "label_type: time_to_event\n"
    (work.parent / "counted.yaml").write_text(text)
    tawt.label(work.parent / "counted.yaml", work, threads=1, memory_limit="500MB")
    with pytest.raises(ConfigError, match="time_to_event, and the labels are of kind time"):
        tawt.risk(work, "counted", "decoder", aces=work.parent / "counted.yaml", split="train")


def test_of_few_people_no_figure_is_told(work: Path, tmp_path: Path) -> None:
    """Neither a metric nor a mean chance, its bounds or what it cost: neither on the page nor in the file."""
    labels = pq.read_table(work / "labels" / "out_soon" / "labels.parquet").replace_schema_metadata({})
    train = open_dataset(work).split("train").subject_ids
    own = np.isin(labels["subject_id"].to_numpy(), np.intersect1d(train, labels["subject_id"].to_numpy())[:8])
    pq.write_table(
        labels.filter(own).select(["subject_id", "prediction_time", "boolean_value"]), tmp_path / "rare.parquet"
    )
    tawt.label(tmp_path / "rare.parquet", work, threads=1, memory_limit="500MB")
    given = {"aces": work.parent / "out_soon.yaml", "split": "train", "n": 3, "most": 20, "shortcuts": 0}
    result = tawt.risk(work, "rare", "decoder", out=tmp_path / "few", **given)
    assert result.told is None and result.checks == () and "fewer than 11" in result.text()
    kept = json.loads((tmp_path / "few" / "risk.json").read_text())
    assert not {"bounds", "steps", "cost", "complete", "shares"} & kept.keys() and kept["checks"] == []
    assert not any(letter.isdigit() for letter in (tmp_path / "few" / "risk.txt").read_text().replace("11", ""))
    assert "`--only 5` leaves fewer than 11 subjects of train. Raise it" in withheld_text("train", None, 5)
