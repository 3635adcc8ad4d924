"""Baselines of several things at once, and hazards as survival."""

from __future__ import annotations

import numpy as np
import pytest

from tawt.dataset.reader import open_dataset
from tawt.evaluation.baselines import _TREES, features_for, regression
from tawt.evaluation.rows import Rows
from tawt.evaluation.several import Several, _to_survival, several


def test_hazards_become_chances_of_no_event_so_far():
    """Of 100 with hazards of a tenth and a half, 90 and then 45 are without the event."""
    assert _to_survival(np.array([[0.1, 0.5], [0.0, 1.0]])) == pytest.approx(np.array([[0.9, 0.45], [1.0, 0.0]]))


def test_each_thing_is_learned_from_the_rows_where_it_is_known(tmp_path, write_dataset):
    """Its rate is that of its known training rows; of one with too few answers the rate is told, and that is said."""
    write_dataset(tmp_path, {"train": [30], "tuning": [5], "held_out": [8]}, seed=2)
    dataset = open_dataset(tmp_path)
    names = [name for name in dataset.split_names for _ in range(dataset.split(name).n_subjects)]
    subjects = np.concatenate([dataset.split(name).subject_ids for name in dataset.split_names])
    fit, stop, test = (np.array([n == name for n in names]) for name in ("train", "tuning", "held_out"))
    rows = Rows(subjects, np.full(len(subjects), 2**60), np.zeros(len(subjects)), fit, stop, test)
    truth = np.stack([np.arange(len(subjects)) % 3 == 0, np.arange(len(subjects)) % 2 == 0, fit], 1).astype(float)
    known = np.ones_like(truth, dtype=bool)
    known[::4, 0] = False
    told: list[str] = []
    said = several("prevalence", dataset, rows, Several(truth, known), tell=told.append)
    assert said.shape == (8, 3)
    expected = [truth[fit & known[:, 0], 0].mean(), truth[fit, 1].mean(), 1.0]
    assert said == pytest.approx(np.tile(expected, (8, 1)))
    assert told == ["prevalence: 1 of 3 things have too few answers to learn from, and are told by rates"]
    learned = several("demographics", dataset, rows, Several(truth, known))
    assert learned[:, 2] == pytest.approx(1.0) and ((learned >= 0) & (learned <= 1)).all()


def test_a_penalty_is_chosen_once_where_most_is_known(tmp_path, write_dataset, monkeypatch):
    """Of three things it is that of the one with the most of its rarer answer, and each is fitted with it."""
    write_dataset(tmp_path, {"train": [60], "held_out": [10]}, seed=3)
    dataset = open_dataset(tmp_path)
    subjects = np.concatenate([dataset.split(name).subject_ids for name in dataset.split_names])
    fit = np.isin(subjects, dataset.split("train").subject_ids)
    times, none = np.full(len(subjects), 2**60), np.zeros(len(subjects))
    rows = Rows(subjects, times, none, fit, none, ~fit)
    number = np.arange(len(subjects))
    truth = np.stack([number % 7 == 0, number % 2 == 0, number % 5 == 0], 1).astype(float)
    chosen = []

    def once(x, part, seed):
        chosen.append(part.truth[part.fit].mean())
        return 0.01

    monkeypatch.setattr("tawt.evaluation.several.strength_of", once)
    said = several("demographics", dataset, rows, Several(truth, np.ones_like(truth, dtype=bool)))
    assert chosen == [truth[fit, 1].mean()]
    told = features_for("demographics", dataset, rows, fit)
    x = features_for("demographics", dataset, rows, names=told.names).matrix
    for i in range(3):
        own = Rows(subjects, times, truth[:, i], fit, none, ~fit)
        assert np.array_equal(said[:, i], regression(x, own, "binary", 0, 0.01)(x[~fit]))


def test_boosted_trees_of_intervals_are_one_model_that_is_told_the_interval(tmp_path, write_dataset):
    """It is LightGBM of a row for each interval in which somebody was watched, and what tells the hazard is found."""
    lightgbm = pytest.importorskip("lightgbm")
    write_dataset(tmp_path, {"train": [300], "tuning": [60], "held_out": [60]}, seed=4)
    dataset = open_dataset(tmp_path)
    subjects = np.concatenate([dataset.split(name).subject_ids for name in dataset.split_names])
    fit, stop, test = (np.isin(subjects, dataset.split(name).subject_ids) for name in ("train", "tuning", "held_out"))
    rows = Rows(subjects, np.full(len(subjects), 2**60), np.zeros(len(subjects)), fit, stop, test)
    x = features_for("summaries", dataset, rows).matrix
    rng = np.random.default_rng(5)
    risk = np.nan_to_num(x[:, np.nanargmax(np.nanstd(x, 0))])
    hazard = np.where(risk > np.median(risk), 0.4, 0.05)[:, None] * [1.0, 0.2, 1.0]
    came = rng.random(hazard.shape) < hazard
    known = np.cumsum(came, 1) - came == 0
    said = several("LightGBM", dataset, rows, Several((came & known).astype(float), known, in_time=True))
    side_by_side, truth = [], []
    for part in (fit, stop):
        who, interval = np.nonzero(known & part[:, None])
        side_by_side.append(np.column_stack([x[who], interval]))
        truth.append((came & known)[who, interval].astype(float))
    data = lightgbm.Dataset(side_by_side[0], truth[0])
    settings = {
        **_TREES, "objective": "binary", "metric": "binary_logloss", "seed": 0, "feature_pre_filter": False,
    }  # fmt: skip
    other = lightgbm.train(
        settings, data, 2000, valid_sets=[data.create_valid(side_by_side[1], truth[1])],
        callbacks=[lightgbm.early_stopping(150, verbose=False)],
    )  # fmt: skip
    free = np.ones(test.sum())
    for i in range(3):
        free = free * (1 - other.predict(np.column_stack([x[test], np.full(test.sum(), i)])))
        assert said[:, i] == pytest.approx(free, abs=1e-9)
    came = 1 - said[:, 0]
    assert came[risk[test] > np.median(risk)].mean() > 2 * came[risk[test] <= np.median(risk)].mean()
