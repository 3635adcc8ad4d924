"""Baselines of several things at once, and hazards as survival."""

from __future__ import annotations

import numpy as np
import pytest

from tawt.dataset.reader import open_dataset
from tawt.evaluation.rows import Rows
from tawt.evaluation.several import Several, several, to_survival


def test_hazards_become_chances_of_no_event_so_far():
    """Of 100 with hazards of a tenth and a half, 90 and then 45 are without the event."""
    assert to_survival(np.array([[0.1, 0.5], [0.0, 1.0]])) == pytest.approx(np.array([[0.9, 0.45], [1.0, 0.0]]))


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
