"""Records as rows of numbers, against a plain reading of each record."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from tawt.dataset.records import Records
from tawt.fidelity import pieces as pieces_module
from tawt.fidelity.summaries import summary_of
from tests import toy

HOUR = 3_600_000_000


def plain(records: Records, i: int, name: str) -> float:
    """One feature of one record, by its name."""
    own = records.take(np.array([i]))
    rows = list(zip(own.data_type, own.time, own.value, own.value_token, own.value_status, own.is_static, strict=True))
    what, _, which = name.partition(":")
    when = sorted({int(row[1]) for row in rows if not row[5]})
    gaps = [np.log1p((b - a) / HOUR) for a, b in pairwise(when)]
    if not which:
        span = np.log1p((when[-1] - when[0]) / HOUR) if when else 0
        of_gaps = (np.mean(gaps), np.std(gaps)) if gaps else (np.nan, np.nan)
        of = dict(
            zip(
                ("events", "moments", "span", "gap", "gap_spread"),
                (np.log1p(len(rows)), np.log1p(len(when)), span, *of_gaps),
                strict=True,
            )
        )
        return of[what]
    mine = [row for row in rows if row[0] == int(what)]
    numbers = [row for row in mine if row[4] in (1, 7, 8)]
    if which == "count":
        return np.log1p(len(mine))
    if which == "mean":
        return np.mean([row[2] for row in numbers]) if numbers else np.nan
    if which == "last":
        return np.mean([row[2] for row in numbers if row[1] == numbers[-1][1]]) if numbers else np.nan
    token = int(which.removeprefix("category "))
    return np.mean([row[3] == token and row[4] == 2 for row in mine]) if mine else np.nan


def test_each_feature_is_what_a_plain_reading_finds():
    """Counts, means, last values, shares of categories and times, NaN where a record has none."""
    records = toy.mixed(60, 1)
    summary = summary_of(records)
    found, names = summary.raw(records), summary.names()
    expected = [[plain(records, i, name) for name in names] for i in range(60)]
    assert np.allclose(found, expected, atol=1e-4, equal_nan=True)
    kinds = {name.partition(":")[2].partition(" ")[0] for name in names}
    assert kinds == {"", "count", "mean", "last", "category"} and np.isnan(found).any() and found.shape[1] == len(names)


def test_the_reference_has_mean_0_and_spread_1_and_another_set_keeps_its_own():
    """Both are on the scale of the reference; what a record lacks is 0, and nothing is beyond 10."""
    records = toy.mixed(200, 1)
    summary = summary_of(records)
    found, raw = summary.of(records), summary.raw(records)
    known = ~np.isnan(raw)
    varies = np.nanstd(raw, 0) > 1e-6
    assert np.allclose(found.sum(0) / known.sum(0), 0, atol=1e-3) and (found[~known] == 0).all()
    spread = np.sqrt((found.astype(float) ** 2).sum(0) / known.sum(0))
    assert np.allclose(spread[varies], 1, atol=0.02)
    longer = toy.mixed(200, 2, days=4000)
    assert summary.of(longer)[:, -2].mean() > 3 and np.abs(summary.of(longer)).max() <= 10


def test_features_are_of_the_most_frequent_data_types():
    """By how many subjects have them, not by how often one of them has one."""
    records = toy.mixed(50, 3)
    few = records.keep((records.data_type != 11) | (records.subject < 3))
    assert 11 in summary_of(records).types and 11 not in summary_of(few, most_types=7).types
    assert len(summary_of(records, most_categories=3).categories) == 3


@pytest.mark.parametrize("rows", [1, 50])
def test_pieces_say_what_the_whole_says(rows, monkeypatch):
    """A record at a time or some."""
    records = toy.mixed(60, 1)
    summary = summary_of(records)
    whole = summary.of(records)
    monkeypatch.setattr(pieces_module, "ROWS", rows)
    assert len([*pieces_module.pieces(records)]) > 10
    again = summary_of(records)
    assert np.array_equal(again.of(records), whole) and np.allclose(again.mean, summary.mean)
