"""The three estimators against the exact chance, of a decoder whose records are a chain that can be summed up."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from tawt.config.model import ModelConfig
from tawt.config.next_event import NextConfig
from tawt.dataset.vocabulary import read_vocabulary
from tawt.models.decoder.heads import NextHeads
from tawt.models.encoder import Encoder
from tawt.risks.simulate import METHODS, Question, Simulation, simulate
from tawt.synthesis.rollout import from_nothing

HOUR = 3_600_000_000
ENDS, OUTCOME = 7, 8
SHARE = np.array([0, 0, 0, 0, 0.4, 0.2, 0.2, 0.1, 0.1])
"""Of each data_type, among those of a later moment; within a moment, of those from the last one on."""
END, SAME, LATER = 0.15, 0.35, 0.5
N = 600


@pytest.fixture(scope="module")
def decoder(tmp_path_factory, shards):
    """One that knows shares alone: a moment each hour, on the hour, that has some data_types, and at times an end."""
    folder = tmp_path_factory.mktemp("chain")
    shards.write_vocabulary(folder, n_types=5)
    vocabulary = read_vocabulary(folder / "vocabulary" / "vocabulary.parquet")
    config = ModelConfig(d_model=8, n_layers=1, n_heads=1, d_ffn=8, causal=True, time=("delta",))
    encoder, heads = Encoder(config, vocabulary).eval(), NextHeads(config, NextConfig(n_gaps=1), vocabulary).eval()
    with torch.no_grad(), np.errstate(divide="ignore"):
        heads.step_bias.copy_(torch.tensor([END, 1e-13, SAME, LATER]).log().expand(2, 4))
        heads.what.type_bias.copy_(torch.from_numpy(np.maximum(np.log(SHARE), -30)))
        heads.gap.bias.copy_(torch.tensor([0.0, 0.0, -20.0]))
        heads.resolution.fill_(0.1)
    return SimpleNamespace(encoder=encoder, heads=heads, vocabulary=vocabulary)


def chance(hours, ends):
    """The chance that the outcome comes, hour by hour backwards, from nothing and the moment before any."""
    kinds = range(4, len(SHARE))

    def one(first, further):
        """What an event from a data_type on brings: the outcome, or what `further` says of the data_type that it is."""
        total = SHARE[first:].sum()
        return sum(SHARE[j] / total * (1.0 if j == OUTCOME else further[j]) for j in kinds if j >= first)

    def of_moment(later, over):
        """Of each data_type that came last; `later`: what a later moment brings; `over`: of those that had their end."""
        worth = {}
        for k in reversed(kinds):
            # the same data_type may come once more, which is as it was
            ahead = {j: over[j] if over is not None and j == ends else worth.get(j, 0.0) for j in kinds}
            total = SHARE[k:].sum()
            again = 0.0 if k == OUTCOME or (over is not None and k == ends) else SAME * SHARE[k] / total
            worth[k] = (LATER * later + SAME * (one(k, ahead | ({k: 0.0} if again else {})))) / (1 - again)
        return worth

    over = of_moment(0.0, None) if ends is not None else None  # within the moment of what ends the window, no later one
    later = 0.0
    for _ in range(hours):
        later = one(4, of_moment(later, over) if over is None else of_moment(later, over) | {ends: over[ends]})
    # the first event, which can be none of the moment that records were asked about in
    return LATER / (LATER + END) * later


@pytest.mark.parametrize("ends", [None, ENDS], ids=["to the end", "to what ends the window"])
@pytest.mark.parametrize("hours", [1, 4, 200])
def test_each_estimator_is_the_exact_chance(decoder, hours, ends):
    """Within four standard errors of it, up to a horizon, to the record's end, or to the first event that ends the window."""
    outcome = torch.arange(len(SHARE)) == OUTCOME
    question = Question(
        outcome,
        np.full(2, hours * HOUR) if hours < 100 else None,
        None if ends is None else torch.arange(len(SHARE)) == ends,
    )
    found = simulate(decoder, from_nothing(np.array([0, 9 * HOUR])), question, Simulation(N, seed=3, most=400))
    exact = chance(hours, ends)
    for method in METHODS:
        each = found.each[method]
        assert found.complete[method].all()
        assert each.mean() == pytest.approx(exact, abs=4 * each.std() / (2 * N) ** 0.5 + 1e-6), method
    assert 0.03 < exact < 0.5 and found.each["M2"].std() < found.each["M0"].std()
