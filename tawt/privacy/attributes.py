"""What can be learned of a person from somebody near him: is it more than any other real people would tell?

An attacker knows a person's most frequent data_types and quasi-identifiers, and takes the others from the nearest
synthetic records. What the nearest of as many real people who were never trained on tell as well is knowledge of
medicine, and no leak.

Source: Choi et al. 2017 (medGAN); Theodorou et al. 2023 (HALO) for the baseline.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from tawt.arrays import Bools, Floats, Ints
from tawt.chance import Salt, shuffled
from tawt.evaluation.measure import Z
from tawt.privacy.found import Found
from tawt.privacy.nearest import Matrix, nearest

N_KNOWN, N_ASKED = 100, 1000
"""Data_types that are known at most, and those that are asked."""
NEIGHBOURS = (1, 10)
Facts = tuple[Matrix, Bools]
"""What is known of `n` records, `(n, a)`, and what is asked, `(n, b)`."""
LEAST = 44
"""Records that a set has at least: a quarter of them has as many as are asked, and one more."""
_N_QUARTERS = 40


@dataclass(frozen=True)
class Gain:
    """What `k` nearest records tell of data_types that were not known."""

    k: int
    f1: float
    """From synthetic records."""
    baseline: float
    """From as many other real ones."""
    gain: Found
    """What the synthetic records tell beyond the real ones, of people of train less of others."""

    def to_json(self) -> dict[str, Any]:
        """Return what may be told as JSON."""
        return {"k": self.k, "f1": self.f1, "baseline": self.baseline, "gain": self.gain.to_json()}


def known_and_asked(prevalence: Floats) -> tuple[Ints, Ints]:
    """Return the data_types that an attacker knows, the most frequent, at most half; and those that he asks of.

    Args:
        prevalence: `(v,)`, among people who were never trained on.
    """
    often = np.argsort(-prevalence, kind="stable")
    often = often[prevalence[often] > 0]
    n = min(N_KNOWN, len(often) // 2)
    return np.sort(often[:n]), np.sort(often[n : n + N_ASKED])


def attribute_gains(
    people: Facts, others: Facts, synthetic: Facts, reference: Facts, seed: int = 0
) -> tuple[Gain, ...]:
    """Measure what is learned of people beyond what others like them tell, from one record and from ten.

    A set that is smooth, or plainly good, foretells anybody better than a single real neighbour does. So the same is
    asked of people who were not trained on, and only what is told of the trained ones beyond that is a gain.

    Who is near is chance as well: intervals come from quarters of all sets, as those of distances do.

    Args:
        people: Of those who are attacked.
        others: As many who were not trained on.
        synthetic: Of synthetic records.
        reference: Of as many real people who were never trained on.
        seed: Of the quarters.

    Returns:
        Nothing where nothing is asked, or there are too few records.
    """
    sides = people, others, synthetic, reference
    if not people[1].shape[1] or min(len(known) for known, _ in sides) < LEAST:
        return ()
    n = min(len(known) for known, _ in sides)
    whole = [_scores(people, other) for other in (synthetic, reference)]
    parts = []
    for i in range(_N_QUARTERS):
        parts.append(_gained(*(_taken(side, i, place, seed) for place, side in enumerate(sides))))
    spread = Z * np.std(parts, axis=0) / 3**0.5
    gain = _gained(people, others, synthetic, reference)
    return tuple(
        Gain(k, float(whole[0][j]), float(whole[1][j]),
             Found(float(gain[j]), float(gain[j] - spread[j]), float(gain[j] + spread[j]), n))
        for j, k in enumerate(NEIGHBOURS)
    )  # fmt: skip


def _gained(people: Facts, others: Facts, synthetic: Facts, reference: Facts) -> Floats:
    told = [_scores(of, among) for of in (people, others) for among in (synthetic, reference)]
    gained: Floats = told[0] - told[1] - (told[2] - told[3])
    return gained


def _taken(side: Facts, draw: int, place: int, seed: int) -> Facts:
    n = len(side[0])
    rows = shuffled(n, Salt.ATTRIBUTES, seed, draw, place)[: n // 4]
    return side[0][rows], side[1][rows]


def _scores(people: Facts, among: Facts) -> Floats:
    """Return the F1 of what more than half of the `k` nearest have, of all people and facts together, by `k`."""
    (known, truth), found = people, []
    near = nearest(known, among[0], max(NEIGHBOURS)).index
    votes = np.zeros(truth.shape, dtype=np.int64)
    for place in range(max(NEIGHBOURS)):
        votes += among[1][near[:, place]]
        if place + 1 in NEIGHBOURS:
            guessed = 2 * votes > place + 1
            found.append(2 * int((guessed & truth).sum()) / max(1, int(guessed.sum()) + int(truth.sum())))
    return np.array(found)
