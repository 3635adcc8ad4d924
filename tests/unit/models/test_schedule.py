"""What the minutes of a record's moments say of those to come, against plain loops."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tawt.models.decoder.schedule import AGO, N_MARKS, Schedule


@pytest.fixture
def moments():
    """Documents and minutes of some moments: by the clock, by the quarter, at random, one alone, before 1970, twice a minute."""
    rng = np.random.default_rng(3)
    records = [
        7 + 60 * np.arange(9), -1_000 + 15 * np.arange(30), np.sort(rng.integers(0, 900, 40)), np.array([41]),
        30_000_000 + np.cumsum(rng.choice([30, 60, 90, 1], 25)), np.array([3, 3, 63, 124, 124]),
    ]  # fmt: skip
    return np.concatenate([np.full(len(x), i) for i, x in enumerate(records)]), np.concatenate(records)


def plainly(minutes, now):
    """Marks of one record that had moments at some minutes."""
    out = np.zeros((60, N_MARKS))
    for q in range(60):
        ahead = next(t for t in range(now + 1, now + 61) if t % 60 == q)
        share = np.mean([t % 60 == q for t in minutes]) if len(minutes) else 0.0
        out[q, 0] = np.log(share / 0.003 + 1)
        for i, ago in enumerate(AGO):
            out[q, 1 + i] = ahead - ago in minutes
    return out


def test_marks_are_those_of_plain_loops(moments):
    """Of each moment of each record, whatever records lie before it."""
    document, minute = moments
    ours = Schedule.of_moments(document, minute).marks(torch.from_numpy(minute)).numpy()
    for i in range(len(minute)):
        before = minute[: i + 1][document[: i + 1] == document[i]].tolist()
        assert ours[i] == pytest.approx(plainly(before, int(minute[i])), abs=1e-6), (i, before)


def test_marks_hold_at_a_later_minute(moments):
    """Records that are asked about hours after their last moment have the marks of then."""
    document, minute = moments
    known = Schedule.known(8, document, minute)
    now = np.array([minute[document == i].max() + 17 + 31 * i if i < 6 else 500 + i for i in range(8)])
    ours = known.marks(torch.from_numpy(now)).numpy()
    for i in range(8):
        assert ours[i] == pytest.approx(plainly(minute[document == i].tolist(), int(now[i])), abs=1e-6)


def test_a_schedule_grows_by_a_moment_at_a_time(moments):
    """Told of one moment after the other, records have the schedule that they have when all are told at once."""
    document, minute = moments
    grown, whole = Schedule.none(6), Schedule.known(6, document, minute)
    for k in range(max(np.bincount(document))):
        own = [minute[document == i] for i in range(6)]
        there = torch.tensor([k < len(x) for x in own])
        grown = grown.then(torch.tensor([int(x[min(k, len(x) - 1)]) for x in own]), there)
    for ours, theirs in ((grown.last, whole.last), (grown.before, whole.before), (grown.count, whole.count)):
        assert torch.equal(ours, theirs)
