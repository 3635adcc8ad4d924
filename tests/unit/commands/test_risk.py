"""`tawt risk`: chances by simulation as predictions, beside what they cost; what cannot be asked is told."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

import tawt
from tawt.config.train import PretrainConfig
from tawt.errors import CheckpointError, ConfigError
from tawt.quality.workspace import check
from tests.unit.conftest import Hospital

MODEL = {"d_model": 16, "n_layers": 1, "n_heads": 2, "d_ffn": 16}
BATCHING = {"tokens_per_batch": 1024, "max_length": 256}
TRAIN = {"max_steps": 4, "threads": 1, "validate_every": 0, "checkpoint_every": 4}
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
    given = {"aces": work.parent / "out_soon.yaml", "split": "train", "n": 3, "most": 40} | more
    return tawt.risk(work, "out_soon", run, **given)


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
    with pytest.raises(ConfigError, match="more than a yes or no"):
        tawt.risk(work, "counted", "decoder", aces=work.parent / "counted.yaml", split="train")
