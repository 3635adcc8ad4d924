"""`tawt compare`: tasks that runs, or those that learned from them, were evaluated on together."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from tawt.commands.compare import compare
from tawt.errors import FileError
from tawt.evaluation.predictions import read_predictions, write_predictions
from tawt.evaluation.resample import draws_of
from tawt.evaluation.table import compare as measured
from tawt.evaluation.withheld import FEW
from tawt.files import write_hashes, write_sealed
from tawt.seals import sha256_file
from tawt.training.versions import Start, Versions, write_versions

RNG = np.random.default_rng(3)
PROBE = ("objective.label.weight=1", "objective.masked.weight=0", "train.max_steps=0")
N, DRAWS = 90, 40
SUBJECT = np.sort(RNG.integers(0, 60, N))
TRUTH = RNG.random(N) < 0.4


def score(skill: float) -> np.ndarray:
    return np.clip(skill * TRUTH + (1 - skill) * RNG.random(N), 0, 1)


@pytest.fixture
def made(make_run):
    """`made("a")`, `made("a-probe", of="a")`: a run of weights of its own, begun from another's."""

    def make(name, of=None, *settings):
        number = torch.full((2,), float(len(made_so_far)))
        made_so_far.append(name)
        if of is None:
            return make_run(name, *settings, others={"heads.bias": number})
        run = make_run(name, *(settings or PROBE), others={"heads.bias": number})
        weights = run.parent / of / "model.safetensors"
        start = Start(weights=f"../{of}/model.safetensors", sha256=sha256_file(weights))
        with_ = dict.fromkeys(("python", "machine", "device", "precision"), "x")
        write_versions(run, Versions(packages={}, threads=1, processes=1, seed=0, reasons={}, init=start, **with_))
        (run / "task.json").write_text("{}")
        (run / "files.json").unlink()
        write_hashes(run)
        return run

    made_so_far: list[str] = []
    return make


@pytest.fixture
def evaluated(workspace):
    """Keep predictions of runs, as `tawt evaluate` does."""

    def evaluate(task, runs, truth=TRUTH, withheld=()):
        folder = workspace / "evaluations" / task
        folder.mkdir(parents=True)
        said = {}
        for run, chance in runs.items():
            columns = {
                "subject_id": SUBJECT, "prediction_time": np.arange(N).astype("datetime64[us]"),
                "boolean_value": truth, "predicted_boolean_probability": chance,
            }  # fmt: skip
            path = folder / f"{run.name}.parquet"
            model = sha256_file(run / "model.safetensors")
            write_predictions(path, columns, "binary", model=model, labels="labels")
            said[run.name] = read_predictions(path)
        found = measured(said, next(iter(said)), n_draws=DRAWS, seed=5).without(dict.fromkeys(withheld, FEW))
        write_sealed(folder / "evaluation.json", found.to_json())
        return folder

    return evaluate


def test_runs_are_paired_on_the_draws_of_the_evaluation(made, evaluated, workspace):
    """A difference is that of scikit-learn, on all rows and draw by draw, though neither run was the first there."""
    made("old"), made("continued"), made("scratch")
    told = {made(f"{name}-probe", name): score(0.1 * i) for i, name in enumerate(("old", "continued", "scratch"), 1)}
    evaluated("death", told)
    found = compare(workspace, ["continued", "scratch"])
    (one,) = found.tasks
    assert (one.task, one.mode) == ("death", "probe")
    assert one.models == {"continued": "continued-probe", "scratch": "scratch-probe"}
    assert [row.name for row in one.measured.rows] == ["continued", "scratch"]
    first, second = [*told.values()][1:]
    less = one.measured.rows[1].differences["auroc"]
    assert less.value == pytest.approx(roc_auc_score(TRUTH, second) - roc_auc_score(TRUTH, first))
    each = [
        roc_auc_score(TRUTH, second, sample_weight=w) - roc_auc_score(TRUTH, first, sample_weight=w)
        for w in draws_of(SUBJECT, DRAWS, 5).weights(0, DRAWS)
    ]
    assert (less.low, less.high) == pytest.approx(tuple(np.quantile(each, [0.025, 0.975])))
    assert "below less continued" in one.told(100)


def test_only_those_that_learned_in_one_way_are_paired(made, evaluated, workspace):
    """A probe is not laid beside a run that was trained whole; what was evaluated alone is told, with what would do."""
    made("a"), made("b")
    probe, whole = made("a-probe", "a"), made("b-full", "b", "train.max_steps=9", "objective.label.trains=full")
    evaluated("death", {probe: score(0.2), whole: score(0.3)})
    found = compare(workspace, ["a", "b"])
    assert not found.tasks
    note = next(note for note in found.notes if note.startswith("death"))
    assert "a (probe), b (full)" in note and "tawt evaluate death" in note and "--run a-probe" in note


def test_other_weights_are_another_run(made, evaluated, workspace):
    """What was learned before a run was trained further, or from a run between that learned no task, is not its own."""
    made("a"), made("b"), made("between", "a")
    (workspace / "runs" / "between" / "task.json").unlink()
    runs = {made("a-probe", "a"): score(0.1), made("b-probe", "b"): score(0.2), made("c", "between"): score(0.3)}
    again = made("b-again", "b-probe")
    evaluated("death", runs | {again: score(0.4)})
    assert compare(workspace, ["a", "b"]).tasks[0].models == {"a": "a-probe", "b": "b-probe"}
    shutil.copyfile(
        workspace / "runs" / "between" / "model.safetensors", workspace / "runs" / "b" / "model.safetensors"
    )
    assert compare(workspace, ["a", "b"]).tasks[0].models == {"a": "a-probe", "b": "c"}


@pytest.mark.parametrize("recorded", [False, True])
def test_what_may_not_be_told_stays_untold(recorded, made, evaluated, workspace):
    """Few with the outcome: no figure, by the rule or as the evaluation has it, in the table or the JSON."""
    made("a"), made("b")
    runs = {made(f"{name}-probe", name): score(0.2) for name in "ab"}
    few = TRUTH if recorded else np.isin(SUBJECT, np.unique(SUBJECT)[:5])
    withheld = ("auroc", "average_precision", "prevalence", "brier_skill", "ece", "calibration_slope")
    evaluated("death", runs, few, withheld if recorded else ())
    (one,) = compare(workspace, ["a", "b"]).tasks
    assert {of.value for row in one.measured.rows for of in row.metrics.values()} == {None}
    assert {of.value for of in one.measured.rows[1].differences.values()} == {None}
    assert one.told(100) == "no figure is told: fewer than 11 subjects in a cell\n"


def test_a_torn_evaluation_is_told(made, evaluated, workspace):
    """An evaluation that is not as it was written ends in an error that names its file."""
    made("a"), made("b")
    folder = evaluated("death", {made(f"{name}-probe", name): score(0.2) for name in "ab"})
    text = (folder / "evaluation.json").read_text()
    (folder / "evaluation.json").write_text(text.replace('"seed": 5', '"seed": 6'))
    with pytest.raises(FileError, match=r"evaluation\.json: is not as it was written"):
        compare(workspace, ["a", "b"])


def test_costs_are_of_all_steps(make_run, workspace, metrics_line):
    """Tokens and seconds are told of some steps, and count for all."""
    lines = [metrics_line(step, "train") | {"tokens": 100 * step, "seconds": 2.0} for step in (1, 3)]
    make_run("a", metrics=[*lines, metrics_line(4, "train")]), make_run("b")
    one, other = compare(workspace, ["a", "b"]).costs
    assert (one.steps, one.tokens, one.seconds) == (4, 800, 8.0)
    assert (other.steps, other.tokens, other.seconds) == (0, None, None)
