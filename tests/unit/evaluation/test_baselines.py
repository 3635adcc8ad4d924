"""Baselines learn from the rows that they are given alone, and from nothing after a prediction time."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from tawt.dataset.reader import TripletDataset, open_dataset
from tawt.errors import ConfigError, ContractError
from tawt.evaluation.baselines import (
    BASELINES,
    OF_NUMBERS,
    Fit,
    Task,
    baseline,
    measured_shuffled,
    regression,
    trees,
    with_shuffled_labels,
)
from tawt.evaluation.features import features_at, features_of
from tawt.evaluation.known import known_at
from tawt.evaluation.metrics import AUROC, Binary
from tawt.evaluation.regression import Numbers
from tawt.evaluation.rows import Rows, thinned
from tawt.evaluations.simpler import Beside, chosen

RNG = np.random.default_rng(1)
N = 400
X = RNG.normal(size=(N, 3))
X[RNG.random((N, 3)) < 0.2] = np.nan
SIGNAL = np.nan_to_num(X[:, 0]) + 0.5 * RNG.normal(size=N)
FIT, STOP, TEST = np.arange(N) < 240, (np.arange(N) >= 240) & (np.arange(N) < 280), np.arange(N) >= 280


@pytest.fixture(autouse=True)
def _few_penalties(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three are chosen from, by halves, for the time it takes."""
    monkeypatch.setattr("tawt.evaluation.baselines._N_FOLDS", 2)
    monkeypatch.setattr("tawt.evaluation.baselines._STRENGTHS", np.array([1e-3, 1e-1, 10.0]))


def rows_of(truth: np.ndarray) -> Rows:
    """The rows, one a subject."""
    return Rows(np.arange(N), np.zeros(N), truth, FIT, STOP, TEST)


def said(fit: Fit, x: np.ndarray, rows: Rows, task: Task = "binary") -> np.ndarray:
    """What a model says of the test rows."""
    return fit(x, rows, task, 0)(x[rows.test])


@pytest.mark.parametrize("fit", [regression, trees])
def test_what_can_be_learned_is(fit) -> None:
    """Yes or no, classes and numbers that a feature tells are predicted far better than by chance, missing or not."""
    binary = said(fit, X, rows_of((SIGNAL > 0).astype(float)))
    assert binary.shape == (120,) and AUROC(Binary(SIGNAL[TEST] > 0, binary)).value > 0.8  # type: ignore[operator]
    number = np.digitize(SIGNAL, [-0.7, 0.7])
    several = said(fit, X, rows_of(number), "classes")
    assert several.sum(1) == pytest.approx(np.ones(120)) and (several.argmax(1) == number[TEST]).mean() > 0.55
    numbers = said(fit, X, rows_of(SIGNAL), "numbers")
    assert np.corrcoef(numbers, SIGNAL[TEST])[0, 1] > 0.7


@pytest.mark.parametrize("fit", [regression, trees])
def test_labels_of_the_test_rows_are_never_seen(fit) -> None:
    """With every test label turned round, predictions are the same to the bit, and each run gives the same."""
    truth = (SIGNAL > 0).astype(float)
    turned = np.where(TEST, 1 - truth, truth)
    one, two, again = (said(fit, X, rows_of(y)) for y in (truth, turned, truth))
    assert np.array_equal(one, two) and np.array_equal(one, again)


def test_features_are_scaled_by_what_is_learned_from() -> None:
    """Test rows of another scale change neither means nor predictions of the other test rows."""
    wild = X.copy()
    wild[-1] = 1e6
    one, two = (said(regression, x, rows_of((SIGNAL > 0).astype(float))) for x in (X, wild))
    assert np.array_equal(one[:-1], two[:-1])


def test_a_penalty_is_not_chosen_on_rows_of_the_same_subject() -> None:
    """Where every row of a subject has its label and its features tell no more, folds keep the subject together."""
    subject = np.repeat(np.arange(100), 4)
    own = RNG.normal(size=(100, 30))[subject]
    y = (RNG.random(100) < 0.5).astype(float)[subject]
    fit = subject < 60
    rows = Rows(subject, np.arange(400), y, fit, np.zeros(400), ~fit)
    found = said(regression, own, rows)
    # of noise nothing is learned: the penalty is large and chances stay near the share
    assert found.std() < 0.1


def test_shuffled_labels_are_dealt_out_within_their_part() -> None:
    """Each part keeps its labels, in another order that the seed decides."""
    truth = np.arange(N, dtype=float)
    mixed = with_shuffled_labels(rows_of(truth), 3)
    for part in (FIT, STOP, TEST):
        assert sorted(mixed.truth[part]) == truth[part].tolist() and (mixed.truth[part] != truth[part]).mean() > 0.9
    assert (with_shuffled_labels(rows_of(truth), 4).truth != mixed.truth).any()


def test_shuffled_labels_are_at_chance_and_a_leak_of_them_is_not() -> None:
    """A model of features finds nothing in them, one that was given the label does."""
    mixed = with_shuffled_labels(rows_of((SIGNAL > 0).astype(float)), 0)
    subject = mixed.subject_id[TEST]

    def found(x, mixed, task="binary", kind=Binary):
        return measured_shuffled(kind(mixed.truth[TEST], said(regression, x, mixed, task)), subject, n_draws=200)

    honest = found(X, mixed)
    assert honest.is_at_chance and honest.chance == 0.5
    leak = np.column_stack((X, mixed.truth + RNG.normal(size=N)))
    assert found(leak, mixed).is_at_chance is False
    numbers = with_shuffled_labels(rows_of(SIGNAL), 0)
    assert found(X, numbers, "numbers", Numbers).is_at_chance


def test_a_subject_is_in_one_part() -> None:
    """A subject to learn from and to be tested on is refused with counts, as are columns of several lengths."""
    with pytest.raises(ContractError, match="<11 subjects who are learned from"):
        Rows([1, 1], [0, 1], [0, 1], [1, 0], [0, 0], [0, 1])
    with pytest.raises(ContractError, match="several lengths"):
        Rows([1, 2], [0], [0, 1], [1, 0], [0, 0], [0, 1])
    with pytest.raises(ContractError, match="none to learn from"):
        Rows([1], [0], [0], [0], [0], [1])


@pytest.fixture
def dataset(tmp_path: Path, write_dataset) -> TripletDataset:
    """Records of 120 subjects."""
    write_dataset(tmp_path, {"train": [70], "tuning": [20], "held_out": [30]}, seed=2)
    return open_dataset(tmp_path)


def test_every_baseline_predicts_the_same_rows(dataset: TripletDataset) -> None:
    """Each gives a chance for each test row; prevalence is the share of what is learned from."""
    parts = [
        np.repeat(n == name, dataset.split(n).n_subjects)
        for name in ("train", "tuning", "held_out")
        for n in dataset.split_names
    ]
    fit, stop, test = (np.concatenate(parts[i : i + 3]) for i in (0, 3, 6))
    subjects = np.concatenate([dataset.split(name).subject_ids for name in dataset.split_names])
    times = np.full(len(subjects), 2**60)
    measured = features_of(known_at(dataset, subjects, times), dataset, "missingness")
    y = measured.matrix[:, measured.matrix.mean(0).argsort()[len(measured.names) // 2]]
    rows = Rows(subjects, times, y, fit, stop, test)
    found = {name: baseline(name, dataset, rows) for name in BASELINES}
    assert {p.shape for p in found.values()} == {(30,)}
    assert all(((p >= 0) & (p <= 1)).all() for p in found.values())
    assert found["prevalence"] == pytest.approx(np.full(30, y[fit].mean()))
    assert 0 < y[fit].mean() < 1 and found["logistic regression"].std() > found["prevalence"].std()
    with pytest.raises(ConfigError, match="is none"):
        baseline("lightgbm", dataset, rows)
    with pytest.raises(ContractError, match="beside 0 and 1"):
        baseline("prevalence", dataset, Rows(subjects, times, y + 1, fit, stop, test))


def asked_of(dataset: TripletDataset, truth: np.ndarray | None = None) -> Rows:
    """The end of each record: train to learn from, tuning to stop by, held_out to answer."""
    subjects = np.concatenate([dataset.split(name).subject_ids for name in dataset.split_names])
    parts = [np.isin(subjects, dataset.split(name).subject_ids) for name in ("train", "tuning", "held_out")]
    truth = RNG.random(len(subjects)) < 0.5 if truth is None else truth
    return Rows(subjects, np.full(len(subjects), 2**60), truth, *parts)


@pytest.mark.parametrize("name", ["demographics", "logistic regression", "LightGBM", "LightGBM, four statistics"])
def test_features_of_who_is_asked_about_are_held_for_some_rows_at_a_time(
    name: str, tmp_path: Path, write_dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many are answered at once, a model says the same of each, and of no more are features held; nor of those
    of tuning where nothing stops by them."""
    write_dataset(tmp_path, {"train": [200], "tuning": [20], "held_out": [30]}, seed=2)
    dataset, held = open_dataset(tmp_path), []
    many = np.concatenate([dataset.split(one).lengths > 40 for one in dataset.split_names])
    rows = asked_of(dataset, many)
    whole = baseline(name, dataset, rows)

    def seen(*args, **more):
        held.append(features_at(*args, **more).matrix)
        return features_at(*args, **more)

    monkeypatch.setattr("tawt.evaluation.baselines.features_at", seen)
    monkeypatch.setattr("tawt.evaluation.baselines.ROWS_AT_ONCE", 7)
    assert baseline(name, dataset, rows) == pytest.approx(whole, rel=1e-12) and whole.std() > 0
    n_learned = 220 if name.startswith("LightGBM") else 200
    assert [len(x) for x in held] == [n_learned, 7, 7, 7, 7, 2] and {x.dtype for x in held} == {np.dtype(np.float32)}


def test_the_same_features_are_given_to_a_linear_model_and_to_trees(dataset: TripletDataset) -> None:
    """Summaries and four statistics have one model of each, which are called by what they are: of numbers, ridge."""
    for by, constant, linear in ((BASELINES, "prevalence", "logistic"), (OF_NUMBERS, "mean", "ridge")):
        of = {recipe: {n for n, (own, _) in by.items() if own == recipe} for recipe in ("summaries", "four", None)}
        assert of["summaries"] == {f"{linear} regression", "LightGBM"} and of[None] == {constant}
        assert of["four"] == {f"{name}, four statistics" for name in of["summaries"]}
    linear_model = pytest.importorskip("sklearn.linear_model")
    rows = asked_of(dataset)
    told = features_at(dataset, rows.subject_id, rows.prediction_time, "four").matrix.astype(np.float64)
    truth = np.nan_to_num(told[:, np.nanargmax((~np.isnan(told)).sum(0))]) + 0.1 * RNG.normal(size=len(told))
    rows = asked_of(dataset, truth)
    found = baseline("ridge regression, four statistics", dataset, rows, "numbers", by=OF_NUMBERS)
    mean, spread = np.nanmean(told[rows.fit], 0), np.nanstd(told[rows.fit], 0)
    spread[~(spread >= 1e-6)] = np.inf
    x = np.concatenate([np.nan_to_num((told - np.nan_to_num(mean)) / spread), np.isnan(told)], 1)
    ridge = linear_model.RidgeCV(alphas=[0.1, 10.0, 1000.0]).fit(x[rows.fit], truth[rows.fit])
    assert found == pytest.approx(ridge.predict(x[rows.test]), abs=1e-5) and found.std() > 0.05


@pytest.mark.parametrize(("fit", "package"), [(regression, "sklearn.linear_model"), (trees, "lightgbm")])
def test_a_package_that_is_not_there_is_named_with_its_extra(
    fit, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without scikit-learn or LightGBM the error says what to install."""
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ConfigError, match="cannot be imported") as raised:
        fit(X, rows_of((SIGNAL > 0).astype(float)), "binary", 0)
    assert "tawt[benchmarks]" in raised.value.hint


def test_what_lacks_one_package_is_told_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """All that a package keeps from being measured are named together, with what to type; the others are measured."""
    notes: list[str] = []
    beside = Beside(None, None, (), None, None, 0, notes.append)  # type: ignore[arg-type]

    def said(self: Beside, name: str) -> list[float]:
        package = {"a": "x", "b": "x", "c": "y"}.get(name)
        if package is None:
            return [0.5]
        raise ConfigError("baselines", f"{package} cannot be imported, expected it", f"pip install {package}")

    monkeypatch.setattr(Beside, "_said", said)
    monkeypatch.setattr(Beside, "_chosen", lambda self, wanted: ["a", "prevalence", "b", "c"])
    assert [*beside.models(None, lambda name: None)] == [("prevalence", [0.5])]
    assert notes == [
        "`a`, `b` are left out: x cannot be imported: pip install x",
        "`c` is left out: y cannot be imported: pip install y",
    ]


def test_of_more_rows_as_many_are_drawn() -> None:
    """Few are kept as they are; of many as many as are wanted, all over them, and others with another seed."""
    kept = np.arange(1000) % 2 == 0
    assert thinned(np.arange(1000), kept, 500, 0).tolist() == kept.tolist()
    drawn = thinned(np.arange(1000), kept, 100, 0)
    assert drawn.sum() == 100 and not (drawn & ~kept).any() and 30 < drawn[:500].sum() < 70
    assert thinned(np.arange(1000), kept, 100, 1).tolist() != drawn.tolist()


def test_a_name_that_is_none_is_told_what_there_is() -> None:
    """A name with a comma stands in marks; what is called otherwise of another kind is named; the list stands once."""
    with pytest.raises(ConfigError, match="`LightGBM, four statistics`, ") as told:
        chosen(["nothing like it"], {}, "binary")
    assert told.value.hint == "" and "or `none` alone" in told.value.what
    for name, kind, other in (("prevalence", "numbers", "mean"), ("ridge regression", "binary", "logistic regression")):
        with pytest.raises(ConfigError, match=f"is none of a task of kind {kind}") as told:
            chosen([name], {}, kind)
        assert told.value.hint == f"there it is `{other}`"
    with pytest.raises(ConfigError) as told:
        chosen(["lightgbm"], {}, "time")
    assert told.value.hint == "did you mean `LightGBM`?"


def test_none_stands_alone() -> None:
    """No baseline beside another one contradicts itself, and is not said to be no name."""
    for names in (["none", "LightGBM"], ["LightGBM", "none"]):
        with pytest.raises(ConfigError, match="--baseline none: stands beside another baseline, expected it alone"):
            chosen(names, {}, "binary")
