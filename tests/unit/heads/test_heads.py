"""Kinds of tasks: their truths and losses are those of a loop over documents, and the probe finds what sklearn does."""

from __future__ import annotations

import math

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from tawt.chance import draw
from tawt.config.label import LabelConfig
from tawt.contracts.label_columns import in_order
from tawt.errors import CheckpointError, ConfigError
from tawt.files import write_sealed
from tawt.heads.head import TaskHead
from tawt.heads.kinds import answers
from tawt.heads.labels import read_labels
from tawt.heads.lora import add_low_rank, merged, plain_name
from tawt.heads.probe import PENALTIES, fit_probe
from tawt.heads.targets import describe, make_targets
from tawt.heads.task import TASK, TaskSpec
from tawt.runs.learned import learned_kind

CONFIG = LabelConfig(weight=1.0, n_bins=4)
HOUR = 3_600_000_000


def write(tmp_path, **columns):
    """Write a label set of some columns, one row an hour and subject."""
    n = len(next(iter(columns.values())))
    keys = {"subject_id": columns.pop("subject_id", list(range(n))), "prediction_time": columns.pop("time", [0] * n)}
    table = pa.table({
        "subject_id": pa.array(keys["subject_id"], pa.int64()),
        "prediction_time": pa.array(keys["prediction_time"], pa.timestamp("us")), **columns,
    })  # fmt: skip
    pq.write_table(table, tmp_path / "task.parquet")
    return tmp_path / "task.parquet"


def learned(labels, config=CONFIG):
    """What is asked, and the truth, where all labels are training labels."""
    spec = describe(labels, np.ones(len(labels), bool), config)
    return spec, make_targets(labels, spec, config)


def test_yes_and_no(tmp_path):
    """A label is its own truth, the prior its rate, and rarer answers weigh more where classes are balanced."""
    labels = read_labels(write(tmp_path, boolean_value=[True, False, False, None, False] * 2))
    assert (labels.kind, len(labels)) == ("binary", 8)
    spec, targets = learned(labels)
    assert spec.prior == (0.25,) and targets.truth[:, 0].tolist() == [1, 0, 0, 0] * 2
    expected = [-math.log(0.25), *[-math.log(0.75)] * 3] * 2
    np.testing.assert_allclose(targets.cost, expected, rtol=1e-6)
    _, balanced = learned(read_labels(write(tmp_path, boolean_value=[True, True, False] * 2)), balanced_config())
    np.testing.assert_allclose(balanced.weight[:, 0], [0.75, 0.75, 1.5] * 2)


def balanced_config():
    return LabelConfig(weight=1.0, class_weight="balanced")


@pytest.mark.parametrize(
    "column", [{"boolean_value": [True, False, False, False, False] * 4}, {"categorical_value": [*"abbbbbccca"] * 2}]
)
def test_no_single_answer_costs_less_than_the_trivial_one(tmp_path, column):
    """What a head starts from is the constant of the least loss, also where rare answers weigh more."""
    _, targets = learned(read_labels(write(tmp_path, **column)), balanced_config())
    labels = read_labels(write(tmp_path, **column))
    spec = describe(labels, np.ones(len(labels), bool), balanced_config())
    how = answers(spec, balanced_config())
    truth, weight = (torch.from_numpy(x).double() for x in (targets.truth, targets.weight))

    def cost(outputs):
        return float(how.losses(outputs.expand(len(truth), -1), truth, weight).mean())

    least = targets.cost.mean()
    assert cost(how.start()) == pytest.approx(least)
    rng = np.random.default_rng(0)
    for step in (1e-2, 0.3, 2.0):
        for _ in range(20):
            assert cost(how.start() + torch.from_numpy(rng.normal(0, step, len(how.start())))) >= least - 1e-9


def test_several_targets_and_horizons_stand_side_by_side(tmp_path):
    """One prediction time is one row; what is not asked there weighs nothing."""
    path = write(
        tmp_path, subject_id=[1, 1, 2, 2, 3, 3, 4], boolean_value=[True, False, False, True, True, False, False],
        horizon_hours=[24.0, 48.0, 24.0, 48.0, 24.0, 48.0, 24.0],
    )  # fmt: skip
    labels = read_labels(path)
    assert labels.kind == "labels" and labels.asked == ("24 h", "48 h")
    with pytest.raises(ConfigError, match="`48 h: yes`"):
        learned(labels)
    more = read_labels(write(
        tmp_path, subject_id=[1, 1, 2, 2, 3, 3, 4, 4, 5], target=["a", "b"] * 4 + ["a"],
        boolean_value=[True, False, False, True, True, False, False, True, True],
    ))  # fmt: skip
    spec, targets = learned(more)
    assert spec.outputs == ("a", "b") and targets.weight.tolist() == [[1, 1]] * 4 + [[1, 0]]
    with pytest.raises(ConfigError, match="two labels of one subject"):
        read_labels(write(tmp_path, subject_id=[1, 1], boolean_value=[True, False]))


def test_an_answer_of_another_type_is_refused_without_a_cell(tmp_path):
    """A column that does not become what MEDS has there is named with both types, whoever wrote the file."""
    with pytest.raises(ConfigError, match="`boolean_value` is string, expected bool") as caught:
        read_labels(write(tmp_path, boolean_value=["yes, SECRET", "no"]))
    assert "SECRET" not in str(caught.value)


@pytest.mark.parametrize("columns", [
    {"categorical_value": ["x", "y"] * 4}, {"float_value": pa.array([1.0, 2.0] * 4, pa.float32())},
    {"boolean_value": [True, False] * 4, "duration_hours": [1.0, 2.0] * 4},
])  # fmt: skip
def test_but_for_yes_and_no_one_thing_is_asked(tmp_path, columns):
    """Several classes, numbers or times at one prediction time are refused: a model would answer the first alone."""
    path = write(tmp_path, subject_id=[1, 1, 2, 2, 3, 3, 4, 4], target=["a", "b"] * 4, **columns)
    with pytest.raises(ConfigError, match=r"asks for 2 .* at one time, expected one"):
        read_labels(path)


def test_classes_and_numbers(tmp_path):
    """Classes are counted by name; numbers are told in standard deviations, and answered in their own unit."""
    labels = read_labels(write(tmp_path, categorical_value=["b", "a", "b", "a", "b"]))
    spec, targets = learned(labels)
    assert spec.outputs == ("a", "b") and spec.prior == (0.4, 0.6) and targets.truth[0].tolist() == [0, 1]
    np.testing.assert_allclose(targets.cost, -np.log([0.6, 0.4, 0.6, 0.4, 0.6]), rtol=1e-6)
    numbers = read_labels(write(tmp_path, float_value=pa.array([1.0, 2.0, 6.0], pa.float32())))
    spec, targets = learned(numbers)
    head = TaskHead(2, spec, CONFIG)
    np.testing.assert_allclose(targets.truth[:, 0], (np.array([1, 2, 6]) - 3) / np.std([1, 2, 6]), rtol=1e-6)
    np.testing.assert_allclose(head.answers.predict(torch.from_numpy(targets.truth))[:, 0], [1, 2, 6], rtol=1e-5)
    whole = write(tmp_path, integer_value=[2, 10, 2, 10])
    with pytest.raises(ConfigError, match="may be classes or numbers or counts"):
        read_labels(whole)
    assert read_labels(whole, "classes").classes == ("2", "10") and read_labels(whole, "numbers").kind == "numbers"


def test_counts(tmp_path):
    """A probe of counts is the Poisson regression of another library; none is below 0, whatever is asked of its rate."""
    linear = pytest.importorskip("sklearn.linear_model")
    rng = np.random.default_rng(5)
    x = rng.normal(size=(300, 4)).astype(np.float32)
    came = rng.poisson(np.exp(x[:, 0] - 0.5 * x[:, 1] + 0.3))
    labels = read_labels(write(tmp_path, integer_value=came), "counts")
    spec, targets = learned(labels)
    assert spec.prior == (came.mean(),) and targets.truth[:, 0].tolist() == came.tolist()
    head = TaskHead(4, spec, CONFIG)
    probe = fit_probe(x, targets.truth, targets.weight, np.arange(300), head.answers)
    head.start_at(probe.weight, probe.bias)
    ours = head.answers.predict(head(torch.from_numpy(x))).detach().numpy()[:, 0]
    centred = x.astype(np.float64) - x.astype(np.float64).mean(0)
    strength = probe.penalty * float(x.var(0, ddof=1).mean())
    other = linear.PoissonRegressor(alpha=strength, tol=1e-9, max_iter=5000).fit(centred, came)
    np.testing.assert_allclose(ours, other.predict(centred), rtol=1e-4)
    truth = torch.tensor(came[came > 0]).double()[:, None]
    one = torch.ones_like(truth)
    assert head.answers.losses(truth.log(), truth, one).abs().max() < 1e-9
    assert (head.answers.losses(truth.log() + 0.1, truth, one) > 0).all()
    assert head.answers.losses(torch.full((1, 1), 900.0), torch.ones(1, 1), torch.ones(1, 1)).isfinite().all()
    with pytest.raises(ConfigError, match="1 counts below 0"):
        read_labels(write(tmp_path, integer_value=[1, -1, 0]), "counts")
    for huge in (2**62, 2**53 + 1, 485_165_196):
        path = write(tmp_path, integer_value=[1, huge, 0])
        with pytest.raises(ConfigError, match="1 counts above 485,165,195"):
            read_labels(path, "counts")
        assert read_labels(path, "numbers").value[1, 0] == float(huge)


def test_the_time_to_an_event_is_its_likelihood(tmp_path):
    """The loss is minus the log of the chance of what was seen, interval by interval, for each document alone."""
    rng = np.random.default_rng(0)
    duration, seen = rng.exponential(20, 80), rng.random(80) < 0.6
    labels = read_labels(write(tmp_path, boolean_value=seen.tolist(), duration_hours=duration))
    spec, targets = learned(labels)
    edges = np.array(spec.edges)
    longest = np.sort(duration[seen])[-11]  # of the ten longer ones no edge tells
    assert seen.sum() >= 40 and len(edges) == 3 and longest <= edges[-1] < longest * 1.1
    assert not np.isin(edges, duration).any() and all(float(f"{edge:.1e}") == edge for edge in edges)
    outputs = torch.randn(80, 3, generator=torch.Generator().manual_seed(0))
    hazard = outputs.double().sigmoid().numpy()
    head = TaskHead(3, spec, CONFIG)
    got = head.answers.losses(outputs, torch.from_numpy(targets.truth), torch.from_numpy(targets.weight))
    for i in range(80):
        chance = 1.0
        for j, edge in enumerate(edges):
            if seen[i] and duration[i] <= edge:
                chance *= hazard[i, j]
                break
            if not seen[i] and duration[i] < edge:
                break
            chance *= 1 - hazard[i, j]
        assert got[i].item() == pytest.approx(-math.log(chance), rel=1e-4, abs=1e-6)
    alive = head.answers.predict(outputs)
    np.testing.assert_allclose(alive, np.cumprod(1 - hazard, 1), rtol=1e-4)
    fewer, _ = learned(labels.rows(np.flatnonzero(np.cumsum(seen) <= 25)))
    assert len(fewer.edges) == 1, "ten of 25 events are longer than any edge"
    # of the training labels alone, hazards are events over those watched
    watched, came = targets.weight.sum(0), (targets.truth * targets.weight).sum(0)
    np.testing.assert_allclose(spec.prior, came / watched, rtol=1e-6)


@pytest.mark.parametrize("horizons", [(), (30.0, 80.0)])
@pytest.mark.parametrize("unit", [0.25, 1, 6, 24])
def test_an_interval_of_time_has_ten_events_and_no_end_that_is_somebodys(tmp_path, unit, horizons):
    """Of times in whole units too, of which many are equal; but for the horizons that are asked for."""
    for seed in range(10):
        rng = np.random.default_rng(seed)
        duration = np.ceil(rng.exponential(60, 400) / unit) * unit
        seen = rng.random(400) < 0.5
        labels = read_labels(write(tmp_path, boolean_value=seen.tolist(), duration_hours=duration))
        spec, targets = learned(labels, LabelConfig(horizons=horizons))
        own = [edge for edge in spec.edges if edge not in horizons]
        assert {*horizons} < {*spec.edges} and not np.isin(own, duration).any()
        n_events = (targets.truth * targets.weight).sum(0)
        assert len(spec.edges) >= 4 and (n_events >= 10).all()


@pytest.mark.parametrize("kind", ["binary", "classes", "numbers"])
def test_the_probe_is_that_of_another_library(tmp_path, kind):
    """At the penalty that was chosen, logistic and ridge regression of scikit-learn give the same answers."""
    linear = pytest.importorskip("sklearn.linear_model")
    rng = np.random.default_rng(1)
    x = (rng.normal(size=(300, 8)) * [3, 1, 1, 1, 0.3, 0.3, 0.1, 0.1] + 5).astype(np.float32)
    centred = x.astype(np.float64) - x.astype(np.float64).mean(0)  # else it stops early
    z = (x - 5) @ rng.normal(size=8) + rng.normal(size=300)
    if kind == "binary":
        path = write(tmp_path, boolean_value=(z > 0).tolist())
    elif kind == "classes":
        path = write(tmp_path, categorical_value=np.array(["low", "mid", "top"])[np.digitize(z, [-1, 1])].tolist())
    else:
        path = write(tmp_path, float_value=pa.array(z.astype(np.float32)))
    spec, targets = learned(read_labels(path))
    head = TaskHead(8, spec, CONFIG)
    probe = fit_probe(x, targets.truth, targets.weight, np.arange(300), head.answers)
    head.start_at(probe.weight, probe.bias)
    ours = head.answers.predict(head(torch.from_numpy(x))).detach().numpy()
    strength = probe.penalty * float(x.var(0, ddof=1).mean())
    if kind == "numbers":
        other = linear.Ridge(alpha=strength * 300 / 2).fit(centred, targets.truth[:, 0]).predict(centred)
        np.testing.assert_allclose(ours[:, 0], other * spec.scale[0] + spec.mean[0], atol=1e-4)
    else:
        y = targets.truth.argmax(1) if kind == "classes" else targets.truth[:, 0]
        model = linear.LogisticRegression(C=1 / (strength * 300), tol=1e-8, max_iter=5000).fit(centred, y)
        chances = model.predict_proba(centred)
        np.testing.assert_allclose(ours, chances if kind == "classes" else chances[:, 1:], atol=1e-4)
    assert probe.tried[probe.penalty] == min(probe.tried.values()) and 2 < len(probe.tried) <= len(PENALTIES)
    assert probe.tried[probe.penalty] < targets.cost.mean()


def test_of_many_documents_a_draw_chooses_the_penalty(tmp_path, monkeypatch):
    """The losses are means over those that were drawn; the map is the one that all give at the penalty of the draw."""
    rng = np.random.default_rng(3)
    x = rng.normal(size=(400, 6)).astype(np.float32)
    came = x[:, 0] + rng.normal(size=400) > 0
    spec, targets = learned(read_labels(write(tmp_path, boolean_value=came.tolist())))
    answers = TaskHead(6, spec, CONFIG).answers
    asked = x, targets.truth, targets.weight, np.arange(400), answers
    whole = fit_probe(*asked)
    monkeypatch.setattr("tawt.heads.probe.MOST", 200)
    drawn = fit_probe(*asked)
    assert drawn.tried != whole.tried
    both = drawn.tried.keys() & whole.tried.keys()
    assert len(both) > 5 and all(0.5 < drawn.tried[p] / whole.tried[p] < 2 for p in both)  # of a sum it would be half
    monkeypatch.setattr("tawt.heads.probe.PENALTIES", (drawn.penalty,))
    again = fit_probe(*asked)
    torch.testing.assert_close(again.weight, drawn.weight, atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("kind", ["binary", "numbers"])
def test_documents_are_summed_some_at_a_time(tmp_path, monkeypatch, kind):
    """However many embeddings are held in double precision at once, the probe is the same to a millionth."""
    rng = np.random.default_rng(4)
    x = (rng.normal(size=(400, 6)) + 5).astype(np.float32)
    z = x[:, 0] + rng.normal(size=400)
    column = {"boolean_value": (z > 5).tolist()} if kind == "binary" else {"float_value": z.astype(np.float32)}
    spec, targets = learned(read_labels(write(tmp_path, **column)))
    asked = x, targets.truth, targets.weight, np.arange(400), TaskHead(6, spec, CONFIG).answers
    whole = fit_probe(*asked)
    monkeypatch.setattr("tawt.heads.probe.NUMBERS_AT_ONCE", 6 * 37)
    parts = fit_probe(*asked)
    assert parts.penalty == whole.penalty
    torch.testing.assert_close(parts.weight, whole.weight, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(parts.bias, whole.bias, rtol=1e-6, atol=1e-6)
    assert np.allclose([*parts.tried.values()], [*whole.tried.values()], rtol=1e-6)


def test_the_penalty_grows_where_embeddings_say_nothing(tmp_path):
    """Of noise alone the probe says little more than the rates of the labels."""
    rng = np.random.default_rng(2)
    spec, targets = learned(read_labels(write(tmp_path, boolean_value=(rng.random(200) < 0.3).tolist())))
    answers = TaskHead(50, spec, CONFIG).answers
    noise = rng.normal(size=(200, 50)).astype(np.float32)
    probe = fit_probe(noise, targets.truth, targets.weight, np.arange(200), answers)
    assert probe.penalty >= 1 and probe.tried[probe.penalty] < targets.cost.mean() * 1.02


@pytest.mark.parametrize("kind", ["counts", "time"])
def test_what_a_probe_is_held_to_leaves_the_same_subjects_out(tmp_path, kind):
    """The rates beside a probe's loss are those of the other subjects' labels, not of the labels that they judge."""
    rng = np.random.default_rng(7)
    columns = {"counts": {"integer_value": rng.poisson(2, 200)}, "time": {"boolean_value": [True] * 200}}[kind]
    if kind == "time":
        columns["duration_hours"] = rng.exponential(20, 200)
    labels = read_labels(write(tmp_path, **columns), kind)
    spec, targets = learned(labels)
    answers = TaskHead(1, spec, CONFIG).answers
    x = np.zeros((200, 1), dtype=np.float32)
    x[0] = 1e-3
    subject = np.arange(200)
    probe = fit_probe(x, targets.truth, targets.weight, subject, answers, seed=3)
    fold = draw(subject, 11, 3) % np.uint64(5)
    total = 0.0
    for i in range(5):
        here, there = fold != i, fold == i
        truth, weight = (torch.from_numpy(one).double() for one in (targets.truth, targets.weight))
        rate = (truth[here] * weight[here]).sum(0) / weight[here].sum(0)
        output = rate.log() if kind == "counts" else rate.logit()
        total += float(answers.losses(output.expand(int(there.sum()), -1), truth[there], weight[there]).sum())
    assert probe.by_rates == pytest.approx(total / 200, rel=1e-5) and probe.by_rates > targets.cost.mean() + 1e-3


def test_updates_of_low_rank_are_merged_into_what_they_update():
    """Merged weights compute as the model with updates, under the names of one without."""
    torch.manual_seed(0)
    plain = torch.nn.Sequential(torch.nn.Linear(6, 5), torch.nn.GELU(), torch.nn.Linear(5, 4, bias=False))
    names, x = set(dict(plain.named_parameters())), torch.randn(3, 6)
    before = plain(x)
    add_low_rank(plain, 2)
    assert torch.equal(plain(x), before)
    learning = {name for name, p in plain.named_parameters() if p.requires_grad and "bias" not in name}
    assert learning == {f"{i}.parametrizations.weight.0.{x}" for i in (0, 2) for x in "ab"}
    for name, p in plain.named_parameters():
        if name.endswith(".b"):
            torch.nn.init.normal_(p)
    after = plain(x)
    weights = merged(dict(plain.named_parameters()))
    assert set(weights) == names == {plain_name(n) for n, _ in plain.named_parameters() if not n.endswith((".a", ".b"))}
    again = torch.nn.Sequential(torch.nn.Linear(6, 5), torch.nn.GELU(), torch.nn.Linear(5, 4, bias=False))
    again.load_state_dict(weights)
    torch.testing.assert_close(again(x), after)
    assert not torch.allclose(after, before)


def test_classes_on_a_scale_stand_in_its_order(tmp_path):
    """Ranges stand from the lowest to the highest, numbers as numbers, and other names as texts."""
    names = ["4.5 to 5", "<3.5", ">=5", "3.5 to 4.5"]
    assert read_labels(write(tmp_path, categorical_value=names)).classes == ("<3.5", "3.5 to 4.5", "4.5 to 5", ">=5")
    assert in_order(["10", "9", "-1"]) == ["-1", "9", "10"]
    assert in_order(["b", "a", "10", "9"]) == ["10", "9", "a", "b"]


def test_a_task_that_was_changed_is_none_that_was_never_learned(tmp_path):
    """What a run was asked is read as it was written, or named; a run without a task has none."""
    assert learned_kind(tmp_path) is None
    spec = TaskSpec(name="x", kind="counts", outputs=("n",), prior=(1.0,), labels_sha256="0")
    write_sealed(tmp_path / TASK, spec.model_dump(mode="json"))
    assert learned_kind(tmp_path) == "counts"
    (tmp_path / TASK).write_text((tmp_path / TASK).read_text().replace("counts", "cnunts"))
    with pytest.raises(CheckpointError, match=r"task\.json: is not as it was written"):
        learned_kind(tmp_path)
