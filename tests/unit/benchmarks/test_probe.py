"""The probe on real records: who is labelled in which draw, summary features, and what is fitted on them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tawt.contracts.value_status import HAS_NUMBER, ValueStatus
from tawt.dataset.reader import open_dataset

pytestmark = pytest.mark.usefixtures("probe")


def _stays(dataset: object, subject_id: np.ndarray, set_name: np.ndarray):
    from records import Stays

    rng = np.random.default_rng(0)
    return Stays(dataset, subject_id, rng.random(len(subject_id)) < 0.2, set_name, rng.permutation(len(subject_id)))  # type: ignore[arg-type]


@pytest.mark.parametrize("with_a", [False, True])
def test_draws_never_test_on_a_given_label(with_a: bool) -> None:
    """Each draw gives a tenth of the labels of b and c, and is tested on set-a alone, or without it on all others."""
    name = np.array(["a" if with_a and i % 3 == 0 else "bc"[i % 2] for i in range(1200)])
    stays = _stays(None, np.arange(1200), name)
    n_pool = int((name != "a").sum())
    assert len(stays.draws) == 10
    seen = np.zeros(1200, dtype=int)
    for draw in stays.draws:
        given = np.concatenate((draw.fit, draw.stop))
        assert len(set(given.tolist())) == len(given)
        assert len(draw.fit) == int(0.1 * int(0.8 * n_pool))
        assert (name[given] != "a").all()
        assert not set(given.tolist()) & set(draw.test.tolist())
        assert set(draw.test.tolist()) == (
            set(np.flatnonzero(name == "a").tolist()) if with_a else set(range(1200)) - set(given.tolist())
        )
        seen[draw.fit] += 1
    assert seen.max() == 1, "windows overlap"


def test_draws_follow_the_outcome_files() -> None:
    """Which stays are drawn depends on their place in the outcome files, not on their numbers."""
    from records import Stays

    listed = np.random.default_rng(1).permutation(500)
    one = Stays(None, np.arange(500), np.zeros(500, bool), np.full(500, "b"), listed)  # type: ignore[arg-type]
    order = np.argsort(listed)
    two = Stays(None, np.arange(500), np.zeros(500, bool), np.full(500, "b"), np.arange(500))  # type: ignore[arg-type]
    assert np.array_equal(one.draws[3].fit, order[two.draws[3].fit])


def test_summaries_are_those_of_a_plain_loop(tmp_path: Path, write_dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every summary feature equals the one that a loop over stays and variables finds."""
    import records

    write_dataset(tmp_path, {"train": [20, 15], "held_out": [8]}, median_length=60)
    dataset = open_dataset(tmp_path)
    splits = [dataset.split(name) for name in ("train", "held_out")]
    # invented records last longer than two days: the edges are put where half of the triplets lie
    edge = float(np.median(np.concatenate([columns.timestamp for split in splits for columns in split.shards]))) / 3.6e9
    monkeypatch.setattr(records, "EDGE_HOURS", edge)
    monkeypatch.setattr(records, "LENGTH_HOURS", 2 * edge)
    everyone = np.sort(np.concatenate([split.subject_ids for split in splits]))
    chosen = everyone[np.arange(len(everyone)) % 5 != 0]
    found = records.summaries(_stays(dataset, chosen, np.full(len(chosen), "b")))
    assert len(found) == len(chosen)
    n_compared = 0
    for split in splits:
        for i, subject in enumerate(split.subject_ids):
            if subject not in chosen:
                continue
            row = found[np.searchsorted(chosen, subject)]
            expected = _loop(dataset.vocabulary, split.columns(i), int(split.n_static[i]), edge)
            assert np.allclose(row, expected, atol=1e-6, equal_nan=True)
            n_compared += int(np.isfinite(expected).sum())
    assert n_compared > 1000


def _loop(vocabulary, columns, n_static: int, edge: float) -> list[float]:
    out: list[float] = []
    for index, kind in enumerate(vocabulary.value_kind):
        of = np.flatnonzero(columns.data_type == index)
        if kind == "categorical":
            token = [
                columns.value_token[i] - vocabulary.n_bins[index]
                for i in of
                if columns.value_status[i] == ValueStatus.CATEGORY
            ]
            out += [float(category + 1 in token) for category in range(1, int(vocabulary.n_categories[index]))]
        elif kind == "numeric":
            of = [i for i in of if columns.value_status[i] in HAS_NUMBER and i >= n_static]
            if not of:
                out += [np.nan] * 6 + [0.0] + [np.nan] * 5
                continue
            v, t = columns.value[of].astype(float), columns.timestamp[of] / 3.6e9
            early, late = v[t < edge], v[t >= edge]
            out += [
                v.mean(), v.min(), v.max(), v.std(), v[0], v[-1], len(v), t[-1], t[0],
                (v[-1] - v[0]) / (t[-1] - t[0]) if t[-1] > t[0] else 0.0,
                early.mean() if len(early) else np.nan, late.mean() if len(late) else np.nan,
            ]  # fmt: skip
    return out


def test_missing_features_become_the_labelled_mean_and_a_flag() -> None:
    """A missing feature reads as the mean of the labelled stays and is flagged; unlabelled stays change nothing."""
    pytest.importorskip("sklearn")
    pytest.importorskip("lightgbm")
    from probes import flagged

    x = np.random.default_rng(0).normal(size=(50, 4))
    x[::3, 1] = np.nan
    fit = np.arange(20)
    made = flagged(x, fit)
    assert made.shape == (50, 5)
    assert (made[::3, 1] == 0).all()
    assert np.allclose(made[fit, :4].mean(0), 0)
    assert (made[::3, 4] - made[1, 4] == 1).all()
    other = x.copy()
    other[30:] *= 100
    assert np.array_equal(flagged(other, fit)[:30], made[:30])


def test_probes_rank_stays_that_differ() -> None:
    """Both methods find a signal in two of thirty numbers; with labels of no meaning they find none."""
    pytest.importorskip("sklearn")
    pytest.importorskip("lightgbm")
    from probes import boosted_trees, centred, logistic_regression, measure
    from records import Draw

    rng = np.random.default_rng(0)
    x = rng.normal(size=(2000, 30)) + 5
    died = rng.random(2000) < 1 / (1 + np.exp(-2 * (x[:, 0] - x[:, 1]) + 1))
    draw = Draw(np.arange(600), np.arange(600, 800), np.arange(800, 2000))
    for fit in (logistic_regression, boosted_trees):
        assert measure(fit(centred(x), died, draw)[0], died, draw)[0] > 0.85
        shuffled = rng.permutation(died)
        assert abs(measure(fit(centred(x), shuffled, draw)[0], shuffled, draw)[0] - 0.5) < 0.06


def test_every_pretraining_config_holds() -> None:
    """All variants build; random weights take one step that changes nothing, and no attention has no layer."""
    from variants import RANDOM, VARIANTS, config_of

    made = {name: config_of(name, 2, 640, 0, {}) for name in VARIANTS}
    assert made[RANDOM].train.max_steps == 1
    assert made[RANDOM].train.lr < 1e-9
    assert made["no attention layers"].model.n_layers == 0
    on = {
        name: [n for n in ("masked", "forecast", "contrastive") if getattr(c.objective, n).weight]
        for name, c in made.items()
    }
    assert on["masked alone"] == ["masked"]
    assert on["forecast alone"] == ["forecast"]
    assert on["contrastive alone"] == ["contrastive"]
    assert on["masked + forecast"] == ["masked", "forecast"]
