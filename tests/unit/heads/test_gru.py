"""The recurrent baseline: how records become steps, and that it sees what only their order tells."""

from __future__ import annotations

import numpy as np
import pytest

from tawt.config.label import LabelConfig
from tawt.contracts.dataset import US_PER_HOUR
from tawt.heads.grid import make_series
from tawt.heads.gru import fit_gru
from tawt.heads.kinds import answers
from tawt.heads.targets import Targets
from tawt.heads.task import TaskSpec


def test_numbers_fall_into_steps_that_end_at_the_prediction_time():
    """A step has the mean of its numbers, older ones fall into the first, and what passed since is counted on."""
    hours = np.array([0.5, 0.2, 2.5, 99.0, 0.0])
    row, variable = np.array([0, 0, 0, 0, 1]), np.array([0, 0, 1, 1, 1])
    value = np.array([1.0, 3.0, 5.0, 7.0, 9.0])
    ago = (hours * US_PER_HOUR).astype(np.int64)
    made = make_series(2, row, variable, ago, value, 2, np.array([[1.0], [np.nan]]), n_steps=4)
    assert made.value[0].tolist() == [[0, 7], [0, 5], [0, 0], [2, 0]] and made.value[1, :, 1].tolist() == [0, 0, 0, 9]
    assert made.seen[0].tolist() == [[0, 1], [0, 1], [0, 0], [1, 0]]
    assert (made.since[0] * 4).tolist() == [[0, 0], [1, 1], [2, 1], [3, 2]]  # as of GRU-D: 0 at first, then 1 + ...
    assert made.static.tolist() == [[1, 1], [0, 0]]


def test_what_only_order_tells_is_learned():
    """Whether a number rose or fell is seen, though each record has the same two numbers; twice gives the same."""
    rng = np.random.default_rng(3)
    n = 300
    rose = rng.random(n) < 0.5
    row, ago = np.repeat(np.arange(n), 2), np.tile([6, 2], n) * US_PER_HOUR
    value = np.where(np.repeat(rose, 2), np.tile([-1.0, 1.0], n), np.tile([1.0, -1.0], n))
    series = make_series(n, row, np.zeros(2 * n, dtype=np.int64), ago, value, 1, np.empty((n, 0)), n_steps=8)
    truth = rose.astype(np.float32)[:, None]
    spec = TaskSpec(name="t", kind="binary", outputs=("label",), prior=(0.5,), labels_sha256="0")
    how = answers(spec, LabelConfig())
    fit, stop, test = np.arange(200), np.arange(200, 240), np.arange(240, n)
    of = Targets.of(truth, np.ones_like(truth), how).rows
    said = [
        fit_gru(series.rows(fit), of(fit), (series.rows(stop), of(stop)), [series.rows(test)], how, seed=1)
        for _ in range(2)
    ]
    assert ((said[0] > 0.5) == (truth[test] > 0.5)).mean() > 0.95
    assert said[0] == pytest.approx(said[1], abs=0)
