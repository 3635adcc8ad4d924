"""All attacks on one synthetic set, made from so many people of train."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tawt.arrays import Bools, Floats
from tawt.contracts.cells import few
from tawt.privacy.attributes import Gain, attribute_gains, known_and_asked
from tawt.privacy.density import density_ratio
from tawt.privacy.distances import N_QUARTERS, distance_attacks
from tawt.privacy.found import Found, more, share
from tawt.privacy.identity import Identity, identity
from tawt.privacy.membership import Attack, by_distance, by_ratio, in_strata, membership, strata_of
from tawt.privacy.nearest import Matrix, nearest
from tawt.privacy.people import People
from tawt.privacy.traces import copies

FORMAT = "tawt.privacy/1"
"""What the JSON names as its format."""
SPACES = SUMMARIES, EMBEDDINGS = "summaries", "embeddings"
"""What distances are of."""
ATTACKS = DISTANCE, DISTANCE_RATIO, DENSITY_RATIO, LIKELIHOOD = (
    "distance", "distance ratio", "density ratio", "likelihood",
)  # fmt: skip
"""Attacks on membership."""
LONG = 20
"""Events from which on a record that is somebody's, times and values too, is so by no chance."""


@dataclass(frozen=True, eq=False)
class Assessment:
    """What attacks found."""

    n: int
    """People whom the synthetic set was learned from: a verdict without it says nothing."""
    space: str
    """One of `SPACES`."""
    sizes: dict[str, int]
    """Records of train that are attacked, test, reference and synthetic."""
    distances: dict[str, Found]
    """Of equally many records of train, test and synthetic."""
    membership: dict[str, Attack]
    """By attack."""
    strata: dict[str, dict[str, Attack]]
    """By attack and group of people."""
    copies: dict[str, Found] = field(default_factory=dict)
    """Share of near copies of train among the synthetic, the same of the test, the difference, and the share of the
    synthetic that is exactly somebody of train, values too, of any length and of `LONG` events at least."""
    real: dict[str, Found] = field(default_factory=dict)
    """The same of copies of anybody: of train, the test or the reference."""
    attributes: tuple[Gain, ...] = ()
    """By number of nearest records."""
    identity: Identity | None = None
    """Of quasi-identifiers."""
    exposure: dict[int, Found] = field(default_factory=dict)
    """Bits, by how often canaries were planted."""
    scores: dict[str, tuple[Floats, Floats]] = field(default_factory=dict)
    """Attack -> scores of members and of others: what a picture is drawn of, and nothing that is told."""

    def to_json(self) -> dict[str, Any]:
        """Return what may be told as JSON."""
        return {
            "format": FORMAT,
            "n": few(self.n),
            "space": self.space,
            "sizes": {name: few(n) for name, n in self.sizes.items()},
            "distances": _told(self.distances),
            "membership": {name: one.to_json() for name, one in self.membership.items()},
            "strata": {name: {of: one.to_json() for of, one in own.items()} for name, own in self.strata.items()},
            "copies": _told(self.copies),
            "real_people": _told(self.real),
            "attributes": [gain.to_json() for gain in self.attributes],
            "identity": self.identity and self.identity.to_json(),
            "exposure": {str(times): one.to_json() for times, one in self.exposure.items()},
        }


def _told(found: Mapping[str, Found]) -> dict[str, Any]:
    return {name: one.to_json() for name, one in found.items()}


def assess(
    train: People, test: People, synthetic: People, reference: People | None = None, n: int | None = None,
    space: str = SUMMARIES, exposure: Mapping[int, Found] | None = None, n_draws: int = N_QUARTERS, seed: int = 0,
) -> Assessment:  # fmt: skip
    """Make all attacks that the sets allow.

    Args:
        train: People whom the synthetic set was learned from, all or some.
        test: Real people of the same kind who were not.
        synthetic: What is attacked.
        reference: Other real people who were neither: what an attacker may have; None = attacks without it alone.
        n: People whom the synthetic set was learned from, where train holds some of them.
        space: One of `SPACES`.
        exposure: Of canaries, see `exposures`.
        n_draws: Quarters that intervals of distances come from.
        seed: Of draws.

    Raises:
        ContractError: Features of the sets do not fit one another.
    """
    equal = min(train.n, test.n, synthetic.n)
    same = tuple(one.first(equal, seed).features for one in (train, test, synthetic))
    scores = _scores(train, test, synthetic, reference)
    of_train, of_anybody = _copies(train, test, synthetic, reference)
    others = reference or test
    strata: dict[str, tuple[Bools, Bools]] = {}
    if train.traces and test.traces and reference and reference.traces:
        strata = strata_of(train.traces, test.traces, reference.traces)
    return Assessment(
        n=train.n if n is None else n,
        space=space,
        sizes={"train": train.n, "test": test.n, "reference": reference.n if reference else 0,
               "synthetic": synthetic.n},
        distances=distance_attacks(same[0], same[1], same[2], n_draws=n_draws, seed=seed),
        membership={name: membership(*both, seed=seed) for name, both in scores.items()},
        strata={name: in_strata(*both, strata) for name, both in scores.items()} if strata else {},
        copies=of_train,
        real=of_anybody,
        attributes=_attributes(train, test, synthetic, reference, seed),
        identity=None if train.quasi is None or synthetic.quasi is None or not synthetic.n
        else identity(synthetic.quasi, np.concatenate([one.quasi for one in (train, others) if one.quasi is not None])),
        exposure=dict(exposure or {}),
        scores=scores,
    )  # fmt: skip


def _scores(
    train: People, test: People, synthetic: People, reference: People | None
) -> dict[str, tuple[Floats, Floats]]:
    """Return the scores of members and of others by attack."""

    def near(one: Matrix, other: Matrix) -> Floats:
        return nearest(one, other).distance[:, 0]

    both = train.features, test.features
    found: dict[str, tuple[Floats, Floats]] = {}
    if synthetic.n:
        a, b = (near(one, synthetic.features) for one in both)
        found[DISTANCE] = by_distance(a), by_distance(b)
    if reference and min(reference.n, synthetic.n) > 1:
        n = min(reference.n, synthetic.n)
        own, other = synthetic.first(n).features, reference.first(n).features
        ratios = [by_ratio(near(one, own), near(one, other)) for one in both]
        found[DISTANCE_RATIO] = ratios[0], ratios[1]
        kernel = [density_ratio(one, own, other) for one in both]
        found[DENSITY_RATIO] = kernel[0], kernel[1]
    if train.likelihood is not None and test.likelihood is not None:
        found[LIKELIHOOD] = train.likelihood, test.likelihood
    return found


def _copies(
    train: People, test: People, synthetic: People, reference: People | None
) -> tuple[dict[str, Found], dict[str, Found]]:
    """Return near copies of train, and of anybody: among the synthetic, and as often as real people are alike."""
    if not (train.traces and test.traces and synthetic.traces):
        return {}, {}
    others = reference.traces if reference else None
    found = {"synthetic": copies(synthetic.traces, train.traces), "test": copies(test.traces, train.traces)}
    anybody = {
        "synthetic": found["synthetic"] | copies(synthetic.traces, test.traces),
        "test": found["test"] | copies(test.traces),
    }
    if others:
        anybody["synthetic"] |= copies(synthetic.traces, others)
        anybody["test"] |= copies(test.traces, others)
    exact = np.isin(synthetic.traces.exact, train.traces.exact)
    long = exact & (synthetic.traces.lengths >= LONG)
    of_exact = {name: share(int(one.sum()), synthetic.n) for name, one in (("exact", exact), ("verbatim", long))}
    return beside(found) | of_exact, beside(anybody)


def beside(found: Mapping[str, Bools]) -> dict[str, Found]:
    """Return shares of copies among synthetic records and among real people, the `test`, and their difference.

    Args:
        found: `(n,)` each, which are copies.
    """
    of = {name: share(int(one.sum()), len(one)) for name, one in found.items()}
    return of | {"difference": more(of["synthetic"], of["test"])}


def _attributes(
    train: People, test: People, synthetic: People, reference: People | None, seed: int
) -> tuple[Gain, ...]:
    if not (reference and reference.traces and all(one.traces for one in (train, test, synthetic))):
        return ()
    known, asked = known_and_asked(reference.traces.prevalence(reference.traces.n_types))
    n = min(reference.n, synthetic.n)

    def of(one: People) -> tuple[Matrix, Bools]:
        assert one.traces is not None and reference is not None
        facts = [one.traces.has(known).astype(np.float32)]
        if one.quasi is not None and reference.quasi is not None:
            # two answers that differ are as far apart as a data_type that one lacks
            facts += [
                (one.quasi[:, [j]] == np.unique(reference.quasi[:, j])).astype(np.float32) * np.float32(0.5**0.5)
                for j in range(reference.quasi.shape[1])
            ]
        return np.concatenate(facts, 1), one.traces.has(asked)

    equal = of(synthetic.first(n, seed)), of(reference.first(n, seed))
    return attribute_gains(of(train), of(test), *equal, seed)
