"""Attacks on a synthetic set, in every space that is given, beside those on controls, and over the number of people."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from tawt.arrays import Floats, Ints
from tawt.assessment.sides import Sides, control, quasi_types
from tawt.contracts.synthetic import GateVerdict
from tawt.dataset.records import Cohort, OfSplit
from tawt.dataset.vocabulary import Vocabulary
from tawt.fidelity.summaries import Matrix, summary_of
from tawt.privacy.curve import Curve, attacked, curve, fitted
from tawt.privacy.found import missing
from tawt.privacy.people import People, people_of
from tawt.privacy.suite import SUMMARIES, Assessment, assess
from tawt.privacy.traces import ALIKE
from tawt.privacy.verdict import Gate, SetVerdict, verdict

Describe = Callable[[Cohort], Matrix]
"""Records -> features `(n, d)`."""
_LEAST, _MOST_POINTS, _FEW_DRAWS = 50, 5, 30


@dataclass(frozen=True, eq=False)
class Privacy:
    """What attacks say."""

    verdict: SetVerdict
    """Of the set, by all spaces."""
    assessments: tuple[Assessment, ...]
    """A space each, summaries first."""
    controls: Mapping[str, SetVerdict]
    """Of sets that are known to be safe, or not, in summaries."""
    curves: Mapping[str, Curve]
    """Over the number of people, by what was attacked."""

    @property
    def exact(self) -> str:
        """How many of the set are somebody of train with all values, short records too, of which the gate of verbatim
        copies asks nothing, and what no gate of copies looks for, in words."""
        found = self.assessments[0].copies.get("exact", missing("what came when is not known"))
        return (
            f"Records that are one of train, times and values too: {found.text()}. A record that shares fewer than "
            f"{ALIKE:.0%} of the events of the longer with somebody is no near copy, and may still be his."
        )

    def to_json(self) -> dict[str, Any]:
        """Return what may be told as JSON."""
        return {
            "verdict": self.verdict.to_json(),
            "spaces": [one.to_json() for one in self.assessments],
            "controls": {name: one.to_json() for name, one in self.controls.items()},
            "curves": {name: one.to_json() for name, one in self.curves.items()},
        }


@dataclass(frozen=True, eq=False)
class Attacked:
    """Sets as attackers see them, in summaries."""

    sides: Sides
    train: People
    test: People
    reference: People
    synthetic: People
    describe: Describe
    """By the scale of the reference."""
    quasi: tuple[int, ...]
    """Data_types that somebody may know of a person."""
    n: int
    """People whom the set was learned from."""

    def people(self, cohort: Cohort) -> People:
        """Return others as attackers see them."""
        return people_of(cohort, self.describe, self.quasi)


def seen(sides: Sides, synthetic: Cohort, n: int | None = None) -> Attacked:
    """Go through all sets once.

    Args:
        sides: Real people.
        synthetic: What is attacked.
        n: People whom it was learned from; None = all of train.
    """
    describe = summary_of(sides.reference).of
    quasi = tuple(quasi_types(sides.reference).tolist())

    def own(cohort: Cohort) -> People:
        return people_of(cohort, describe, quasi)

    return Attacked(
        sides, own(sides.train), own(sides.test), own(sides.reference), own(synthetic), describe, quasi,
        sides.n_train if n is None else n,
    )  # fmt: skip


def privacy(
    sets: Attacked,
    synthetic: Cohort,
    spaces: Mapping[str, Describe] | None = None,
    likelihoods: tuple[Floats, Floats] | None = None,
    controls: Mapping[str, Cohort] | None = None,
    curves: Mapping[str, Curve] | None = None,
    seed: int = 0,
) -> Privacy:
    """Make all attacks.

    Args:
        sets: As attackers see them.
        synthetic: What is attacked.
        spaces: Further spaces that distances are measured in, by name.
        likelihoods: Scores of train and of the test; see `by_likelihood`.
        controls: Sets that are known to be safe, or not.
        curves: Over the number of people.
        seed: Of draws.
    """
    train, test, reference = sets.train, sets.test, sets.reference
    if likelihoods is not None:
        train, test = replace(train, likelihood=likelihoods[0]), replace(test, likelihood=likelihoods[1])
    found = [assess(train, test, sets.synthetic, reference, sets.n, SUMMARIES, seed=seed)]
    for name, describe in (spaces or {}).items():
        sides = sets.sides
        a, b, c, d = (People(describe(one)) for one in (sides.train, sides.test, synthetic, sides.reference))
        found.append(assess(a, b, c, d, sets.n, name, seed=seed))
    of_controls = {
        name: verdict(assess(train, test, sets.people(cohort), reference, sets.n, n_draws=_FEW_DRAWS, seed=seed))
        for name, cohort in (controls or {}).items()
    }
    return Privacy(verdict(found), tuple(found), of_controls, dict(curves or {}))


def sizes_to(n: int) -> list[int]:
    """Return numbers of people up to `n`, each twice the one before."""
    found = [n // 2**i for i in range(_MOST_POINTS) if n // 2**i >= _LEAST]
    return found[::-1] or [n] * (n > 0)


def over_people(sets: Attacked, refitted: Sequence[str], vocabulary: Vocabulary, seed: int = 0) -> dict[str, Curve]:
    """Attack the set with more and more people, and controls that learned from more and more of them.

    Args:
        sets: As attackers see them.
        refitted: Names of controls.
        vocabulary: Of their dataset.
        seed: Of draws.
    """
    train, test, reference = sets.train, sets.test, sets.reference
    most = min(train.n, test.n)
    if not most:
        return {}
    how: dict[str, Any] = {"reference": reference, "n_draws": _FEW_DRAWS, "seed": seed}
    found = {"the set, so many attacked": attacked(train, test, sets.synthetic, sizes_to(most), **how)}
    for name in refitted:

        def fit(own: Ints, name: str = name) -> People:
            of = OfSplit(sets.sides.train.split, sets.sides.train.subjects[own])
            return sets.people(control(name, of, len(own), vocabulary, seed))

        pairs = fitted(fit, train, sizes_to(train.n), seed)
        found[f"{name}, learned from so many"] = curve(pairs, test, **how)
    return found


def gates(said: SetVerdict) -> list[GateVerdict]:
    """Return what travels with a set: each gate by its name, and what it found in words."""
    return [GateVerdict(gate.name, gate.outcome, in_words(gate, said)) for gate in said.gates]


def in_words(gate: Gate, said: SetVerdict) -> str:
    """Return what a gate found, in a line that may be told."""
    own = gate.to_json()
    enough = f"; {gate.enough:,} people would be enough" if gate.enough else ""
    return f"{gate.outcome}: {gate.found.text()}, expected {gate.bound_text}; of {own['n']} people on each side{enough}"
