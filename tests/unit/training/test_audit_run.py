"""What an audit says of a run: what it read and began from, what its head was told, and where a threshold was chosen."""

from __future__ import annotations

import shutil

import pytest

from tawt.commands.audit_run import audit_run
from tawt.commands.finetune import finetune
from tawt.dataset.reader import open_dataset
from tawt.errors import ConfigError
from tawt.files import write_sealed
from tawt.heads.labels import read_labels
from tawt.heads.task import TASK
from tawt.runs.answer import load_task
from tawt.runs.find import called
from tawt.seals import sha256_file
from tawt.training.versions import read_versions, write_versions


@pytest.mark.parametrize("of", ["here", "another place"])
def test_a_threshold_on_record_is_held_to_what_it_was_settled_for(labelled, tmp_path, of):
    """An evaluation of the same labels and weights tells it, whatever the run is called there; of others nothing is clean."""
    run = finetune(labelled, "long", "base", mode="probe", device="cpu", settings=("train.threads=1",)).run
    if of == "another place":
        other = tmp_path / "elsewhere" / "runs" / run.name
        shutil.copytree(run, other)
        run = other
    dataset, labels = open_dataset(labelled), read_labels(labelled / "labels" / "long.parquet")
    record = {
        "labels": labels.sha256, "rows": [{"name": called(labelled, run), "model": sha256_file(run / "model.safetensors")}],
        "settled": {called(labelled, run): {"threshold": 0.4}},
    }  # fmt: skip
    folder = labelled / "evaluations" / "long"
    folder.mkdir(parents=True)

    def said(**changed):
        write_sealed(folder / "evaluation.json", record | changed)
        found = audit_run(labelled, run, dataset, labels, "cpu", None, 0, lambda name: None)
        return next(one for one in found if one.code == "EVALUATION_REUSE")

    assert "the threshold is that on record" in said().told
    for changed in ({"labels": "0" * 64}, {"rows": [record["rows"][0] | {"model": "0" * 64}]}, {"settled": {}}):
        assert said(**changed).status == "not verified"


def test_a_run_is_held_to_what_it_read(labelled):
    """It and the run that it began from read train; other records, and rates of other labels, are told."""
    run = finetune(labelled, "long", "base", mode="probe", device="cpu", settings=("train.threads=1",)).run
    dataset, labels = open_dataset(labelled), read_labels(labelled / "labels" / "long.parquet")

    def said(of=run, threshold=None):
        found = audit_run(labelled, of, dataset, labels, "cpu", threshold, 0, lambda name: None)
        return {one.code: one for one in found}

    first = said()
    assert {*first} == {"FUTURE_EVENT", "PRETRAINED_ON_TEST", "PREPROCESSING_FIT", "EVALUATION_REUSE"}
    assert [code for code, one in first.items() if one.status != "clean"] == ["EVALUATION_REUSE"], first
    assert first["EVALUATION_REUSE"].status == "not verified"
    assert "base-long-probe and base read train" in first["PRETRAINED_ON_TEST"].told
    assert "the threshold 0.4" in said(threshold=0.4)["EVALUATION_REUSE"].told
    with pytest.raises(ConfigError, match="expected a run that does"):
        said(labelled / "runs" / "base", 0.4)
    spec = load_task(run).spec
    write_sealed(run / TASK, spec.model_copy(update={"prior": (spec.prior[0] + 0.01,)}).model_dump(mode="json"))
    assert said()["PREPROCESSING_FIT"].status == "leak"
    base = labelled / "runs" / "base"
    versions = read_versions(base)
    for read, told in (("0" * 64, "base has read other records"), (None, "which records base has read")):
        write_versions(base, versions.model_copy(update={"read": read}))
        one = said()["PRETRAINED_ON_TEST"]
        assert one.status == "not verified" and told in one.told
