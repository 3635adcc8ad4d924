"""The benchmark on PhysioNet-2012: who is labelled in which draw, what is written for tawt, and how rows are joined."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

pytestmark = pytest.mark.usefixtures("physionet2012")


def _stays(n: int = 1200, sets: str = "bc"):
    from stays import Stays

    rng = np.random.default_rng(0)
    order = np.argsort(np.arange(n) % len(sets), kind="stable")
    names = np.array([*sets])[np.arange(n) % len(sets)][order]
    return Stays(rng.permutation(n) + 100, rng.random(n) < 0.2, names)


def test_set_a_is_the_test_and_draws_are_windows_of_the_others() -> None:
    """With set-a: the published split, ten windows of 10 and 50 %, one of all; no draw has a label of set-a."""
    from stays import published

    stays = _stays(sets="bca")
    (fold,) = published(stays, [10, 50, 100])
    pool = stays.subject_id[stays.set_name != "a"].copy()
    np.random.RandomState(123).shuffle(pool)
    n_fit = int(0.8 * len(pool))
    assert fold.train.tolist() == pool[:n_fit].tolist() and fold.tuning.tolist() == pool[n_fit:].tolist()
    assert set(fold.test.tolist()) == set(stays.subject_id[stays.set_name == "a"].tolist())
    assert [len(fold.draws[p]) for p in (10, 50, 100)] == [10, 10, 1]
    for share, draws in ((0.1, fold.draws[10]), (0.5, fold.draws[50])):
        k = int(share * n_fit)
        starts = np.linspace(0, n_fit - k, 10).astype(int)
        for draw, start in zip(draws, starts, strict=True):
            assert draw.fit.tolist() == pool[start : start + k].tolist()
            assert len(draw.stop) == int(share * (len(pool) - n_fit)) and set(draw.stop) <= set(fold.tuning)


def test_without_set_a_each_stay_is_asked_about_once_and_as_many_labels_are_given() -> None:
    """Five folds part b and c; nobody of the test is learned from, and ten draws are spread over the folds."""
    from stays import published

    stays = _stays()
    folds = published(stays, [10, 50, 100])
    asked = np.concatenate([fold.test for fold in folds])
    assert len(folds) == 5 and sorted(asked.tolist()) == sorted(stays.subject_id.tolist())
    n_fit = int(0.8 * 1200)
    for fold in folds:
        parts = [set(part.tolist()) for part in (fold.train, fold.tuning, fold.test)]
        assert sum(map(len, parts)) == len(set().union(*parts)) == 1200
        assert [len(fold.draws[p]) for p in (10, 50, 100)] == [2, 2, 1]
        for percent in (10, 50):
            for draw in fold.draws[percent]:
                assert len(draw.fit) == int(percent / 100 * n_fit)
                assert set(draw.fit) <= parts[0] and set(draw.stop) <= parts[1]
    names = [draw.name for fold in folds for draw in fold.draws[10]]
    assert sorted(names) == [f"draw_{i}" for i in range(10)]
    # the first fold's test is the fifth that the published split stops by
    pool = stays.subject_id.copy()
    np.random.RandomState(123).shuffle(pool)
    assert folds[0].test.tolist() == pool[n_fit:].tolist()


def test_the_official_form_asks_about_set_c_alone() -> None:
    """All labels of the sets that are named are given, once a tenth of them to stop by, and once none."""
    from stays import official

    stays = _stays(sets="bca")
    folds = official(stays, "ab")
    for fold in folds:
        given = np.concatenate((fold.train, fold.tuning))
        assert sorted(given.tolist()) == sorted(stays.subject_id[stays.set_name != "c"].tolist())
        assert set(fold.test.tolist()) == set(stays.subject_id[stays.set_name == "c"].tolist())
        (draw,) = fold.draws[100]
        assert np.array_equal(draw.fit, fold.train) and np.array_equal(draw.stop, fold.tuning)
    assert [len(fold.tuning) / len(folds[1].train) for fold in folds] == pytest.approx([0.1, 0.0], abs=0.01)


def test_labels_that_are_not_given_are_empty_or_left_out(tmp_path: Path) -> None:
    """A teacher's labels are of the stays of train alone; of tuning none but those of the draw are there."""
    from stays import published
    from steps import TASK, Steps

    stays = _stays()
    fold = published(stays, [10])[1]
    workspace = tmp_path / "workspace"
    for folder, name, content in ((workspace / "dataset", "dataset.json", "{}"),):
        folder.mkdir(parents=True)
        (folder / name).write_text(content)
    (workspace / "labels" / TASK).mkdir(parents=True)
    table = pa.table(
        {
            "subject_id": stays.subject_id,
            "prediction_time": np.zeros(1200, "datetime64[us]"),
            "boolean_value": stays.died,
        }
    )
    pq.write_table(table, workspace / "labels" / TASK / "labels.parquet")
    steps, draw = Steps(tmp_path, fold), fold.draws[10][0]
    given, taught = (pq.read_table(steps.labels(draw, 10, taught=one)) for one in (False, True))
    known = {*draw.fit.tolist(), *draw.stop.tolist(), *fold.test.tolist()}
    died = dict(zip(stays.subject_id.tolist(), stays.died.tolist(), strict=True))
    assert set(given["subject_id"].to_pylist()) == known and given["boolean_value"].null_count == 0
    for subject, value in zip(taught["subject_id"].to_pylist(), taught["boolean_value"].to_pylist(), strict=True):
        assert value == (died[subject] if subject in known else None)
        assert subject in known or subject in set(fold.train.tolist())
    assert set(taught["subject_id"].to_pylist()) == known | set(fold.train.tolist())


def test_rows_are_joined_by_the_mean_of_their_log_odds() -> None:
    """Two chances become the chance whose log odds are their mean; a chance of one does not drown the other."""
    pytest.importorskip("sklearn")
    from steps import Said
    from table import Scores, mean_logit

    died = np.array([True, False, True])
    one, other = Said(np.array([0.2, 0.5, 1.0]), died), Said(np.array([0.8, 0.1, 0.5]), died)
    found = mean_logit([one, other])
    assert found.chance[0] == pytest.approx(0.5)
    assert found.chance[1] == pytest.approx(1 / (1 + np.sqrt(9)))
    assert 0.5 < found.chance[2] < 1
    assert Scores.of([found]).auroc.tolist() == [1.0]


def test_every_pretraining_config_holds() -> None:
    """All encoders build, and each trains by what its name says."""
    from recipes import ENCODERS, RECIPES, pretraining

    made = {name: pretraining(name, 2, 640, 0, {}) for name in ENCODERS}
    assert made["no attention layers"].model.n_layers == 0
    on = {
        name: [n for n in ("masked", "forecast", "contrastive") if getattr(c.objective, n).weight]
        for name, c in made.items()
    }
    assert on["masked alone"] == ["masked"]
    assert on["forecast alone"] == ["forecast"]
    assert on["contrastive alone"] == ["contrastive"]
    assert on["masked + forecast"] == ["masked", "forecast"]
    assert all(recipe.encoder in ENCODERS for recipe in RECIPES.values())
