"""Who stands behind each number of a vocabulary, counted again by sets of subjects in exact fractions."""

from __future__ import annotations

import json
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest

from tawt.contracts.cells import center_step, edge_steps, middle, round_number
from tawt.contracts.contract import own_contract
from tawt.contracts.dataset import SPECIAL_CODES
from tawt.contracts.value_status import STATUS_NAMES, STATUS_SUBJECTS
from tawt.transforms.crowds import Crowds, _begin
from tawt.transforms.vocabulary import _row, center_and_scale, fit_numbers

SCHEMA = own_contract("vocabulary").arrow_schema()
Rows = list[tuple[int, str, float]]


def fitted(rows: Rows, normalization: str, n_bins: int) -> pa.Table:
    """The vocabulary of rows of (subject, code, number), without what `Crowds` counts."""
    out = [_row(name, "special") for name in SPECIAL_CODES]
    for code in sorted({code for _, code, _ in rows}):
        numbers = np.array([x for _, c, x in rows if c == code])
        fit = fit_numbers(*np.unique(numbers, return_counts=True), n_bins)
        center, scale = center_and_scale(fit, normalization)
        subjects = len({s for s, c, _ in rows if c == code})
        out.append(_row(code, "numeric") | {
            "n_rows": fit.n, "n_subjects": subjects, "n_values": fit.n, "n_value_subjects": subjects, "mean": fit.mean,
            "std": fit.std, "quantiles": fit.quantiles.tolist(), "normalization": normalization, "center": center,
            "scale": scale, "bin_edges": fit.edges.tolist(), "n_bins": len(fit.edges) + 1,
        })  # fmt: skip
    return pa.Table.from_pylist([row | {"data_type": i} for i, row in enumerate(out)], schema=SCHEMA)


def shard(rows: Rows) -> pa.Table:
    """Events of rows, with rows of no number and of no known code among them."""
    more = [(s, c, x, "numeric") for s, c, x in rows]
    more += [(s, c, 0.0, "censored_low") for s, c, _ in rows[:5]] + [
        (s, "unheard", x, "numeric") for s, _, x in rows[:5]
    ]
    more += [(s, c, None, "absent") for s, c, _ in rows[:5]]
    more.sort(key=lambda row: row[0])
    names = ("subject_id", "code", "numeric_value", "value_status")
    columns = dict(zip(names, zip(*more, strict=True), strict=True))
    return pa.table({
        "subject_id": pa.array(columns["subject_id"], pa.int64()), "code": pa.array(columns["code"]),
        "numeric_value": pa.array(columns["numeric_value"], pa.float32()), "value_status": columns["value_status"],
    })  # fmt: skip


def counted(rows: Rows, normalization: str = "zscore", n_bins: int = 10, n_shards: int = 1) -> pa.Table:
    """The vocabulary of rows, whose subjects lie in several shards."""
    crowds = Crowds(fitted(rows, normalization, n_bins))
    for k in range(n_shards):
        crowds.add(shard([row for row in rows if row[0] % n_shards == k]))
    return crowds.table()


def cell(number: float, step: float) -> int:
    return int(np.floor(number / step))


def invented(rng: np.random.Generator) -> Rows:
    """Numbers of several grids, scales and lengths of record, as float32 has them."""
    draws = {
        "heart": lambda n: rng.normal(80, 15, n).round(), "creatinine": lambda n: rng.gamma(2, 0.5, n).round(1),
        "tiny": lambda n: rng.gamma(2, 1e-6, n), "large": lambda n: rng.normal(0, 1e9, n),
        "same": lambda n: np.full(n, 7.25), "score": lambda n: rng.integers(3, 16, n).astype(float),
    }  # fmt: skip
    return [
        (subject, code, float(np.float32(x)))
        for subject in range(40)
        for code, draw in draws.items()
        for x in draw(rng.integers(0, 6 if subject else 80))
    ]


def sum_of(rows: list[tuple[int, float]], subject: int, mean: float) -> tuple[float, float]:
    """The deviations of one subject's numbers from the mean, summed; and their squares."""
    off = [Fraction(x) - Fraction(mean) for s, x in rows if s == subject]
    return float(sum(off)), float(sum(x * x for x in off))


@pytest.mark.parametrize("normalization", ["zscore", "robust"])
@pytest.mark.parametrize(("n_shards", "at_once"), [(1, 1 << 16), (3, 50), (1, 1)])
def test_people_are_counted_in_bins_and_in_the_cells_around_edges(
    monkeypatch: pytest.MonkeyPatch, normalization: str, n_shards: int, at_once: int
) -> None:
    """Subjects per bin, per edge's cell and around a median, the most numbers of one, and the part of one in the variance and
    in the mean, are those that sets and fractions tell, however many of a shard are counted at once."""
    monkeypatch.setattr("tawt.transforms.crowds._AT_ONCE", at_once)
    rows = invented(np.random.default_rng(5))
    table = counted(rows, normalization, n_shards=n_shards)
    assert table.schema == SCHEMA
    n_cells = 0
    for row in table.to_pylist():
        own = [(s, x) for s, c, x in rows if c == row["code"]]
        bounds = [-np.inf, *row["bin_edges"], np.inf]
        bins = [len({s for s, x in own if a <= x < b}) for a, b in pairwise(bounds)] if own else []
        assert row["bin_subjects"] == bins
        steps = edge_steps(row["bin_edges"], row["std"]) if row["bin_edges"] else []
        cells = zip(row["bin_edges"], steps, strict=True)
        near = [len({s for s, x in own if cell(x, step) == cell(edge, step)}) for edge, step in cells]
        assert row["edge_subjects"] == near
        n_cells += len(near)
        assert row["most_of_one"] == max((sum(s == t for t, _ in own) for s in range(40)), default=0)
        off = [sum_of(own, s, row["mean"]) for s in range(40)] if row["std"] else [(0.0, 0.0)]
        n, std = max(len(own), 1), row["std"] or 1
        assert row["share_of_one"] == pytest.approx(max(square for _, square in off) / n / std**2, abs=1e-12)
        assert row["pull_of_one"] == pytest.approx(max(abs(pull) for pull, _ in off) / n / std, abs=1e-12)
        around = {
            s for s, x in own if cell(x, center_step(row["scale"])) == cell(row["center"], center_step(row["scale"]))
        }
        assert row["center_subjects"] == (len(around) if normalization == "robust" else 0)
    assert n_cells > 30


@pytest.mark.parametrize("n_shards", [1, 3])
def test_people_are_counted_by_status(n_shards: int) -> None:
    """Subjects per status are those that sets tell. Rows of unknown codes and bounds of a data_type without numbers, of
    which triplets keep no value, count for none."""
    rows = [row for row in invented(np.random.default_rng(8)) if row[1] != "tiny"]
    table = fitted(rows, "zscore", 10)
    only_bounds = _row("bounds", "none") | {"data_type": len(table)}
    crowds = Crowds(pa.Table.from_pylist([*table.to_pylist(), only_bounds], schema=SCHEMA))
    assert crowds.table().schema.metadata[STATUS_SUBJECTS] == b"[0, 0, 0, 0, 0, 0, 0, 0, 0, 0]"
    have: list[set[int]] = [set() for _ in STATUS_NAMES]
    for k in range(n_shards):
        own = [row for row in rows if row[0] % n_shards == k]
        events = shard(own).to_pylist()
        events += [event | {"code": "bounds", "value_status": "censored_high"} for event in events[-5:]]
        events += [event | {"value_status": "unparsed"} for event in events[-8:]]
        events.sort(key=lambda event: event["subject_id"])
        crowds.add(pa.Table.from_pylist(events, schema=shard(own).schema))
        for event in events:
            bound = event["code"] == "bounds" and event["value_status"] == "censored_high"
            if event["code"] != "unheard" and not bound:
                have[STATUS_NAMES.index(event["value_status"])].add(event["subject_id"])
    found = json.loads(crowds.table().schema.metadata[STATUS_SUBJECTS])
    assert found == [len(subjects) for subjects in have] and sum(n > 0 for n in found) == 4 and found[8] == 0


@pytest.mark.parametrize(
    "edges", [[0.1, 0.2, 0.3], [1.0, 2.0, 4.0, 1000.0], [-1e9, 5.0, 5.000001], [3.0], [0.0, 1e-30]]
)
def test_cells_of_edges_do_not_meet(edges: list[float]) -> None:
    """A cell is as wide as 1, 2 or 5 x 10^k, the most that is at most half of the nearer gap; it holds its edge and no
    other, its middle hangs on nothing else, and middles ascend."""
    steps = edge_steps(edges, 0.7)
    gaps = [b - a for a, b in pairwise(edges)] or [0.7]
    for i, (edge, step) in enumerate(zip(edges, steps, strict=True)):
        half = min(gaps[max(i - 1, 0) : i + 1]) / 2
        assert step == round_number(half)
        told = middle(edge, step)
        assert abs(Fraction(told) - Fraction(edge)) <= Fraction(step) / 2 * (1 + Fraction(1, 10**9))
        assert middle(told, step) == told and middle(told + 0.49 * step, step) == told
    told = [middle(*pair) for pair in zip(edges, steps, strict=True)]
    assert told == sorted(set(told))
    for (a, s), (b, t) in pairwise(zip(told, steps, strict=True)):
        assert a + s / 2 <= (b - t / 2) * (1 + 1e-12) + 1e-300


def test_cells_of_several_data_types_are_those_of_each() -> None:
    """Edges laid one after the other have the steps that those of each data_type have alone, without any too."""
    types = [([], 3.0), ([0.1, 0.2, 0.7], 1.0), ([5.0], 0.3), ([], 0.0), ([-2.0, 40.0], 9.0)]
    edges, std = [e for own, _ in types for e in own], [s for own, s in types for _ in own]
    first = np.append(0, np.cumsum([len(own) for own, _ in types]))
    alone = [edge_steps(own, s).tolist() for own, s in types if own]
    assert edge_steps(edges, std, first).tolist() == [step for steps in alone for step in steps]


def test_a_cell_begins_at_the_float32_that_a_division_puts_there() -> None:
    """The first number of a cell is the smallest whose rounded quotient is in it: the one before is in an earlier."""
    rng = np.random.default_rng(7)
    steps = np.array([float(f"{lead}e{k}") for lead in (1, 2, 5) for k in (-8, -2, -1, 0, 3)])
    cells = np.concatenate([rng.integers(-40, 40, len(steps)), np.zeros(len(steps))])
    steps = np.tile(steps, 2)
    first = _begin(cells, steps)
    before = np.nextafter(first.astype(np.float32), np.float32(-np.inf)).astype(np.float64)
    assert (np.floor(first / steps) >= cells).all() and (np.floor(before / steps) < cells).all()


@pytest.mark.parametrize("most", [1.0, 0.1, 0.3, 1000.0, 1e-5, 999.9999999, 2.0, 4.99, 1e-40, 3e38])
def test_a_round_number_is_the_largest_below(most: float) -> None:
    """No other of 1, 2 and 5 x 10^k lies between."""
    found = round_number(most)
    assert found == max(x for k in range(-42, 40) for x in (float(f"{lead}e{k}") for lead in (1, 2, 5)) if x <= most)
