"""How long ago each data_type came, against plain loops; and that what is due is learned from it."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tawt.models.decoder.due import Due
from tawt.models.decoder.past import NEVER, last_times

HOUR = 3_600_000_000


def test_times_of_data_types_are_those_of_plain_loops():
    """Before each triplet of each document and behind its last, whatever documents lie before it; some are empty."""
    rng = np.random.default_rng(0)
    lengths = np.array([0, 7, 30, 0, 1, 12, 0])
    bounds = np.concatenate([[0], np.cumsum(lengths)])
    n = int(bounds[-1])
    kind = rng.integers(0, 9, n).astype(np.int32)
    time = np.concatenate([np.sort(rng.integers(-50, 50, m)) for m in lengths]).astype(np.int64)
    told = np.array([1, 4, 5, 8])
    before, behind = last_times(kind, time, bounds, told)
    for d in range(len(lengths)):
        for row in range(bounds[d], bounds[d + 1] + 1):
            ours = behind[d] if row == bounds[d + 1] else before[row]
            for column, one in enumerate(told):
                came = [time[i] for i in range(bounds[d], row) if kind[i] == one]
                assert ours[column] == (came[-1] if came else NEVER), (d, row, one)
    nothing = last_times(kind, time, bounds, np.zeros(0, np.int64))
    assert nothing[0].shape == (n, 0) and nothing[1].shape == (len(lengths), 0)


@pytest.mark.parametrize("by_hour", [False, True])
def test_nothing_is_due_at_the_start_and_never_is_not_long_ago(by_hour):
    """A fresh one scores 0; one that has learned tells never from a year, and from a year on all is alike, whole hours
    too."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        due, states, table = Due(8, by_hour), torch.randn(5, 8), torch.randn(3, 8)
        age = torch.tensor([[-1.0, 0.0, 8760.0]]).expand(5, 3)
        assert (due(states, table, age) == 0).all()
        for curves in due.children():
            torch.nn.init.normal_(curves.weight)
        ours = [due(states, table, torch.full((5, 3), x)) for x in (-1.0, 8760.0, 20_000.0, 0.0, 1_753_222.9)]
    assert torch.equal(ours[1], ours[2]) and torch.equal(ours[1], ours[4])
    assert all((ours[i] - ours[j]).abs().min() > 1e-3 for i, j in ((0, 1), (0, 3), (1, 3)))


@pytest.mark.parametrize("n_types", [1, 3])
def test_a_renewal_process_is_learned(n_types):
    """Of data_types that come with known chances by how long ago they came, these chances are found, for each its own."""
    rng = np.random.default_rng(1)
    age = np.exp(rng.uniform(np.log(0.1), np.log(100), (4000, n_types))).astype(np.float32)
    age[rng.random(age.shape) < 0.1] = -1
    peaks = 4.0 * 3.0 ** np.arange(n_types)
    truth = np.where(age < 0, 0.2, 0.05 + 0.9 * np.exp(-(np.log(np.maximum(age, 1e-3) / peaks) ** 2)))
    came = torch.from_numpy(rng.random(age.shape) < truth).float()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        due, states, table = Due(16), torch.randn(1, 16), torch.randn(n_types, 16)
    optimizer = torch.optim.Adam(due.parameters(), lr=0.02)
    for _ in range(150):
        score = due(states.expand(len(age), -1), table, torch.from_numpy(age))
        loss = torch.nn.functional.binary_cross_entropy_with_logits(score, came)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    asked = torch.tensor([-1.0, 0.5, 4.0, 12.0, 36.0])[:, None].expand(-1, n_types)
    with torch.no_grad():
        found = due(states.expand(5, -1), table, asked).sigmoid().numpy()
    right = np.where(
        asked.numpy() < 0, 0.2, 0.05 + 0.9 * np.exp(-(np.log(np.maximum(asked.numpy(), 1e-3) / peaks) ** 2))
    )
    # of 4,000 draws a point of the curve has some 200: two standard errors and a half are .09
    assert np.abs(found - right).max() < 0.09


def test_what_keeps_to_the_clock_is_due_after_whole_hours():
    """Of a data_type that comes after whole hours and hardly ever a few minutes before or behind, both are learned; at
    the start, and of what never came, whole hours change nothing."""
    rng = np.random.default_rng(2)
    minutes = np.where(rng.random(4000) < 0.5, rng.integers(0, 300, 4000), 60 * rng.integers(1, 5, 4000))
    truth = np.where((minutes % 60 == 0) & (minutes > 0), 0.8, 0.05)
    came = torch.from_numpy(rng.random(4000) < truth).float()[:, None]
    age = torch.from_numpy((minutes / 60).astype(np.float32))[:, None]
    asked = torch.tensor([0.0, 58 / 60, 1.0, 62 / 60, 3.0, 3.1, -1.0])[:, None]
    found = {}
    for by_hour in (True, False):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            due, states, table = Due(16, by_hour), torch.randn(1, 16), torch.randn(1, 16)
        assert (due(states.expand(7, -1), table, asked) == 0).all()
        optimizer = torch.optim.Adam(due.parameters(), lr=0.02)
        for _ in range(150):
            score = due(states.expand(len(age), -1), table, age)
            loss = torch.nn.functional.binary_cross_entropy_with_logits(score, came)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        with torch.no_grad():
            found[by_hour] = due(states.expand(7, -1), table, asked).sigmoid()[:, 0].numpy()
    right = np.array([0.05, 0.05, 0.8, 0.05, 0.8, 0.05])
    assert np.abs(found[True][:-1] - right).max() < 0.12 and found[True][-1] == pytest.approx(0.5, abs=0.05)
    assert np.abs(found[False][:-1] - right).max() > 0.4  # a curve alone cannot say both
