"""Triplets, held to a re-implementation that takes one row at a time."""

from __future__ import annotations

import bisect
import random
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from tawt.config.pipeline import PipelineConfig
from tawt.config.vocabulary import VocabularyConfig
from tawt.contracts.contract import own_contract
from tawt.contracts.value_status import STATUS_NAMES
from tawt.transforms.triplets import Coder, edges_below, to_triplets
from tawt.transforms.vocabulary import Counts, fit_vocabulary

TRIPLETS = own_contract("triplets")
VOCABULARY = own_contract("vocabulary")
START = datetime(2150, 1, 1)
SCHEMA = pa.schema(
    [
        ("subject_id", pa.int64()), ("time", pa.timestamp("us")), ("code", pa.string()),
        ("numeric_value", pa.float32()), ("text_value", pa.large_string()),
        ("available_time", pa.timestamp("us")), ("value_status", pa.string()),
    ]
)  # fmt: skip
Row = dict[str, Any]


def train_numbers(code: str) -> list[float]:
    rng = np.random.default_rng(len(code))
    numbers = {
        "wide": rng.normal(50, 20, 400),
        "tied": rng.integers(0, 5, 300),
        "flat": np.full(40, 0.1),
        "mix": [1, 2],
    }
    return np.asarray(numbers[code], np.float32).astype(float).tolist() if code in numbers else []


def vocabulary(normalization: str) -> pa.Table:
    """Fit a small vocabulary: numbers, few numbers, one number, texts, both, neither."""
    codes = ["bare", "cat", "flat", "mix", "tied", "wide"]
    texts = {"cat": {"NEG": 20, "POS": 10, "rare": 1}, "mix": {"HOLD": 3}}
    numbers = [
        (i, *pair)
        for i, c in enumerate(codes)
        for pair in zip(*np.unique(train_numbers(c), return_counts=True), strict=True)
    ]
    words = [(i, text, n) for i, c in enumerate(codes) for text, n in sorted(texts.get(c, {}).items())]
    counts = Counts(
        codes, np.full(len(codes), 9), np.full(len(codes), 5), np.full(len(codes), 5), [None] * len(codes),
        pa.table({"code": [r[0] for r in numbers], "value": [float(r[1]) for r in numbers], "n": [int(r[2]) for r in numbers]}),
        pa.table({"code": [r[0] for r in words], "text": [r[1] for r in words], "n": [r[2] for r in words], "n_subjects": [r[2] for r in words]}),
    )  # fmt: skip
    pipeline = PipelineConfig(
        name="t", source="t", vocabulary=VocabularyConfig(normalization=normalization, max_categories=2, n_bins=8)
    )
    return fit_vocabulary(counts, pipeline, VOCABULARY, {})


def random_events(seed: int, n: int = 500) -> list[Row]:
    rng = random.Random(seed)
    rows = []
    for _ in range(n):
        code = rng.choice(["bare", "cat", "flat", "mix", "tied", "wide", "wide", "unseen"])
        status = rng.choice(
            ["numeric", "numeric", "category", "censored_low", "censored_high", *STATUS_NAMES[3:7], "none"]
        )
        number = rng.choice([0.0, 1.0, 2.5, 3.0, 50.0, -1e30, 3e38, rng.gauss(50, 25)])
        time = rng.choice([None, START + timedelta(minutes=rng.randrange(3000))])
        rows.append(
            {
                "subject_id": rng.randrange(5),
                "time": time,
                "code": code,
                "numeric_value": float(np.float32(number))
                if status in ("numeric", "censored_low", "censored_high")
                else None,
                "text_value": rng.choice(["NEG", "POS", "rare", "new", "HOLD"]) if status == "category" else None,
                "available_time": rng.choice([None, (time or START) + timedelta(minutes=rng.randrange(900))]),
                "value_status": status,
            }
        )
    return sorted(rows, key=lambda row: (row["subject_id"], row["time"] or datetime.min))


def naive(row: Row, words: list[Row], clock: str) -> Row:
    """One triplet from one event and the vocabulary's rows."""
    place = next((w for w in words if w["code"] == row["code"]), None)
    status, value, token = row["value_status"], 0.0, 0
    if place is None:
        status = "none"
    elif status in ("numeric", "censored_low", "censored_high"):
        if place["n_values"] == 0:
            status = "none"
        else:
            x = row["numeric_value"]
            token = 1 + sum(edge <= x for edge in place["bin_edges"])
            if place["normalization"] == "quantile":
                value = (rank(x, place["quantiles"]) - 0.5) * 12**0.5
            else:
                value = (x - place["center"]) / place["scale"]
            value = max(-3.4028234663852886e38, min(3.4028234663852886e38, value))
    elif status == "category" and place["categories"]:
        known = row["text_value"] in place["categories"]
        token = place["n_bins"] + (2 + place["categories"].index(row["text_value"]) if known else 1)
    available = row["available_time"] or row["time"]
    return {
        "subject_id": row["subject_id"],
        "timestamp": row["time"] if clock == "time" or row["time"] is None else available,
        "data_type": place["data_type"] if place else 1,
        "value": float(np.float32(value)),
        "value_token": token,
        "value_status": STATUS_NAMES.index(status),
        "available_time": available,
    }


def rank(x: float, percentiles: list[float]) -> float:
    """The share of train at or below x: the middle of the percentiles equal to x, else between its neighbours."""
    same = [k for k, p in enumerate(percentiles) if p == x]
    if same:
        return (same[0] + same[-1]) / 2 / 100
    above = bisect.bisect(percentiles, x)
    if above in (0, 101):
        return min(above, 100) / 100
    low, high = percentiles[above - 1], percentiles[above]
    return (above - 1 + (x - low) / (high - low)) / 100


@pytest.mark.parametrize("normalization", ["zscore", "robust", "quantile", "none"])
@pytest.mark.parametrize("clock", ["time", "available_time"])
def test_every_triplet_is_made_as_one_at_a_time(normalization: str, clock: str) -> None:
    """Index, value, token, status and both clocks equal the per-row rules, and nothing is null or infinite."""
    table = vocabulary(normalization)
    rows = random_events(sum(map(ord, normalization + clock)))
    pipeline = PipelineConfig(name="t", source="t", clock=clock)
    triplets, counts = to_triplets(pa.Table.from_pylist(rows, schema=SCHEMA), Coder.of(table), pipeline, TRIPLETS)
    expected = [naive(row, table.to_pylist(), clock) for row in rows]
    # Python's sort is stable: ties keep the order of events
    expected.sort(key=lambda t: (t["subject_id"], t["timestamp"] or datetime.min))
    got = triplets.to_pylist()
    for ours, theirs in zip(got, expected, strict=True):
        assert ours["value"] == pytest.approx(theirs["value"], rel=1e-6, abs=1e-9)
        assert {**ours, "value": 0} == {**theirs, "value": 0}
    assert np.isfinite(triplets["value"].to_numpy()).all()
    unseen = [row for row in rows if row["code"] == "unseen"]
    assert counts.n_unknown_code == len(unseen) > 0
    numbers = [r for r in rows if r["value_status"] in ("numeric", "censored_low", "censored_high")]
    assert counts.n_without_statistics == sum(r["code"] in ("bare", "cat") for r in numbers) > 0
    kept = {"cat": ("NEG", "POS"), "mix": ("HOLD",)}
    texts = [r for r in rows if r["value_status"] == "category" and r["code"] != "unseen"]
    assert counts.n_other == sum(r["text_value"] not in kept.get(r["code"], ()) for r in texts) > 0


def test_two_categories_and_other_are_three_tokens() -> None:
    """NEG and POS of one data_type have tokens of their own, behind its bins, and every other text shares one."""
    row = {
        "subject_id": 1,
        "time": START,
        "code": "cat",
        "numeric_value": None,
        "available_time": START,
        "value_status": "category",
    }
    rows = [{**row, "text_value": text} for text in ("NEG", "POS", "rare", "never seen")]
    triplets, _ = to_triplets(
        pa.Table.from_pylist(rows, schema=SCHEMA), Coder.of(vocabulary("zscore")),
        PipelineConfig(name="t", source="t"), TRIPLETS,
    )  # fmt: skip
    assert triplets["value_token"].to_pylist() == [2, 3, 1, 1]


def test_edges_below_a_number_are_those_that_a_search_in_its_data_type_tells() -> None:
    """For data_types of none, one and many edges, numbers on, between and beyond them, and such that are none."""
    rng = np.random.default_rng(3)
    own = [np.unique(rng.integers(-9, 9, n)).astype(float) for n in (0, 1, 2, 30, 0, 7, 0)]
    start = np.append(0, np.cumsum([len(edges) for edges in own]))
    data_type = rng.integers(0, len(own), 2000)
    number = np.where(rng.random(2000) < 0.02, np.nan, rng.integers(-20, 20, 2000) / 2)
    number[:9] = [np.inf, -np.inf, np.nan] * 3
    below = edges_below(np.concatenate(own), start, data_type, number)
    assert below.tolist() == [int((own[i] <= x).sum()) for i, x in zip(data_type, number, strict=True)]
    assert set(below.tolist()) >= {0, 1, 7}
