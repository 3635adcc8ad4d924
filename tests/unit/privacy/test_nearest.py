"""Nearest neighbours in blocks: those that loops find, with the very distances, whatever lies near or far."""

from __future__ import annotations

import numpy as np
import pytest

from tawt.errors import ContractError
from tawt.privacy import nearest as module
from tawt.privacy.nearest import nearest


def plainly(queries, points, k, own=None):
    """Number and distance of the k nearest, one pair after the other."""
    index, distance = [], []
    for i, query in enumerate(queries):
        far = [
            (
                np.inf
                if own is not None and own[i] == j
                else float(np.sqrt(((query.astype(float) - point) ** 2).sum())),
                j,
            )
            for j, point in enumerate(points.astype(float))
        ]
        far = [pair for pair in sorted(far) if pair[0] < np.inf][:k]
        index.append([j for _, j in far] + [-1] * (k - len(far)))
        distance.append([d for d, _ in far] + [np.inf] * (k - len(far)))
    return np.array(index), np.array(distance)


@pytest.mark.parametrize("blocks", [(1024, 4096), (7, 11)])
@pytest.mark.parametrize("shift", [0, 1e4])
@pytest.mark.parametrize("k", [1, 3])
def test_neighbours_are_those_of_loops(monkeypatch, blocks, shift, k):
    """In one block or in many, near the origin or far from it, with outliers among them."""
    monkeypatch.setattr(module, "_QUERIES", blocks[0])
    monkeypatch.setattr(module, "_POINTS", blocks[1])
    rng = np.random.default_rng(1)
    queries, points = rng.normal(shift, 1, (40, 6)), rng.normal(shift, 1, (60, 6))
    points[5] += 1e5
    found = nearest(queries, points, k)
    index, distance = plainly(queries, points, k)
    assert np.array_equal(found.index, index) and found.distance == pytest.approx(distance, rel=1e-9)


@pytest.mark.parametrize("spread", [1e-5, 1e-3, 3e-3])
def test_equal_rows_are_at_distance_zero(spread):
    """However large the numbers are and however many others lie nearer than single precision can tell."""
    rng = np.random.default_rng(2)
    points = 1e3 + spread * rng.normal(size=(500, 20))
    points[0] = -1e3  # the middle lies far from all others
    found = nearest(points[100:200], points, 2)
    assert np.array_equal(found.index[:, 0], np.arange(100, 200)) and not found.distance[:, 0].any()
    index, distance = plainly(points[100:140], points, 2)
    assert np.array_equal(found.index[:40], index) and found.distance[:40] == pytest.approx(distance)


def test_a_row_is_left_out_by_its_number_and_not_by_its_distance():
    """Its copy is its neighbour, at distance 0."""
    points = np.repeat(np.random.default_rng(3).normal(size=(30, 4)).astype(np.float32), 2, axis=0)
    found = nearest(points, points, 1, np.arange(60))
    assert np.array_equal(found.index[:, 0], np.arange(60) ^ 1) and not found.distance.any()


def test_fewer_points_than_asked_for():
    """What is not there has no number and lies endlessly far."""
    points = np.eye(3)
    found = nearest(points, points, 4, np.arange(3))
    assert np.array_equal(found.index, plainly(points, points, 4, np.arange(3))[0])
    assert (found.index[:, 2:] == -1).all() and np.isinf(found.distance[:, 2:]).all()


def test_a_matrix_on_disk(tmp_path):
    """Points that are mapped give what points in memory give."""
    rng = np.random.default_rng(4)
    queries, points = rng.normal(size=(20, 5)).astype(np.float32), rng.normal(size=(300, 5)).astype(np.float32)
    mapped = np.memmap(tmp_path / "points", np.float32, "w+", shape=points.shape)
    mapped[:] = points
    assert np.array_equal(nearest(queries, mapped, 3).distance, nearest(queries, points, 3).distance)


def test_what_has_no_distance_is_refused():
    """Other columns, and numbers that are not finite."""
    with pytest.raises(ContractError, match="columns"):
        nearest(np.zeros((2, 3)), np.zeros((2, 4)))
    with pytest.raises(ContractError, match="not finite"):
        nearest(np.zeros((2, 3)), np.full((2, 3), np.nan))
    with pytest.raises(ContractError, match="not finite"):
        nearest(np.full((2, 3), np.inf), np.zeros((2, 3)))
