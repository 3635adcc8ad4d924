"""When data_types come next: the truths against plain loops, and the cost against an integral over time."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from scipy import integrate

from tawt.batching.loader import PackedLoader
from tawt.config.batching import BatchingConfig
from tawt.dataset.reader import open_dataset
from tawt.models.decoder.later import N_SPANS, SPANS, Later, later_cost, span_of
from tawt.objectives.later import EVERY, count_rates, later_truths, rarer_types

HOUR = 3_600_000_000


@pytest.fixture
def batch(workspace):
    """Records in windows, some of which end early."""
    dataset = open_dataset(workspace)
    config = BatchingConfig(tokens_per_batch=2048, max_length=40, order="by_type", window="sliding")
    return PackedLoader(dataset.split("train"), dataset.vocabulary, config, 0).batch(0)


def test_truths_are_those_of_a_plain_search(batch):
    """Of every fourth event: hours to the next of each data_type in its document, or to the document's last event."""
    kinds = np.unique(batch.data_type[batch.bounds[0] : batch.bounds[5]]).astype(np.int64)
    at, hours, came = later_truths(batch, torch.from_numpy(kinds))
    rows = [
        row for a, b in zip(batch.bounds[:-1], batch.bounds[1:], strict=True)
        for row in range(a + EVERY - 1, b, EVERY) if not batch.is_static[row]
    ]  # fmt: skip
    assert at.tolist() == rows and came.any() and not came.all()
    for i, row in enumerate(rows):
        end = int(batch.bounds[1:][batch.document[row]])
        for j, kind in enumerate(kinds):
            later = [r for r in range(row + 1, end) if batch.data_type[r] == kind]
            until = batch.time[later[0] if later else end - 1] - batch.time[row]
            assert came[i, j] == bool(later) and hours[i, j] == pytest.approx(until / HOUR, rel=1e-6)


def test_nothing_is_asked_of_no_data_types(batch):
    """Where it is off there are no positions."""
    assert [len(x) for x in later_truths(batch, torch.zeros(0, dtype=torch.int64))] == [0, 0, 0]


@pytest.mark.parametrize("hours", [0.0, 0.4, 1.0, 7.5, 30.0, 100.0, 5000.0, 17_000.0, 20_000.0])
def test_the_cost_is_that_of_a_process_in_time(hours):
    """It is the integral of the rate up to then, less the log of the rate at which it came, rates being per span."""
    rates = torch.linspace(-3.0, 1.0, N_SPANS)
    lengths = np.diff(SPANS)

    def rate(t):
        i = [k for k, begin in enumerate(SPANS) if begin <= t][-1]
        return math.exp(rates[i]) / lengths[i] if i < N_SPANS else 0.0

    within = [s for s in SPANS if s < hours]
    edges = [*within, hours]
    total = sum(integrate.quad(rate, a + 1e-9, b - 1e-9)[0] for a, b in pairwise(edges))
    until = torch.tensor([[hours]])
    gone = later_cost(rates[None, None], until, torch.tensor([[False]])).item()
    came = later_cost(rates[None, None], until, torch.tensor([[True]])).item()
    assert gone == pytest.approx(total, rel=1e-4, abs=1e-6)
    told = math.log(rate(hours) * lengths[span_of(until)].item()) if hours < SPANS[-1] else 0.0
    assert came == pytest.approx(total - told, rel=1e-4, abs=1e-6)


def test_counted_rates_cost_least(batch):
    """Rates as they are counted are where the cost is least, but for the one that they are smoothed by."""
    kinds = torch.from_numpy(np.unique(batch.data_type)[10:20].astype(np.int64))
    truths = later_truths(batch, kinds)
    counted = count_rates([truths])
    hours, came = (torch.from_numpy(x) for x in truths[1:])
    rates = counted.clone().requires_grad_()
    later_cost(rates.expand(len(hours), -1, -1), hours, came).backward()
    many = torch.zeros_like(counted, dtype=torch.bool)
    own = (torch.nn.functional.one_hot(span_of(hours), N_SPANS) * came[..., None]).sum(0)
    many[own > 30] = True
    assert many.sum() > 3
    assert (rates.grad[many].abs() / own[many]).max() < 0.1


def test_asked_of_are_the_rarer_ones():
    """The most frequent of those below the typical share; where they are too few, the rarest of the others; in order."""
    share = torch.tensor([0.4, 0.3, 0.2, 0.05, 0.03, 0.02])
    assert rarer_types(share.log(), 2).tolist() == [2, 3]
    assert rarer_types(share.log(), 4).tolist() == [2, 3, 4, 5]
    assert rarer_types(share.log(), 5).tolist() == [1, 2, 3, 4, 5]
    assert rarer_types(share.log(), 99).tolist() == [0, 1, 2, 3, 4, 5]


def test_rates_start_at_what_was_counted_and_have_an_end():
    """A fresh head says what was counted of any state; however sure it is, none comes more than 20 times in a span."""
    counted = torch.linspace(-9, 2, 3 * N_SPANS).view(3, N_SPANS)
    head = Later(8, 3)
    head.start_at(counted)
    states, table = torch.randn(5, 8), torch.randn(3, 8)
    assert torch.allclose(head(states, table), counted.expand(5, -1, -1), atol=1e-5)
    head.bias.data.fill_(1000.0)
    assert head(states, table).exp().max() < 20.1
