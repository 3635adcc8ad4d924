"""What a shared vocabulary tells to one who asks it about single people, and what it is told of them by subtraction."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from tawt.contracts.cells import edge_steps
from tawt.contracts.contract import own_contract
from tawt.contracts.dataset import SPECIAL_CODES
from tawt.runs.withhold import shareable
from tawt.transforms.crowds import COLUMNS, Crowds
from tawt.transforms.vocabulary import _row, center_and_scale, fit_numbers

SCHEMA = own_contract("vocabulary").arrow_schema()
COUNTS = ("n_subjects", "n_value_subjects", "category_subjects", "bin_subjects", "edge_subjects", "center_subjects")


def vocabulary(subjects: np.ndarray, numbers: np.ndarray, normalization: str = "zscore", **over: Any) -> pa.Table:
    """A vocabulary of one data_type, whose numbers each are of a subject."""
    numbers = numbers.astype(np.float32).astype(np.float64)
    fit = fit_numbers(*np.unique(numbers, return_counts=True), 10)
    center, scale = center_and_scale(fit, normalization)
    n = len(np.unique(subjects))
    rows = [_row(name, "special") for name in SPECIAL_CODES]
    rows.append(_row("LAB//NUMBER", "numeric") | {
        "n_rows": fit.n, "n_subjects": n, "n_values": fit.n, "n_value_subjects": n, "mean": fit.mean, "std": fit.std,
        "quantiles": fit.quantiles.tolist(), "normalization": normalization, "center": center, "scale": scale,
        "bin_edges": fit.edges.tolist(), "n_bins": len(fit.edges) + 1,
    })  # fmt: skip
    crowds = Crowds(pa.Table.from_pylist([row | {"data_type": i} for i, row in enumerate(rows)], schema=SCHEMA))
    order = np.argsort(subjects, kind="stable")
    columns = [
        subjects[order], ["LAB//NUMBER"] * len(order), pa.array(numbers[order], pa.float32()), ["numeric"] * len(order)
    ]  # fmt: skip
    crowds.add(pa.table(columns, COLUMNS))
    rows = crowds.table().to_pylist()
    return pa.Table.from_pylist([*rows[:-1], rows[-1] | over], schema=SCHEMA)


def last(table: pa.Table) -> dict[str, Any]:
    row: dict[str, Any] = table.to_pylist()[-1]
    return row


GRIDS = {
    "heart rate": lambda rng: rng.normal(80, 15, 5000).round(),
    "creatinine": lambda rng: rng.gamma(2, 0.9, 5000).round(1),
    "weight": lambda rng: np.round(rng.normal(80, 15, 5000) * 2) / 2,
    "lactate": lambda rng: rng.gamma(2, 1, 5000),
    "tiny": lambda rng: rng.gamma(2, 1e-6, 5000),
    "score": lambda rng: rng.integers(3, 16, 5000),
}


@pytest.mark.parametrize("normalization", ["zscore", "robust", "quantile", "none"])
@pytest.mark.parametrize("name", GRIDS)
def test_all_that_an_edge_tells_is_a_cell_of_many_people(name: str, normalization: str) -> None:
    """Whoever has the same told edges may have any number of the cell as the true one: moved within its cell, an edge is
    told as before. In each cell are 11 people, as are in each bin between true edges, and a median lies in one too."""
    rng = np.random.default_rng(2)
    subjects, numbers = rng.integers(0, 500, 5000), GRIDS[name](rng).astype(np.float32).astype(np.float64)
    table = vocabulary(subjects, numbers, normalization)
    own, told = last(table), last(shareable(table, 11))
    assert len(told["bin_edges"]) == len(own["bin_edges"]) > 5
    steps = edge_steps(own["bin_edges"], own["std"])
    for edge, true, step in zip(told["bin_edges"], own["bin_edges"], steps, strict=True):
        assert abs(edge - true) <= step / 2 * (1 + 1e-9)
        assert len(set(subjects[abs(numbers - edge) <= step / 2 * (1 - 1e-9)]) | set(subjects[numbers == true])) >= 11
        low, high = (np.floor(true / step) + np.array([1e-6, 1 - 1e-6])) * step
        assert np.floor(low / step) == np.floor(high / step) == np.floor(edge / step)
    bounds = np.searchsorted(own["bin_edges"], numbers, side="right")
    assert all(len(set(subjects[bounds == k])) >= 11 for k in range(own["n_bins"]))
    if normalization == "robust":
        assert abs(told["center"] - own["center"]) < own["scale"] / 4
        # what is counted behind it is the cell that is told, also for whoever shares the model again
        assert told["center_subjects"] == told["edge_subjects"][told["bin_edges"].index(told["center"])]
    # of 256 to 511 people, in steps of a 16th of the deviation to 2.5 times that
    assert [told["mean"], told["std"]] == pytest.approx([own["mean"], own["std"]], abs=own["std"] * 0.62 * 2.5 / 16)


@pytest.mark.parametrize("normalization", ["zscore", "robust"])
def test_edges_between_bins_of_few_people_are_withheld(normalization: str) -> None:
    """Of 200 people with a few numbers and one with as many as thirty of them, bins that this one alone is in keep every
    edge at home; median and scale are told in cells of a quarter of the scale or more."""
    rng = np.random.default_rng(0)
    subjects = np.concatenate([np.repeat(np.arange(200), 3), np.full(150, 200)])
    numbers = np.concatenate([rng.normal(80, 5, 600).round(), rng.normal(80.5, 0.1, 150)])
    table = vocabulary(subjects, numbers, normalization)
    own, told = last(table), last(shareable(table, 11))
    assert min(own["bin_subjects"]) == 1 and len(own["bin_edges"]) > 5
    assert told["bin_edges"] == [] and told["n_bins"] == own["n_bins"] and told["mean"] is not None
    assert told["scale"] == pytest.approx(own["scale"], rel=0.32 if normalization == "robust" else 0.14)
    assert told["center"] == pytest.approx(
        own["center"], abs=own["scale"] * (0.32 if normalization == "robust" else 0.14)
    )
    if normalization == "robust":
        near = abs(numbers - told["center"]) <= own["scale"] / 8
        assert told["center"] != own["center"] and len(set(subjects[near])) >= 11


@pytest.mark.parametrize("name", GRIDS)
@pytest.mark.parametrize("with_edges", [True, False])
def test_the_distance_of_the_quartiles_is_not_told(name: str, with_edges: bool) -> None:
    """The scale of `robust` is told by the edges that are told: other quartiles within the same bins give the same. Where
    edges are withheld, so does every scale from one to the next of five in a power of ten."""
    rng = np.random.default_rng(6)
    numbers = GRIDS[name](rng).astype(np.float32).astype(np.float64)
    over: dict[str, Any] = {} if with_edges else {"edge_subjects": []}
    table = vocabulary(rng.integers(0, 500, 5000), numbers, "robust", **over)
    own, told = last(table), last(shareable(table, 11))
    assert bool(told["bin_edges"]) == with_edges
    assert last(shareable(shareable(table, 11), 11)) == told
    assert told["scale"] == pytest.approx(own["scale"], rel=0.25 if with_edges else 0.32) and told["mean"] is not None

    def told_of(low: float, high: float) -> float:
        q = [*own["quantiles"][:25], low, *own["quantiles"][26:75], high, *own["quantiles"][76:]]
        row = own | {"quantiles": q, "scale": (high - low) / 1.3489795003921634}
        scale: float = last(shareable(pa.Table.from_pylist([*table.to_pylist()[:-1], row], schema=SCHEMA), 11))["scale"]
        return scale

    low, high = own["quantiles"][25], own["quantiles"][75]
    if not with_edges:
        ends = 10 ** ((np.floor(np.log10(own["scale"]) * 5) + np.array([0.001, 0.5, 0.999])) / 5)
        scales = [told_of(low, low + end * 1.3489795003921634) for end in ends]
    else:
        edges = own["bin_edges"]
        near = [np.linspace(*edges[k - 1 : k + 1], 5)[1:-1].tolist() for k in np.searchsorted(edges, [low, high])]
        scales = [told_of(low if low in edges else a, high if high in edges else b) for a, b in zip(*near, strict=True)]
    assert scales == pytest.approx([told["scale"]] * 3, rel=1e-9)


def test_a_scale_of_quartiles_that_are_one_number_stays_1() -> None:
    """Nobody's number is in it; it is told as it is, also for whoever shares the model again."""
    numbers = np.concatenate([np.full(600, 7.0), np.linspace(0, 30, 201)])
    once = shareable(vocabulary(np.arange(801) % 200, numbers, "robust", edge_subjects=[]), 11)
    assert last(once)["scale"] == 1 and last(once)["bin_edges"] == [] and last(once)["mean"] is not None
    assert shareable(once, 11) == once


def test_numbers_that_are_mostly_of_one_are_withheld() -> None:
    """Mean, deviation, center, scale and edges go where one person has more than half of the numbers; half is shared."""
    rng = np.random.default_rng(1)
    for n_of_one, is_told in ((300, True), (301, False)):
        subjects = np.concatenate([np.arange(300) % 100, np.full(n_of_one, 100)])
        numbers = rng.normal(0, 1, 300 + n_of_one) * np.where(subjects == 100, 0.1, 1)
        row = last(shareable(vocabulary(subjects, numbers), 11))
        assert (row["mean"] is not None) == (row["std"] is not None) == (row["n_value_subjects"] > 0) == is_told
        assert is_told or (row["center"], row["scale"], row["bin_edges"], row["bin_subjects"]) == (0, 1, [], [])


def test_a_median_that_few_are_near_is_withheld() -> None:
    """Between two crowds far apart, the median is one person's alone, and nothing of the numbers is told."""
    numbers = np.concatenate([np.linspace(0, 1, 30), [50.0], np.linspace(99, 100, 30)])
    table = vocabulary(np.arange(61), numbers, "robust")
    assert last(table)["center"] == 50 and last(table)["center_subjects"] == 1
    row = last(shareable(table, 11))
    assert (row["center"], row["scale"], row["normalization"], row["mean"]) == (0, 1, "none", None)


@pytest.mark.parametrize("normalization", ["zscore", "robust"])
def test_a_stricter_limit_withholds_as_much_the_second_time(normalization: str) -> None:
    """What was shared with one limit and is shared with another tells no more than the stricter at once; with the same
    or a laxer one it stays as it is."""
    rng = np.random.default_rng(3)
    table = vocabulary(rng.integers(0, 300, 900), rng.normal(80, 15, 900).round(), normalization)
    once = shareable(table, 11)
    assert last(once)["bin_edges"] and shareable(once, 11) == once
    laxer = last(shareable(once, 5))
    assert {name: laxer[name] for name in laxer if name not in COUNTS} == {
        k: last(once)[k] for k in laxer if k not in COUNTS
    }
    for limit in (12, 40, 60, 80, 200, 290, 301):
        direct, twice = last(shareable(table, limit)), last(shareable(once, limit))
        assert not twice["bin_edges"] or direct["bin_edges"]
        assert twice["mean"] is None or direct["mean"] is not None
        assert twice["code"] != "LAB//NUMBER" or direct["code"] == "LAB//NUMBER"
        assert twice["mean"] is None or normalization != "robust" or last(once)["center_subjects"] >= limit
    assert last(shareable(table, 200))["bin_edges"] == last(shareable(once, 200))["bin_edges"] == []


def test_no_group_of_few_follows_by_subtraction() -> None:
    """Counts of people are told as 11, 22, 44, 88, ..: none differ by 1 to 10, whatever the groups are; rows, whose order
    would tell a withheld one's, are not counted at all."""
    rng = np.random.default_rng(4)
    rows = [_row(name, "special") for name in SPECIAL_CODES]
    for n_rows in range(400, 0, -1):
        n = int(rng.integers(1, n_rows + 1))
        rows.append(_row(f"DX//{n_rows}", "categorical") | {
            "n_rows": n_rows, "n_subjects": n, "n_value_subjects": max(0, n - int(rng.integers(0, 11))), "n_values": n,
            "categories": ["a", "b"], "category_subjects": [n - n // 20, n // 20], "most_of_one": 1,
        })  # fmt: skip
    table = pa.Table.from_pylist([row | {"data_type": i} for i, row in enumerate(rows)], schema=SCHEMA)
    few = 0
    for row, was in zip(shareable(table, 11, with_categories=True).to_pylist(), table.to_pylist(), strict=True):
        few += 0 < was["n_subjects"] - was["n_value_subjects"] < 11
        told = [n for name in COUNTS for n in (row[name] if isinstance(row[name], list) else [row[name]])]
        assert (
            all(n is None or n % 11 == 0 for n in told) and row["n_rows"] == row["n_values"] == row["most_of_one"] == 0
        )
        assert was["n_subjects"] < 2 * row["n_subjects"] <= 2 * was["n_subjects"] or row["code"].startswith("[")
    assert few > 100
    assert shareable(table, 1, with_categories=True) == table


@pytest.mark.parametrize("n", [30, 60, 400])
def test_no_outlier_can_be_computed_from_mean_and_deviation(n: int) -> None:
    """One number of one patient beside 5 usual ones of each: as long as mean and deviation are told, they are the same for
    every such number, so it cannot be had back from them; further away they, center and scale are withheld."""
    rng = np.random.default_rng(0)
    subjects, usual = np.append(np.repeat(np.arange(n), 5), 7), rng.normal(100, 15, 5 * n)
    told = set()
    for outlier in (100, 120, 150, 200, 300, 500, 1200, 48213):
        table = vocabulary(subjects, np.append(usual, outlier))
        own, row = last(table), last(shareable(table, 11))
        told.add((row["mean"], row["std"], row["center"], row["scale"]))
        share = (outlier - own["mean"]) ** 2 / own["n_values"] / own["std"] ** 2
        assert (row["mean"] is not None) or own["share_of_one"] > 0.05
        assert (row["mean"] is None) or share < 0.25
    assert (None, None, 0, 1) in told and len(told) <= 3
    robust = vocabulary(subjects, np.append(usual, 48213), "robust")
    row = last(shareable(robust, 11))
    assert row["mean"] is row["std"] is None and row["scale"] == pytest.approx(last(robust)["scale"], rel=0.32)


def test_two_vocabularies_that_differ_by_one_patient_seldom_tell_of_him() -> None:
    """Of 70 people with a dozen numbers, whichever is left out, mean and deviation are told as before 49 times in 50; what
    they are is another number each time."""
    moved = of_own = n = 0
    for seed in range(4):
        rng = np.random.default_rng(seed)
        subjects, numbers = (
            np.repeat(np.arange(70), 12),
            rng.normal(rng.normal(100, 8, 70)[:, None], 15, (70, 12)).ravel(),
        )
        whole = vocabulary(subjects, numbers)
        for left in range(0, 70, 7):
            less = vocabulary(subjects[subjects != left], numbers[subjects != left])
            own, told = zip(*((last(t), last(shareable(t, 11))) for t in (whole, less)), strict=True)
            for name in ("mean", "std"):
                n, of_own = n + 1, of_own + (own[0][name] != own[1][name])
                moved += told[0][name] != told[1][name]
    assert of_own == n == 80 and moved <= n / 50


@pytest.mark.parametrize("name", ["share_of_one", "pull_of_one"])
def test_mean_and_deviation_of_which_nobody_measured_one_subjects_part_are_withheld(name: str) -> None:
    """A vocabulary from before it was measured tells neither, nor what a number is normalized with them by; what is
    normalized otherwise is told as ever."""
    rng = np.random.default_rng(5)
    for normalization in ("zscore", "robust"):
        row = last(
            shareable(vocabulary(rng.integers(0, 300, 900), rng.normal(0, 1, 900), normalization, **{name: None}), 11)
        )
        assert row["mean"] is row["std"] is None and (row["scale"] == 1) == (normalization == "zscore")
        assert bool(row["bin_edges"]) == (normalization == "robust")
