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
    baseline,
    measured_shuffled,
    regression,
    trees,
    with_shuffled_labels,
)
from tawt.evaluation.features import features_of
from tawt.evaluation.known import known_at
from tawt.evaluation.metrics import AUROC, Binary
from tawt.evaluation.regression import Numbers
from tawt.evaluation.rows import Rows, thinned

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


@pytest.mark.parametrize("fit", [regression, trees])
def test_what_can_be_learned_is(fit) -> None:
    """Yes or no, classes and numbers that a feature tells are predicted far better than by chance, missing or not."""
    binary = fit(X, rows_of((SIGNAL > 0).astype(float)), "binary", 0)
    assert binary.shape == (120,) and AUROC(Binary(SIGNAL[TEST] > 0, binary)).value > 0.8  # type: ignore[operator]
    number = np.digitize(SIGNAL, [-0.7, 0.7])
    several = fit(X, rows_of(number), "classes", 0)
    assert several.sum(1) == pytest.approx(np.ones(120)) and (several.argmax(1) == number[TEST]).mean() > 0.55
    numbers = fit(X, rows_of(SIGNAL), "numbers", 0)
    assert np.corrcoef(numbers, SIGNAL[TEST])[0, 1] > 0.7


@pytest.mark.parametrize("task", ["binary", "numbers"])
def test_rows_are_answered_some_at_a_time(task, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many are answered at once, a linear model says the same of each."""
    rows = rows_of(SIGNAL if task == "numbers" else (SIGNAL > 0).astype(float))
    whole = regression(X, rows, task, 0)
    monkeypatch.setattr("tawt.evaluation.baselines.ROWS_AT_ONCE", 7)
    assert regression(X, rows, task, 0) == pytest.approx(whole, rel=1e-12) and len(whole) == TEST.sum()


@pytest.mark.parametrize("fit", [regression, trees])
def test_labels_of_the_test_rows_are_never_seen(fit) -> None:
    """With every test label turned round, predictions are the same to the bit, and each run gives the same."""
    truth = (SIGNAL > 0).astype(float)
    turned = np.where(TEST, 1 - truth, truth)
    one, two, again = (fit(X, rows_of(y), "binary", 0) for y in (truth, turned, truth))
    assert np.array_equal(one, two) and np.array_equal(one, again)


def test_features_are_scaled_by_what_is_learned_from() -> None:
    """Test rows of another scale change neither means nor predictions of the other test rows."""
    wild = X.copy()
    wild[-1] = 1e6
    one, two = (regression(x, rows_of((SIGNAL > 0).astype(float)), "binary", 0) for x in (X, wild))
    assert np.array_equal(one[:-1], two[:-1])


def test_a_penalty_is_not_chosen_on_rows_of_the_same_subject() -> None:
    """Where every row of a subject has its label and its features tell no more, folds keep the subject together."""
    subject = np.repeat(np.arange(100), 4)
    own = RNG.normal(size=(100, 30))[subject]
    y = (RNG.random(100) < 0.5).astype(float)[subject]
    fit = subject < 60
    rows = Rows(subject, np.arange(400), y, fit, np.zeros(400), ~fit)
    found = regression(own, rows, "binary", 0)
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
        return measured_shuffled(kind(mixed.truth[TEST], regression(x, mixed, task, 0)), subject, n_draws=200)

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


@pytest.mark.parametrize(("fit", "package"), [(regression, "sklearn.linear_model"), (trees, "lightgbm")])
def test_a_package_that_is_not_there_is_named_with_its_extra(
    fit, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without scikit-learn or LightGBM the error says what to install."""
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ConfigError, match="cannot be imported") as raised:
        fit(X, rows_of((SIGNAL > 0).astype(float)), "binary", 0)
    assert "tawt[benchmarks]" in raised.value.hint


def test_of_more_rows_as_many_are_drawn() -> None:
    """Few are kept as they are; of many as many as are wanted, all over them, and others with another seed."""
    kept = np.arange(1000) % 2 == 0
    assert thinned(np.arange(1000), kept, 500, 0).tolist() == kept.tolist()
    drawn = thinned(np.arange(1000), kept, 100, 0)
    assert drawn.sum() == 100 and not (drawn & ~kept).any() and 30 < drawn[:500].sum() < 70
    assert thinned(np.arange(1000), kept, 100, 1).tolist() != drawn.tolist()
