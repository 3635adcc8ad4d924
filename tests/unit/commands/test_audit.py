"""`tawt audit`: one verdict of each leak, planted leaks of features, and embeddings that know nothing of later."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from tawt.commands.audit import audit
from tawt.commands.audit_answers import Question
from tawt.commands.audit_read import practice_told
from tawt.commands.label import label
from tawt.dataset.reader import open_dataset
from tawt.dataset.truncated import truncate
from tawt.errors import FileError, TawtError
from tawt.evaluation.features import Features
from tawt.evaluation.inflation import inflation
from tawt.evaluation.leaks import audit_features, audit_records, tell
from tawt.evaluation.metrics import AUROC
from tawt.files import write_json, write_sealed
from tawt.labels.leaks.catalogue import LEAKS

N = 60


@pytest.fixture
def told(tmp_path, write_dataset):
    """What was known of invented subjects halfway through their records, half of whom had the event."""
    write_dataset(tmp_path, {"train": [N], "held_out": [20]}, seed=4)
    dataset = open_dataset(tmp_path)
    subject, time, train = [], [], []
    for name in dataset.split_names:
        split = dataset.split(name)
        for i in range(split.n_subjects):
            own = split.columns(i).timestamp[int(split.n_static[i]) :]
            subject.append(int(split.subject_ids[i]))
            time.append(int(split.origins[i]) + (int(own[len(own) // 2]) if len(own) else 0))
            train.append(name == "train")
    truth = (np.arange(len(subject)) % 2).astype(float)
    return replace(tell(dataset, np.array(subject), np.array(time)), truth=truth, train=np.array(train))


def status(told):
    return {one.code: one for one in (*audit_records(told), *audit_features(told))}


def test_invented_records_are_clean_but_for_what_is_planted(told):
    """Features are equal to the bit without what is later; a feature that is the label is found, and its code told."""
    said = status(told)
    assert said["FUTURE_EVENT"].status == said["DUPLICATE_RECORD"].status == "clean"
    assert said["OUTCOME_ENCODING"].status == said["SINGLE_FEATURE_DOMINANCE"].status == "clean"
    more = np.concatenate([told.features.matrix, told.truth[:, None] * 3], 1)
    planted = replace(told, features=Features(more, (*told.features.names, "DEATH//FLAG:last")))
    said = status(planted)
    assert said["OUTCOME_ENCODING"].codes == said["SINGLE_FEATURE_DOMINANCE"].codes == ("DEATH//FLAG",)
    test = ~told.train
    worth = inflation(planted.features, told.truth, told.train, test, {"DEATH//FLAG"})
    assert worth is not None and worth.metric == AUROC.name and worth.gain > 0.05


def test_few_shuffled_labels_say_nothing(told, monkeypatch):
    """Where the interval is so wide that a leak would lie within it, that is no sign of health."""
    question = Question("dead", told, ~told.train, np.zeros(len(told.truth), dtype=bool))
    assert question.shuffled(0).status == "not verified"
    monkeypatch.setattr("tawt.commands.audit_answers.WIDEST", 1.0)
    assert question.shuffled(0).status == "clean"


def test_features_that_know_what_is_later_are_found(told, monkeypatch):
    """A lookup that forgets to cut the records gives other features once what is later is gone."""
    from tawt.evaluation import leaks

    real = leaks.known_at
    later = 10**15
    monkeypatch.setattr(leaks, "known_at", lambda dataset, subject, time: real(dataset, subject, time + later))
    assert status(told)["FUTURE_EVENT"].status == "leak"


def test_what_is_measured_throughout_stands_at_the_end_too(tmp_path, write_dataset):
    """A data_type that ends nearly all records is no hindsight where it stands all over them, as a heart rate does."""
    write_dataset(tmp_path, {"train": [N], "held_out": [20]}, lengths=[30] * (N + 20), max_static=0, n_types=1)
    dataset = open_dataset(tmp_path)
    split = dataset.split("train")
    times = np.array([int(split.origins[i] + split.columns(i).timestamp[20]) for i in range(split.n_subjects)])
    truth = (np.arange(len(times)) % 2).astype(float)
    told = replace(tell(dataset, split.subject_ids, times), truth=truth, train=np.ones(len(times), dtype=bool))
    assert status(told)["HINDSIGHT_VARIABLE"].status == "clean"


def test_a_truncated_record_has_what_was_known(told):
    """Against a plain look at each record: no row behind the time on either clock, statics known by then, in order."""
    cut = truncate(told.dataset, told.subject_id, told.time)
    until = dict(zip(told.subject_id.tolist(), told.time.tolist(), strict=True))
    for name in told.dataset.split_names:
        whole, part = told.dataset.split(name), cut.split(name)
        assert part.subject_ids.tolist() == whole.subject_ids.tolist()
        for i in range(whole.n_subjects):
            own, then = whole.columns(i), until[int(whole.subject_ids[i])] - int(whole.origins[i])
            kept = [
                row for row in range(len(own.timestamp))
                if own.available_time[row] <= then and (row < whole.n_static[i] or own.timestamp[row] <= then)
            ]  # fmt: skip
            assert part.columns(i).identity.tolist() == own.identity[kept].tolist()
    assert sum(cut.split(n).n_triplets for n in cut.split_names) < sum(
        told.dataset.split(n).n_triplets for n in told.dataset.split_names
    )


def test_every_leak_has_a_verdict(own_workspace, tmp_path, tawt, monkeypatch):
    """The command says one thing of each leak of the catalogue, in its order, and writes it down; also where labels are many."""
    task = tmp_path / "dead.yaml"
    task.write_text("""predicates:
  admission: {code: {regex: "^HOSPITAL_ADMISSION"}}
  death: {code: MEDS_DEATH}
trigger: admission
windows:
  input: {start: null, end: trigger, start_inclusive: true, end_inclusive: true, index_timestamp: end}
  target: {start: input.end, end: null, start_inclusive: false, end_inclusive: true, label: death}
""")
    assert tawt("label", task, "-w", own_workspace, "--name", "dead").code == 0
    done = tawt("audit", "dead", "-w", own_workspace, "--aces", task, "--format", "json")
    assert done.code in (0, 1), done.err
    said = json.loads((own_workspace / "audits" / "dead" / "audit.json").read_text())
    assert [one["code"] for one in said["verdicts"]] == [leak.code for leak in LEAKS]
    by_code = {one["code"]: one for one in said["verdicts"]}
    assert by_code["FUTURE_EVENT"]["status"] == by_code["LABEL_IN_INPUT"]["status"] == "clean"
    assert done.code == any(one["status"] == "leak" for one in said["verdicts"])
    monkeypatch.setattr("tawt.commands.audit.MOST_LOOKED_AT", 40)
    heard: list[dict] = []
    fewer = audit("dead", own_workspace, aces=task, report=heard.append)
    assert [one.code for one in fewer.verdicts] == [leak.code for leak in LEAKS]
    assert any("looked at where 40 of" in event.get("text", "") for event in heard)
    assert "audits/" not in (checked := tawt("check", "-w", own_workspace)).out + checked.err


def test_what_cannot_be_audited_is_told_before_any_work(own_workspace, tmp_path, monkeypatch):
    """A threshold that is no probability, a run that is not there and a place that is not an audit's are refused first; an
    evaluation that is not as one is written, or has no seal, is told as that."""
    monkeypatch.setattr("tawt.commands.audit.bound_events", lambda *args: pytest.fail("it was at work already"))
    label("in_hospital_mortality_24h", own_workspace, name="dead", threads=1)
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "audit.json").write_text("{}")
    (own_workspace / "audits").mkdir()
    (own_workspace / "audits" / "dead").symlink_to(mine, target_is_directory=True)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    for said, given in [
        *((r"is no probability", {"threshold": one, "run": "x"}) for one in (float("nan"), float("inf"), -0.1, 1.5)),
        ("is neither a run", {"run": "nowhere"}),
        ("lies in a workspace", {"out": own_workspace / "dataset"}),
        ("of something else", {"out": mine}),
        ("is a link", {}),
    ]:
        with pytest.raises(TawtError, match=said):
            audit("dead", own_workspace, **given)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
    folder = own_workspace / "evaluations" / "dead"
    folder.mkdir(parents=True)
    for write in (write_json, write_sealed):
        for record in ({"rows": 5}, {"rows": [{"name": 1}]}, {"settled": {"x": {"threshold": "high"}}}, {"settled": 1}):
            write(folder / "evaluation.json", record)
            with pytest.raises(FileError, match=r"does not fit|is not as it was written"):
                practice_told(own_workspace, "dead")
    write_sealed(folder / "evaluation.json", {"rows": [{"name": "mine"}, {"name": "prevalence"}], "n_draws": 5})
    assert practice_told(own_workspace, "dead")[0].told.startswith("1 runs were measured")
