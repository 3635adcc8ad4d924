"""The terms of a score: their constants, the tensors that hold their strengths, and how a gap becomes each."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from tawt.config.model import DecayConfig, ModelConfig

BUCKET_MARGIN = 1e-4
"""Bucket edges lie lower by this share of a bucket, so that a gap of exactly an edge does not fall by rounding."""
NO_GAP = 1e-30
"""Stands for a gap of 0 under a logarithm."""
FIT_ROUNDS = 500


@dataclass(frozen=True)
class Terms:
    """Strengths of the terms of one layer; None = the term is off."""

    slopes: Tensor | None = None
    """`(n_heads,)`, decay."""
    buckets: Tensor | None = None
    """`(n_heads, n_buckets)`, bias of each bucket of |dt|."""
    amplitudes: Tensor | None = None
    """`(n_heads, n_frequencies)`, cosine."""
    recency: Tensor | None = None
    """`(n_heads,)`, slopes of the keys' age."""


@dataclass(frozen=True)
class GapRule:
    """What decay and bucket make of a gap: the same formula, on whole tiles and within a FlexAttention kernel."""

    linear: bool
    """Whether the fading is linear in the gap, not in its logarithm."""
    per_hour: float
    """1 / tau."""
    n_buckets: int
    scale: float
    """Buckets per unit of the gap's logarithm."""
    offset: float
    """Bucket of a gap of one hour, not rounded."""

    def fade(self, gap: Tensor) -> Tensor:
        """Gaps in hours -> what a slope multiplies."""
        return gap * self.per_hour if self.linear else torch.log1p(gap * self.per_hour)

    def bucket(self, gap: Tensor) -> Tensor:
        """Gaps in hours -> int32 bucket."""
        place = torch.log(gap.clamp_min(NO_GAP)) * self.scale + self.offset
        return place.clamp(0, self.n_buckets - 1).to(torch.int32)


def gap_rule(config: ModelConfig) -> GapRule:
    """Return the constants of decay and bucket."""
    bucket, decay = config.bucket, config.decay
    # one bucket below the shortest and one above the longest; a grid of no width is given a small one
    scale = (bucket.n_buckets - 2) / max(math.log(bucket.longest_hours / bucket.shortest_hours), 1e-3)
    offset = 1 + BUCKET_MARGIN - scale * math.log(bucket.shortest_hours)
    return GapRule(decay.shape == "linear", 1 / decay.tau_hours, bucket.n_buckets, scale, offset)


def grid(shortest_hours: float, longest_hours: float, n: int) -> Tensor:
    """Return `(n,)` float64 angular frequencies, radians per hour, of a geometric grid of wavelengths."""
    steps = torch.linspace(0.0, 1.0, n, dtype=torch.float64)
    return 2 * math.pi / (shortest_hours * (longest_hours / shortest_hours) ** steps)


def rotary_frequencies(config: ModelConfig) -> Tensor:
    """Return `(n_heads, r / 2)` float64, radians per hour, of the turned pairs of each head's dimensions.

    One grid is dealt out to the heads in turn: each spans it all, and together they leave no gap. A head alone has a
    handful of pairs, which on a grid from minutes to decades miss most lengths of time (`docs/log.md`).
    """
    rotary = config.rotary
    n_pairs = int(config.d_head * rotary.fraction) // 2
    return grid(rotary.shortest_hours, rotary.longest_hours, n_pairs * config.n_heads).view(n_pairs, config.n_heads).T


def cosine_frequencies(config: ModelConfig) -> Tensor:
    """Return `(n_frequencies,)` float64, radians per hour, of the cosine term."""
    return grid(config.cosine.shortest_hours, config.cosine.longest_hours, config.cosine.n_frequencies)


def halving(n_heads: int, steepest: float, n_free: int) -> Tensor:
    """Return `(n_heads,)` float32 slopes: halved from head to head, the last `n_free` 0.

    Source: the geometric slopes are those of ALiBi (Press et al., 2022), on time in place of position.
    """
    slopes = torch.zeros(n_heads)
    slopes[: n_heads - n_free] = steepest * 0.5 ** torch.arange(n_heads - n_free)
    return slopes


def decay_slopes(config: ModelConfig) -> Tensor:
    """Return `(n_heads,)` float32 slopes of the decay; the last heads do not fade."""
    return halving(config.n_heads, config.decay.steepest, config.decay.n_free_heads)


def recency_slopes(config: ModelConfig) -> Tensor:
    """Return `(n_heads,)` float32 slopes of the keys' age; the last of several heads does not fade."""
    return halving(config.n_heads, config.recency.steepest, int(config.n_heads > 1))


def bucket_biases(config: ModelConfig) -> Tensor:
    """Return `(n_heads, n_buckets)` float32: the decay's logarithm at each bucket's middle, as steps.

    From zero, where no gap differs from another, the table is not learned (`docs/log.md`).
    """
    bucket = config.bucket
    edges = torch.logspace(math.log10(bucket.shortest_hours), math.log10(bucket.longest_hours), bucket.n_buckets - 1)
    middle = torch.cat((torch.zeros(1), (edges[1:] * edges[:-1]).sqrt(), edges[-1:]))
    return -torch.outer(decay_slopes(config), torch.log1p(middle / config.decay.tau_hours))


def cosine_amplitudes(config: ModelConfig) -> Tensor:
    """Return `(n_heads, n_frequencies)` float32, at least 0: the sum of cosines nearest to the decay's logarithm.

    Nearest up to a constant, which a softmax does not see; scaled by each head's slope.
    """
    tau = DecayConfig().tau_hours if config.decay.shape == "linear" else config.decay.tau_hours
    frequencies = cosine_frequencies(config).numpy()
    cosine = config.cosine
    gaps = np.concatenate(([0.0], np.geomspace(cosine.shortest_hours / 10, cosine.longest_hours / 2, 200)))
    waves = np.cos(np.outer(gaps, frequencies))
    waves, wanted = waves - waves.mean(0), -np.log1p(gaps / tau)
    products, aims = waves.T @ waves, waves.T @ (wanted - wanted.mean())
    fit = np.zeros(len(frequencies))
    for _ in range(FIT_ROUNDS):  # coordinate descent: each amplitude at its best, not below 0
        for m in range(len(fit)):
            fit[m] = max(0.0, fit[m] + (aims[m] - products[m] @ fit) / products[m, m])
    return torch.outer(decay_slopes(config), torch.from_numpy(fit).float())
