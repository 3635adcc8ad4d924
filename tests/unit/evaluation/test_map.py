"""A map of embeddings: its directions are those of most variance, and nothing on it is of single people."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tawt.figures import map as module
from tawt.figures.map import Panel, plot_map, principal


def test_directions_are_those_of_most_variance():
    """Places are those of scikit-learn's PCA of standardized columns, up to the sign, which is fixed."""
    decomposition = pytest.importorskip("sklearn.decomposition")
    rng = np.random.default_rng(0)
    x = (rng.normal(size=(300, 3)) @ rng.normal(size=(3, 8)) + 5).astype(np.float32)
    places, shares = principal(x)
    scaled = (x - x.mean(0)) / x.std(0)
    pca = decomposition.PCA(2).fit(scaled)
    assert np.allclose(np.abs(places), np.abs(pca.transform(scaled)), atol=1e-3)
    assert np.allclose(shares, pca.explained_variance_ratio_, atol=1e-4)
    assert np.array_equal(places, principal(x.copy())[0])
    assert np.allclose(np.abs(principal(np.hstack([x, np.full((300, 2), 3.0)]))[0]), np.abs(places), atol=1e-3)


@pytest.mark.parametrize("n", [0, 1, 5])
def test_few_or_equal_rows_lie_at_the_middle(n):
    """Where there is no direction a row has the place 0."""
    places, shares = principal(np.ones((n, 4), np.float32))
    assert places.shape == (n, 2) and not places.any() and not shares.any()


def test_classes_of_few_people_have_no_name(tmp_path, monkeypatch):
    """Ten people, however many rows they have, are grey; how many they are follows from no count of the others; no
    dot has a text."""
    pytest.importorskip("matplotlib")
    kept = []
    save = module.save
    monkeypatch.setattr(module, "save", lambda figure, *more: kept.append((figure, more)) or save(figure, *more))
    rng = np.random.default_rng(0)
    subject = np.concatenate([np.arange(40), np.arange(100, 120), np.repeat(np.arange(200, 210), 5)])
    value = np.repeat([0.0, 1.0, 2.0], [40, 20, 50])
    panel = Panel("a", rng.normal(size=(110, 4)).astype(np.float32), subject, value, ("home", "ward", "rare place"))
    plot_map([panel], tmp_path / "m.png", "title")
    figure, (_, _, handles) = kept[0]
    texts = [handle.get_label() for handle in handles]
    assert texts == ["home, 40+", "ward, 20", "classes of few people", "median of a class"]
    assert not figure.axes[0].texts and not any(axis.get_legend() for axis in figure.axes)
    numbers = Panel("a", panel.vectors, subject, np.where(value == 1, np.nan, subject * 1.0))
    plot_map([numbers], tmp_path / "m.png", "title")
    dots, bar = kept[1][0].axes
    assert len(dots.collections[0].get_offsets()) == 90
    assert [text.get_text() for text in bar.get_yticklabels()] == ["low", "high"]
    plot_map([replace(numbers, subject_id=np.arange(110))], tmp_path / "m.png", "title")
    shown = [text.get_text() for text in kept[2][0].axes[1].get_yticklabels()]
    assert shown == ["low", "high"] and len(module._ticks(np.arange(200.0), 200)[1]) == 3


def test_a_legend_is_as_wide_as_its_figure(tmp_path, monkeypatch):
    """Long names of classes stand in several lines, all of them on the picture."""
    pytest.importorskip("matplotlib")
    kept = []
    save = module.save
    monkeypatch.setattr(module, "save", lambda figure, *more: kept.append(figure) or save(figure, *more))
    value = np.repeat(np.arange(6.0), 12)
    vectors = np.random.default_rng(0).normal(size=(72, 4)).astype(np.float32)
    names = tuple(f"a class of which the name is number {i}" for i in range(6))
    plot_map([Panel("a", vectors, np.arange(72), value, names)], tmp_path / "m.png", "title")
    (legend,) = kept[0].legends
    assert len(legend.get_texts()) == 7 and legend.get_window_extent().width <= kept[0].bbox.width
