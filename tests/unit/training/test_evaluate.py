"""`evaluate`: answers of runs beside baselines on the same rows, and where nothing was known."""

from __future__ import annotations

import importlib
import json
import shutil
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tawt.commands import out_folder
from tawt.commands.embed import embed
from tawt.commands.evaluate import evaluate
from tawt.commands.finetune import finetune
from tawt.commands.pretrain import pretrain
from tawt.dataset.reader import open_dataset
from tawt.errors import CheckpointError, ConfigError, StaleError, TawtError
from tawt.evaluation.metrics import best_threshold
from tawt.evaluation.official import best_of_utility
from tawt.evaluation.predictions import read_predictions
from tawt.heads.labels import read_labels
from tawt.pipeline.stale import Fresh
from tawt.seals import changed_files

evaluating = importlib.import_module("tawt.commands.evaluate")
HOUR = 3_600_000_000
QUICK = ("train.threads=1",)


@pytest.fixture(autouse=True)
def few_penalties(monkeypatch):
    """A probe tries two penalties on two folds: which it chooses is asked in tests/unit/heads."""
    monkeypatch.setattr("tawt.heads.probe.PENALTIES", (0.01, 1.0))
    monkeypatch.setattr("tawt.heads.probe.N_FOLDS", 2)


def write_labels(workspace, n_times=1, **columns):
    """Label every subject an hour behind the end of its record, and once more each hour after that."""
    dataset, rows = open_dataset(workspace), []
    for name in dataset.split_names:
        split = dataset.split(name)
        for i in range(split.n_subjects):
            if split.lengths[i] > split.n_static[i]:
                times = split.columns(i).timestamp + split.origins[i]
                ends = [int(times[-1]) + (1 + n) * HOUR for n in range(n_times)]
                rows += [(int(split.subject_ids[i]), end, int(split.lengths[i]), i) for end in ends]
    subject, time, length, _ = map(np.array, zip(*rows, strict=True))
    made = {name: make(length) for name, make in columns.items()}
    table = pa.table({"subject_id": subject, "prediction_time": pa.array(time, pa.timestamp("us")), **made})
    (workspace / "labels").mkdir(exist_ok=True)
    pq.write_table(table, workspace / "labels" / "task.parquet")


@pytest.fixture
def workspace(tmp_path, write_dataset):
    """A workspace of so many subjects that most figures may be told."""
    write_dataset(tmp_path / "w", {"train": [40, 20], "tuning": [60], "held_out": [60]}, max_static=2)
    return tmp_path / "w"


@pytest.fixture
def few(tmp_path, write_dataset):
    """A workspace in which no figure may be told."""
    write_dataset(tmp_path / "w", {"train": [40, 20], "tuning": [10], "held_out": [10]}, max_static=2)
    return tmp_path / "w"


@pytest.fixture
def pretrained(request, config, with_train):
    workspace = request.getfixturevalue(getattr(request, "param", "workspace"))
    config = config.model_copy(update={"model": config.model.model_copy(update={"pooling": "per_type"})})
    pretrain(workspace, with_train(config, max_steps=2), device="cpu", out=workspace / "runs" / "base")
    return workspace


KINDS = {
    "binary": {"boolean_value": lambda length: length > 60},
    "labels": {
        "boolean_value": lambda length: length > 60,
        "target": lambda length: np.where(length % 2, "odd", "even"),
    },
    "classes": {"categorical_value": lambda length: np.array(["a", "b", "c"])[np.digitize(length, [40, 80])]},
    "numbers": {"float_value": lambda length: length.astype(np.float32)},
    "time": {
        "boolean_value": lambda length: length % 3 > 0,
        "duration_hours": lambda length: length.astype(np.float64),
    },
}


@pytest.mark.parametrize("pretrained", ["few"], indirect=True)
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_measured_beside_what_is_simpler(pretrained, kind):
    """The predictions of the run and of each baseline are of the rows of the split, with their truth; of so few subjects
    no figure is told."""
    write_labels(pretrained, n_times=2, **KINDS[kind])
    run = finetune(
        pretrained, "task", "base", mode="probe", device="cpu", settings=(*QUICK, "objective.label.n_bins=4")
    ).run
    beside = (
        "mean" if kind == "numbers" else "prevalence",
        "demographics",
        "GRU-D",
        "untrained encoder",
        "shuffled labels",
    )
    result = evaluate(pretrained, "task", run, baselines=beside, n_draws=20, device="cpu", plots=True)
    names = [row.name for row in result.comparison.rows]
    assert names == [run.name, *beside[:-1]]
    with pytest.raises(
        ConfigError, match="is none of a task of kind"
    ):  # of numbers no line is logistic, of others none is ridge
        other = "logistic regression" if kind == "numbers" else "ridge regression"
        evaluate(pretrained, "task", run, baselines=other, device="cpu")
    of = {
        "binary": "auroc",
        "labels": "macro_auroc",
        "classes": "macro_auroc",
        "numbers": "spearman",
        "time": "c_index",
    }
    assert result.shuffled is not None and result.shuffled.metric == of[kind]
    assert result.shuffled.interval.value is None or "shuffled labels" in (result.folder / "evaluation.txt").read_text()
    assert not result.plots and sum("not drawn" in note for note in result.notes) > 0  # nothing of so few people
    labels, split = read_labels(pretrained / "labels" / "task.parquet"), open_dataset(pretrained).split("held_out")
    held = labels.rows(np.isin(labels.subject_id, split.subject_ids))
    for name in names:
        got = read_predictions(result.folder / f"{name}.parquet")
        assert got.subject_id.tolist() == sorted(held.subject_id.tolist())
    told = json.loads((result.folder / "evaluation.json").read_text())
    assert told["kind"] == result.comparison.kind and told["n_rows"] is told["n_subjects"] is told["n_tuning"] is None
    figures = [one for row in told["rows"] for part in ("metrics", "differences") for one in (row[part] or {}).values()]
    assert figures and {one["value"] for one in figures} == {one["low"] for one in figures} == {None}
    assert result.shuffled is None or result.shuffled.interval.value is None
    text = (result.folder / "evaluation.txt").read_text()
    assert text.startswith("no figure is told: held_out has fewer than 11 subjects") and len(text.splitlines()) == 1


def test_nobody_known_is_answered_by_the_rates(pretrained):
    """A subject of whom nothing was known by the prediction time gets the share of the training labels, and is told."""
    write_labels(pretrained, **KINDS["binary"])
    run = finetune(pretrained, "task", "base", mode="probe", device="cpu", settings=QUICK).run
    path = pretrained / "labels" / "task.parquet"
    table = pq.read_table(path)
    split = open_dataset(pretrained).split("held_out")
    timed = split.subject_ids[split.n_static == 0]  # what is static is known at any time
    at = int(np.flatnonzero(np.isin(table["subject_id"].to_numpy(), timed))[0])
    time = table["prediction_time"].cast(pa.int64()).to_numpy().copy()
    time[at] = -(10**17)
    pq.write_table(table.set_column(1, "prediction_time", pa.array(time, pa.timestamp("us"))), path)
    result = evaluate(pretrained, "task", run, baselines=(), n_draws=20, device="cpu")
    got = read_predictions(result.folder / f"{run.name}.parquet")
    assert len(got.subject_id) == int(np.isin(table["subject_id"].to_numpy(), split.subject_ids).sum())
    assert any("<11 rows of whom nothing was known" in note for note in result.notes)
    train = np.isin(table["subject_id"].to_numpy(), open_dataset(pretrained).split("train").subject_ids)
    rate = table["boolean_value"].to_numpy(zero_copy_only=False)[train].mean()
    own = got.outcome.score[got.subject_id == table["subject_id"][at].as_py()]
    assert own.tolist() == pytest.approx([rate])


def test_what_does_not_fit_is_told(pretrained):
    """A run without a task, another kind, and a baseline that is none are refused."""
    write_labels(pretrained, **KINDS["binary"])
    for dry_run in (True, False):
        with pytest.raises(CheckpointError, match="has learned no task"):
            evaluate(pretrained, "task", "base", device="cpu", dry_run=dry_run)
    run = finetune(pretrained, "task", "base", mode="probe", device="cpu", settings=QUICK).run
    with pytest.raises(ConfigError, match="is none") as error:
        evaluate(pretrained, "task", run, baselines=("LightGMB",), device="cpu")
    assert "LightGBM" in error.value.hint
    with pytest.raises(ConfigError, match="has no weights") as error:
        evaluate(pretrained, "task", run, baselines=("TabPFN",), device="cpu")
    assert "--weights TabPFN=FILE" in error.value.hint
    write_labels(pretrained, **KINDS["numbers"])
    for dry_run in (True, False):
        with pytest.raises(ConfigError, match="answers a task of kind binary"):
            evaluate(pretrained, "task", run, device="cpu", dry_run=dry_run)


@pytest.mark.parametrize("name", ["evaluate", "embed", "finetune"])
def test_old_labels_stop_a_command_before_anything_is_made_for_them(pretrained, name, monkeypatch):
    """Neither is a run read nor are events carried for labels that are older than what they were made from."""
    write_labels(pretrained, **KINDS["binary"])
    commands = {
        "evaluate": lambda: evaluate(pretrained, "task", "base", device="cpu"),
        "embed": lambda: embed(pretrained, "base", labels="task", device="cpu"),
        "finetune": lambda: finetune(pretrained, "task", "base", device="cpu"),
    }

    def never(*args, **more):
        raise AssertionError("it went on")

    for made in ("find_run", "place_for"):
        monkeypatch.setattr(f"tawt.commands.{name}.{made}", never)
    monkeypatch.setattr("tawt.pipeline.fresh.stage_of_labels", lambda root, path: "labels.task")
    monkeypatch.setattr("tawt.pipeline.fresh.look", lambda root, stage: Fresh({}, fault=f"{stage} is old"))
    with pytest.raises(StaleError, match=r"labels\.task is old"):
        commands[name]()


def test_what_is_settled_on_tuning_is_held_to_the_other_rows(pretrained):
    """A threshold is the best of tuning's, a temperature is fitted there, and both are measured on the rows of the split."""
    write_labels(pretrained, **KINDS["binary"])
    run = finetune(pretrained, "task", "base", mode="probe", device="cpu", settings=QUICK).run
    result = evaluate(pretrained, "task", run, baselines=("prevalence",), n_draws=20, device="cpu")
    tuning = pq.read_table(result.folder / "tuning" / f"{run.name}.parquet")
    test = pq.read_table(result.folder / f"{run.name}.parquet")
    dataset = open_dataset(pretrained)
    assert set(tuning["subject_id"].to_pylist()) <= set(dataset.split("tuning").subject_ids.tolist())
    truth, score = (tuning[c].to_numpy() for c in ("boolean_value", "predicted_boolean_probability"))

    def least(truth, chosen):
        hit = (truth & chosen).sum()
        return min(hit / truth.sum(), hit / max(1, chosen.sum()))

    best = max(np.unique(score), key=lambda t: (least(truth, score >= t), t))
    told = json.loads((result.folder / "evaluation.json").read_text())
    assert told["settled"][run.name]["threshold"] == best
    truth, score = (test[c].to_numpy() for c in ("boolean_value", "predicted_boolean_probability"))
    assert test["predicted_boolean_value"].to_pylist() == (score >= best).tolist()
    at_it = {name: told["rows"][0]["metrics"][name]["value"] for name in ("sensitivity", "specificity", "ppv")}
    assert min(at_it["sensitivity"], at_it["ppv"]) == pytest.approx(least(truth, score >= best))
    assert at_it["specificity"] == pytest.approx((score < best)[~truth].mean())
    assert told["settled"][run.name]["calibration"]["temperature"]["ece"]["value"] is not None
    assert "settled on" in (result.folder / "evaluation.txt").read_text()
    assert told["settled"].keys() == {run.name, "prevalence"} and told["settled"][run.name]["net_benefit"]


def test_few_with_the_outcome_are_told_of_in_no_figure(pretrained):
    """Many subjects of whom few had the outcome: nothing that was measured, or settled on tuning, stands anywhere."""
    write_labels(pretrained, boolean_value=lambda length: length > np.sort(length)[-20])
    run = finetune(pretrained, "task", "base", mode="probe", device="cpu", settings=QUICK).run
    heard: list[dict] = []
    result = evaluate(
        pretrained, "task", run, baselines=("prevalence",), n_draws=20, device="cpu", plots=True, report=heard.append
    )
    before = [one.get("text", "") for one in heard[: heard.index({"event": "model", "name": "prevalence"})]]
    assert before[-1].startswith("no figure is told: of 60 subjects"), "it is said before the baselines learn"
    told = json.loads((result.folder / "evaluation.json").read_text())
    assert told["n_subjects"] > 50 and not result.plots
    assert {one["value"] for row in told["rows"] for one in row["metrics"].values()} == {None}
    (own,) = told["settled"].values()
    assert own["threshold"] is own["net_benefit"] is None
    assert {one["value"] for of in own["calibration"].values() for one in of.values()} == {None}
    # no table of what is not there
    (line,) = (result.folder / "evaluation.txt").read_text().splitlines()
    assert line.startswith("no figure is told: of 60 subjects of held_out, fewer than 11 have one of the answers")


def test_a_class_of_few_is_told_without_its_name(pretrained):
    """Neither tables, JSON nor names of figures say a class of fewer than 11 subjects; the others are measured."""
    write_labels(pretrained, categorical_value=lambda length: np.select(
        [length > np.sort(length)[-10], length > 60], ["of one ward", "long"], "short"))  # fmt: skip
    run = finetune(pretrained, "task", "base", mode="probe", device="cpu", settings=QUICK).run
    result = evaluate(pretrained, "task", run, baselines=("prevalence",), n_draws=20, device="cpu", plots=True)
    text, said = ((result.folder / f"evaluation.{end}").read_text() for end in ("txt", "json"))
    assert "of one ward" not in text + said + "".join(map(str, (*result.plots, *result.notes)))
    assert [path.name for path in result.plots] == ["curves-1-long.png", "curves-3-short.png"]
    metrics = json.loads(said)["rows"][0]["metrics"]
    one = metrics["auroc:long"]
    assert metrics["macro_auroc"]["value"] is None and f"{one['value']:.3f}" in text and "AUROC, long" in text
    assert f"[{one['low']:.3f}, {one['high']:.3f}]" in text
    assert metrics["auroc:answer 2, of fewer than 11 subjects"]["value"] is None
    assert read_predictions(result.folder / f"{run.name}.parquet").names == ("long", "of one ward", "short")


def test_an_interval_of_numbers_is_as_wide_as_tuning_was_off(pretrained):
    """Nine of ten of tuning's rows, with one more, lie within; whether as many of the others do is measured."""
    write_labels(pretrained, **KINDS["numbers"])
    run = finetune(pretrained, "task", "base", mode="probe", device="cpu", settings=QUICK).run
    result = evaluate(pretrained, "task", run, baselines=(), n_draws=20, device="cpu")
    tuning = pq.read_table(result.folder / "tuning" / f"{run.name}.parquet")
    off = sorted(abs(tuning["float_value"].to_numpy() - tuning["predicted_float_value"].to_numpy()))
    width = off[int(np.ceil(0.9 * (len(off) + 1))) - 1]
    test = {
        c: v.to_numpy()
        for c, v in zip(
            *(lambda t: (t.column_names, t.columns))(pq.read_table(result.folder / f"{run.name}.parquet")), strict=True
        )
    }
    assert np.allclose(test["predicted_float_high"] - test["predicted_float_value"], width, rtol=1e-5)
    within = (test["predicted_float_low"] <= test["float_value"]) & (
        test["float_value"] <= test["predicted_float_high"]
    )
    assert result.comparison.rows[0].metrics["coverage"].value == pytest.approx(within.mean())


def test_of_train_a_run_is_measured_alone(pretrained):
    """What stands beside learns from train: nothing does by default, which is said, and what is asked for is refused."""
    write_labels(pretrained, **KINDS["binary"])
    run = finetune(pretrained, "task", "base", mode="probe", device="cpu", settings=QUICK).run
    result = evaluate(pretrained, "task", run, split="train", n_draws=10, device="cpu")
    assert [row.name for row in result.comparison.rows] == [run.name] and "no baseline" in result.notes[0]
    assert {*read_predictions(result.folder / f"{run.name}.parquet").subject_id.tolist()} <= {
        *open_dataset(pretrained).split("train").subject_ids.tolist()
    }
    with pytest.raises(ConfigError, match="learns from train, which is asked about"):
        evaluate(pretrained, "task", run, split="train", baselines=("prevalence",), n_draws=10, device="cpu")


def test_without_tuning_nothing_is_settled(pretrained):
    """Asked about tuning itself, or without a label there, models are measured as they are."""
    write_labels(pretrained, **KINDS["binary"])
    run = finetune(pretrained, "task", "base", mode="probe", device="cpu", settings=QUICK).run
    asked = evaluate(pretrained, "task", run, split="tuning", baselines=("prevalence",), n_draws=20, device="cpu")
    path, tuning = pretrained / "labels" / "task.parquet", open_dataset(pretrained).split("tuning").subject_ids
    table = pq.read_table(path)
    pq.write_table(table.filter(pa.array(~np.isin(table["subject_id"].to_numpy(), tuning))), path)
    out = pretrained.parent / "other"
    lacking = evaluate(pretrained, "task", run, baselines=("prevalence",), n_draws=20, device="cpu", out=out)
    for result in (asked, lacking):
        assert not result.settled and not (result.folder / "tuning").exists()
        assert "sensitivity" not in result.comparison.titles


@pytest.mark.parametrize(
    ("challenge", "scores", "settles"),
    [
        ("physionet2012", ("event_1", "event_2"), lambda said: best_threshold(said.outcome)),
        ("physionet2019", ("utility",), best_of_utility),
    ],
)
def test_the_scores_of_a_challenge_stand_first_where_the_pipeline_names_it(
    challenge, scores, settles, pretrained, monkeypatch
):
    """Its threshold is settled on tuning, of each model its own, and is on record; other tasks, and what is asked about
    tuning, have none of its scores."""
    write_labels(pretrained, **KINDS["binary"])
    (pretrained / "labels" / "task").mkdir()
    (pretrained / "labels" / "task.parquet").rename(pretrained / "labels" / "task" / "labels.parquet")
    run = finetune(pretrained, "task", "base", mode="probe", device="cpu", settings=QUICK).run
    beside = ("prevalence", "untrained encoder")
    plain = evaluate(pretrained, "task", run, baselines=beside, n_draws=10, device="cpu")
    opened = SimpleNamespace(pipeline=SimpleNamespace(scores={"task": challenge}, label_units={}))
    monkeypatch.setattr("tawt.evaluations.held.is_workspace", lambda root: True)
    monkeypatch.setattr("tawt.evaluations.held.open_workspace", lambda root: opened)
    found = evaluate(pretrained, "task", run, baselines=beside, n_draws=10, device="cpu")
    assert (*found.comparison.shown,)[: len(scores)] == found.comparison.official == scores
    assert plain.comparison.official == ()
    told = json.loads((found.folder / "evaluation.json").read_text())["settled"]
    for row, other in zip(found.comparison.rows, plain.comparison.rows, strict=True):
        assert {*row.metrics} - {*other.metrics} == {*scores}
        assert row.name == "prevalence" or told[row.name]["official"] is not None
        said = read_predictions(found.folder / "tuning" / f"{row.name}.parquet")
        assert row.name == "prevalence" or told[row.name]["official"] == settles(said)
    assert not evaluate(
        pretrained, "task", run, split="tuning", baselines=(), n_draws=10, device="cpu"
    ).comparison.official  # fmt: skip


def test_a_time_to_an_event_is_measured_at_the_horizons_that_are_asked_for(pretrained):
    """Chances there are those of the run between its own horizons, or at one it was taught; none is beyond the last."""
    write_labels(pretrained, n_times=2, **KINDS["time"])
    own = (*QUICK, "objective.label.n_bins=3", "objective.label.horizons=[12,50]")
    run = finetune(pretrained, "task", "base", mode="probe", device="cpu", settings=own).run
    learned = evaluate(pretrained, "task", run, baselines=("prevalence",), n_draws=10, device="cpu")
    whole = read_predictions(learned.folder / f"{run.name}.parquet").outcome
    assert {12.0, 50.0} <= {*whole.horizons.tolist()}
    found = evaluate(
        pretrained, "task", run, baselines=("prevalence",), n_draws=10, device="cpu", horizons=[50, 6]
    )  # fmt: skip
    asked = read_predictions(found.folder / f"{run.name}.parquet").outcome
    assert asked.horizons.tolist() == [6.0, 50.0] and asked.risk.tolist() == whole.risk.tolist()
    at = [*whole.horizons.tolist()].index(50.0)
    np.testing.assert_allclose(asked.survival[:, 1], whole.survival[:, at], rtol=1e-6)
    first = whole.horizons[0]
    np.testing.assert_allclose(asked.survival[:, 0], 1 - 6 / first * (1 - whole.survival[:, 0]), rtol=1e-5)
    assert "AUROC at 6 h" in found.text().replace("\n", " ") or "6 h" in found.text()
    with pytest.raises(ConfigError, match="lies beyond") as error:
        evaluate(pretrained, "task", run, baselines=(), device="cpu", horizons=[9000])
    assert "objective.label.horizons=[9000]" in error.value.hint
    with pytest.raises(ConfigError, match="watched so long"):
        finetune(
            pretrained, "task", "base", mode="probe", device="cpu", out=pretrained / "runs" / "late",
            settings=(*QUICK, "objective.label.horizons=[9000]"),
        )  # fmt: skip


def test_labels_and_groups_are_held_before_a_model_is_at_work(pretrained):
    """No label of the split, one answer in it, none of tuning and a group that is none are told at once."""
    write_labels(pretrained, **KINDS["binary"])
    run, heard = finetune(pretrained, "task", "base", mode="probe", device="cpu", settings=QUICK).run, []
    path, dataset = pretrained / "labels" / "task.parquet", open_dataset(pretrained)
    table = pq.read_table(path)
    of = {name: np.isin(table["subject_id"], dataset.split(name).subject_ids) for name in dataset.split_names}
    with pytest.raises(ConfigError, match="tells no groups"):
        evaluate(pretrained, "task", run, group=["no such"], device="cpu", report=heard.append)
    same = pa.array(np.where(of["held_out"], False, table["boolean_value"].to_numpy()))
    pq.write_table(table.set_column(2, "boolean_value", same).filter(pa.array(~of["tuning"])), path)
    found = evaluate(pretrained, "task", run, baselines=(), n_draws=10, device="cpu")
    assert any("all labels of held_out have one answer" in note for note in found.notes)
    assert any("no label is of a subject of tuning" in note for note in found.notes)
    pq.write_table(table.filter(pa.array(of["train"])), path)
    with pytest.raises(ConfigError, match="no label of a subject of held_out") as error:
        evaluate(pretrained, "task", run, device="cpu", report=heard.append)
    assert "--split train" in error.value.hint and not [one for one in heard if one["event"] == "model"]


@pytest.fixture
def probed(request, pretrained):
    """A workspace with a task, and a run that has learned it."""
    write_labels(pretrained, **KINDS["binary"])
    run = finetune(pretrained, "task", "base", mode="probe", device="cpu", settings=QUICK).run
    return pretrained, run


def there(folder):
    """All files of a folder."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("pretrained", ["few"], indirect=True)
def test_an_evaluation_is_there_whole_or_not_at_all(probed, monkeypatch):
    """One that fails on the way leaves the one before; one that is broken off while its files take their names leaves none
    that anybody reads; the next is whole, and holds nothing of those before it. Of two at once the second is refused."""
    workspace, run = probed
    ask = {"baselines": ("prevalence",), "n_draws": 5, "device": "cpu"}
    folder = evaluate(workspace, "task", run, **ask).folder
    before = there(folder)
    assert {f"{run.name}.parquet", "prevalence.parquet", "tuning/prevalence.parquet", "evaluation.txt"} < {*before}
    other = run.rename(run.with_name("renamed"))
    for room, name in ((evaluating, "write_sealed"), (evaluating, "write_text"), (out_folder, "write_hashes")):
        with monkeypatch.context() as patch:
            patch.setattr(room, name, lambda *args: (_ for _ in ()).throw(OSError(28, "No space left")))
            with pytest.raises(OSError, match="No space"):
                evaluate(workspace, "task", other, split="tuning", **ask)
        assert there(folder) == before and [path.name for path in folder.parent.iterdir()] == [folder.name]
    real = out_folder.Path.replace
    for left in (1, 3, 4):  # of five files
        moved = []

        def killed(self, to, left=left, moved=moved):
            if folder in to.parents and len(moved) == left:
                raise KeyboardInterrupt
            moved.extend([to] if folder in to.parents else [])
            return real(self, to)

        with monkeypatch.context() as patch:
            patch.setattr(out_folder.Path, "replace", killed)
            with pytest.raises(KeyboardInterrupt):
                evaluate(workspace, "task", other, split="tuning", **ask)
        assert len(moved) == left and not (folder / "evaluation.json").exists()

    def beside(*args):
        with pytest.raises(ConfigError, match="is being written by another process"):
            evaluate(workspace, "task", other, **ask)
        return choose(*args)

    choose = evaluating.choose_compute
    monkeypatch.setattr(evaluating, "choose_compute", beside)
    evaluate(workspace, "task", other, split="tuning", **ask)
    told = there(folder)
    assert {*told} == {
        "evaluation.json", "evaluation.txt", "files.json", "prevalence.parquet", "renamed.parquet"
    }  # fmt: skip
    assert changed_files(folder) == []


@pytest.mark.parametrize("pretrained", ["few"], indirect=True)
def test_an_evaluation_replaces_nothing_but_its_own(probed, tmp_path, exposed):
    """A place among a workspace's files, in a run, behind a link or where files of something else have the names is refused
    before any work, and so is a run that is called as a baseline."""
    workspace, run = probed
    ask = {"baselines": (), "n_draws": 5, "device": "cpu"}
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / f"{run.name}.parquet").write_bytes(b"mine")
    (tmp_path / "file").write_text("mine")
    outside = shutil.copytree(run, tmp_path / "a run")
    (workspace / "evaluations").mkdir()
    (workspace / "evaluations" / "task").symlink_to(mine, target_is_directory=True)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    places = {
        workspace / "labels": "lies in a workspace", run: "lies in a workspace", workspace: "lies in a workspace",
        workspace / "evaluations" / "task": "is a link", mine: "of something else", tmp_path / "file": "is no folder",
        outside / "plots": "lies in a run", None: "is a link",
    }  # fmt: skip
    for place, said in places.items():
        with pytest.raises(TawtError, match=said):
            evaluate(workspace, "task", run, out=place, **ask)
    named = shutil.copytree(run, run.with_name("prevalence"))
    with pytest.raises(ConfigError, match="as a baseline is called"):
        evaluate(workspace, "task", [run, named], **ask)
    shutil.rmtree(named)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
    assert evaluate(workspace, "task", run, out=tmp_path / "new" / "er", **ask).folder == tmp_path / "new" / "er"
    assert len([*(tmp_path / "new").rglob("*")]) > 3 and exposed(tmp_path / "new") == []
    assert evaluate(workspace, "task", run, out=tmp_path / "new" / "er", **ask).comparison.rows
