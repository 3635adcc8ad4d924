"""What an audit says of a run: what it read and began from, what its head was told, and where a threshold was chosen."""

from __future__ import annotations

import pytest

from tawt.commands.audit_run import audit_run
from tawt.commands.finetune import finetune
from tawt.dataset.reader import open_dataset
from tawt.errors import ConfigError
from tawt.files import write_sealed
from tawt.heads.labels import read_labels
from tawt.heads.task import TASK
from tawt.runs.answer import load_task
from tawt.training.versions import read_versions, write_versions


def test_a_run_is_held_to_what_it_read(labelled):
    """It and the run that it began from read train; other records, and rates of other labels, are told."""
    run = finetune(labelled, "long", "base", mode="probe", device="cpu", settings=("train.threads=1",)).run
    dataset, labels = open_dataset(labelled), read_labels(labelled / "labels" / "long.parquet")

    def said(of=run, threshold=None):
        found = audit_run(labelled, of, dataset, labels, "cpu", threshold, lambda name: None)
        return {one.code: one for one in found}

    first = said()
    assert {*first} == {"FUTURE_EVENT", "PRETRAINED_ON_TEST", "PREPROCESSING_FIT", "EVALUATION_REUSE"}
    assert {one.status for one in first.values()} == {"clean"}, first
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
