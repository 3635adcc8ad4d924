"""May a synthetic set be handed on? Gates, each with what it found, its bound, and whether so few people can tell.

A gate passes only where a leak that its bound names would have been seen: where its interval lies within the bound, or
the half of it is not wider than the way from what a safe set gives to the bound. It fails where it is beyond the bound,
and chance alone does not make that of a safe set. Else it cannot tell, and says how many people would be enough.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np
from rich.table import Table as RichTable

from tawt.contracts.cells import few
from tawt.contracts.synthetic import Outcome
from tawt.errors import ConfigError, closest, nearest
from tawt.evaluation.measure import wilson
from tawt.privacy.attributes import NEIGHBOURS
from tawt.privacy.canaries import BY_CHANCE
from tawt.privacy.found import Found, missing, more
from tawt.privacy.membership import GROUPS, RATES, Attack, enough_for, safe_rate
from tawt.privacy.suite import ATTACKS, DISTANCE_RATIO, FORMAT, LIKELIHOOD, SPACES, Assessment

TPR, NNAAR, NNDR, GAIN, BITS = 0.02, 0.03, 0.5, 0.02, BY_CHANCE + 1
"""Bounds: of the TPR at 1 % FPR, of NNAAR, of the ratio of both NNDR, of what attributes gain, of exposure."""
OF_DISTANCES = DCR_GATE, NNDR_GATE, NNAAR_GATE = "DCR share", "NNDR to train / to test, 5th percentile", "NNAAR"
"""Gates that each space has."""
NEAR_COPIES, REAL_PEOPLE, VERBATIM = "near copies", "real people", "verbatim copies"
"""Gates of those who are somebody of train, and somebody of the workspace, in train or not; and of those who are
somebody of train to the last value, of whom one is too many."""
ATTRIBUTES_GATE, CANARIES_GATE = "attributes from the nearest", "exposure of canaries, bits"
_DCR, _COPIES = 0.05, 0.01
"""What is to be seen: a DCR share so far from .5, as where a tenth was copied, and so large a share of near copies."""
_SURE, _SURE_OF_GROUPS = 0.999, 0.9999
"""How sure it is to be that a TPR is no chance: several attacks, and more in groups, each have one."""
_WIDER = 3.09 / 1.96
"""How much wider than that of 95 % an interval is that leaves out chance in 999 of 1,000 safe sets: ten gates that
each refuse a fortieth would refuse every fifth."""
_MOST_PEOPLE = 1 << 24
_NO_TIMES = "what came when is not known"
_REFERENCE = "there are no other real people as a reference"


@dataclass(frozen=True)
class Gate:
    """One question, and its answer."""

    name: str
    found: Found
    bound: float
    is_least: bool
    """Whether the bound is the least that passes; else the most."""
    outcome: Outcome
    n: int
    """People on each side that the answer rests on; records, of near copies, and canaries, of exposure."""
    enough: int | None = None
    """How many would be enough, about, where so few cannot tell."""

    @property
    def is_told(self) -> bool:
        """Whether what was found may be told; if not, no other number here may hang on it."""
        return self.found.told().value is not None

    @property
    def bound_text(self) -> str:
        """The bound in words."""
        return f"{'at least' if self.is_least else 'at most'} {self.bound:.3g}"

    @property
    def outcome_text(self) -> str:
        """The outcome, and how many would be enough where so few cannot tell."""
        return self.outcome + (f", {self.enough:,} would be enough" if self.enough else "")

    def to_json(self) -> dict[str, Any]:
        """Return what may be told as JSON."""
        bound = {"at_least" if self.is_least else "at_most": self.bound}
        told = {name: value for name, value in self.found.to_json().items() if name != "n"}
        return {"name": self.name, **told, **bound, "n": few(self.n), "outcome": self.outcome, "enough": self.enough}


@dataclass(frozen=True)
class SetVerdict:
    """What all gates say of a set that was learned from `n` people."""

    n: int
    """A verdict without it says nothing: of few people much is remembered, of many little."""
    gates: tuple[Gate, ...]
    not_made: tuple[str, ...]
    """Attacks that were not made, for what they need was not given."""

    @property
    def outcome(self) -> Outcome:
        """The worst of the gates."""
        outcomes = {gate.outcome for gate in self.gates}
        return "failed" if "failed" in outcomes else "cannot tell" if "cannot tell" in outcomes else "passed"

    @property
    def failed(self) -> tuple[str, ...]:
        """Names of the gates that failed."""
        return tuple(gate.name for gate in self.gates if gate.outcome == "failed")

    def to_json(self) -> dict[str, Any]:
        """Return what may be told as JSON."""
        gates = [gate.to_json() for gate in self.gates]
        return {"format": FORMAT, "outcome": self.outcome, "n": few(self.n), "gates": gates,
                "not_made": list(self.not_made)}  # fmt: skip

    def render(self) -> RichTable:
        """Return a table with a row a gate."""
        table = RichTable(title=f"{self.outcome}, learned from {few(self.n)} people")
        for name in ("gate", "found", "bound", "n", "outcome"):
            table.add_column(name, overflow="fold")
        for gate in self.gates:
            table.add_row(gate.name, gate.found.text(), gate.bound_text, few(gate.n), gate.outcome_text)
        return table


def membership_gate(attack: str) -> str:
    """Return the name of the gate of an attack on membership."""
    return f"membership by {attack}"


@cache
def gate_names() -> tuple[str, ...]:
    """Return all names that gates have; of a set in one space alone no space is named."""
    of_members = [membership_gate(name) for name in ATTACKS]
    spaces, groups = ["", *(f", {one}" for one in SPACES)], ["", *(f", {one}" for one in GROUPS)]
    return (
        *(name + space for name in OF_DISTANCES for space in spaces), NEAR_COPIES, REAL_PEOPLE, VERBATIM,
        *(name + space + group for name in of_members for space in spaces for group in groups),
        ATTRIBUTES_GATE, *(f"{ATTRIBUTES_GATE} {k}" for k in NEIGHBOURS), CANARIES_GATE,
    )  # fmt: skip


def hold_gates(names: Iterable[str]) -> None:
    """Hold that gates are there.

    Raises:
        ConfigError: One is not.
    """
    known = gate_names()
    for name in names:
        if name not in known:
            raise ConfigError(
                f"--publish-anyway {name}",
                "is no gate, expected one of those that `tawt assess` tells",
                closest(name, known) or nearest(name, (one for one in known if one.count(",") < 1)),
            )


def verdict(assessments: Assessment | Sequence[Assessment]) -> SetVerdict:
    """Hold what attacks found to the bounds.

    Args:
        assessments: Of one synthetic set; of several spaces in which distances are measured, all have to pass.
    """
    several = [assessments] if isinstance(assessments, Assessment) else [*assessments]
    gates = [gate for i, one in enumerate(several) for gate in _gates(one, i == 0, len(several) > 1)]
    made = {name for one in several for name in one.membership}
    not_made = [] if LIKELIHOOD in made else [membership_gate(LIKELIHOOD)]
    if not any(one.exposure for one in several):
        not_made.append("exposure of canaries")
    return SetVerdict(several[0].n, tuple(gates), tuple(not_made))


def _gates(one: Assessment, is_first: bool, is_named: bool) -> Iterable[Gate]:
    """Give all gates of one assessment; what hangs on no distance of its space, of the first alone."""
    space = f", {one.space}" if is_named else ""
    none = missing("too few records")
    n = min(one.sizes[name] for name in ("train", "test", "synthetic"))
    of = {name: one.distances.get(name, none) for name in ("dcr_share", "nndr_ratio", "nnaar")}
    yield gate(f"{DCR_GATE}{space}", of["dcr_share"], 0.5, 0.5, n, margin=_DCR)
    yield gate(f"{NNDR_GATE}{space}", of["nndr_ratio"], NNDR, 1, n)
    yield gate(f"{NNAAR_GATE}{space}", of["nnaar"], NNAAR, 0, n)
    for name, attack in one.membership.items():
        if is_first or name != LIKELIHOOD:
            yield _tpr(f"{membership_gate(name)}{space}", attack)
            groups = ((of, _tpr(f"{membership_gate(name)}{space}, {of}", own, _SURE_OF_GROUPS))
                      for of, own in one.strata.get(name, {}).items())  # fmt: skip
            yield from (gate for _, gate in groups if gate.outcome != "cannot tell")
    if not one.sizes["reference"]:
        yield gate(f"{membership_gate(DISTANCE_RATIO)}{space}", missing(_REFERENCE), TPR, RATES["tpr_1"], n)
    if not is_first:
        return
    for name, found in ((NEAR_COPIES, one.copies), (REAL_PEOPLE, one.real)):
        yield gate_of_copies(name, found, n)
    yield gate_of_verbatim(one.copies.get("verbatim", missing(_NO_TIMES)), one.sizes["synthetic"])
    left = "there are too few people, or nothing to ask of them that an attacker would not know already"
    reason = left if one.sizes["reference"] else _REFERENCE
    for gain in one.attributes:
        yield gate(f"{ATTRIBUTES_GATE} {gain.k}", gain.gain, GAIN, 0, gain.gain.n)
    if not one.attributes:
        yield gate(ATTRIBUTES_GATE, missing(reason), GAIN, 0, n)
    if 1 in one.exposure:
        yield gate(CANARIES_GATE, one.exposure[1], BITS, BY_CHANCE, one.exposure[1].n)


def gate_of_copies(name: str, found: Mapping[str, Found], n: int) -> Gate:
    """Hold how many more copies there are of people than people are of one another; see `gate` and `beside`."""

    def held(difference: Found, n: int) -> Gate:
        return gate(name, difference, 0, 0, n, margin=_COPIES)

    said = held(found.get("difference", missing(_NO_TIMES)), n)
    if said.enough is None:
        return said
    # where hardly any are copies, chance shrinks with the number of people, and not with its root
    shares = [found[of].value or 0 for of in ("synthetic", "test")] if said.is_told else [0, 0]

    def tells(n: int) -> bool:
        return held(more(*(_of_so_many(one, n) for one in shares)), n).outcome != "cannot tell"

    return replace(said, enough=_rounded_up(bisect_left(range(1, _MOST_PEOPLE), True, key=tells) + 1))


def gate_of_verbatim(found: Found, n: int) -> Gate:
    """Refuse a set in which one long record is somebody's, times and values too: that is no chance."""
    outcome: Outcome = "cannot tell" if found.value is None else "failed" if found.value > 0 else "passed"
    return Gate(VERBATIM, found, 0, False, outcome, n)


def _of_so_many(share: float, n: int) -> Found:
    low, high = (float(end) for end in wilson(np.array(share), np.array(n)))
    return Found(share, low, high, n)


def gate(name: str, found: Found, bound: float, safe: float, n: int, margin: float | None = None) -> Gate:
    """Hold a number to its bound.

    Args:
        name: What is asked.
        found: What was found.
        bound: From where on it is a leak.
        safe: What a set gives that learned nothing of anybody.
        n: People on each side.
        margin: What is to be seen; None = the way from safe to the bound.
    """
    is_least = bound < safe
    if found.value is None or found.low is None or found.high is None:
        return Gate(name, found, bound, is_least, "cannot tell", n)
    margin = abs(bound - safe) if margin is None else margin
    side = -1 if is_least else 1
    good, bad = (found.high, found.low) if is_least else (found.low, found.high)
    beyond, sure = side * (found.value - bound) > 0, side * (found.value - safe) > _WIDER * abs(good - found.value)
    half = abs(bad - found.value)
    if beyond and sure:
        return Gate(name, found, bound, is_least, "failed", n)
    near = not beyond or (bound == safe and side * (found.value - safe) <= margin)
    if near and (half <= margin or side * (bad - bound) <= 0):
        return Gate(name, found, bound, is_least, "passed", n)
    wider = max(half, abs(good - found.value)) / margin
    if not near and not found.is_few:
        wider = max(wider, _WIDER * abs(good - found.value) / abs(found.value - safe))
    return Gate(name, found, bound, is_least, "cannot tell", n, _rounded_up(n * wider**2))


def _tpr(name: str, attack: Attack, sure: float = _SURE) -> Gate:
    """Hold the TPR at 1 % FPR to its bound by what chance alone makes of so many people, exactly."""
    found, n, m = attack.found["tpr_1"], attack.n_members, attack.n_others
    of = min(n, m)
    enough = enough_for(TPR, RATES["tpr_1"])
    if found.value is None:
        return Gate(name, found, TPR, False, "cannot tell", of, enough)
    chance = safe_rate(n, m, RATES["tpr_1"], sure)
    if found.value > max(TPR, chance):
        return Gate(name, found, TPR, False, "failed", of)
    if found.value <= TPR and safe_rate(n, m, RATES["tpr_1"]) <= TPR:
        return Gate(name, found, TPR, False, "passed", of)
    # of few who are found it is not told how many: what would be enough is that of the least that is beyond
    beyond = (math.floor(TPR * n) + 1) / n if found.is_few else found.value
    if beyond > TPR:
        enough = max(enough, enough_for(round(beyond, 3) + 0.001, RATES["tpr_1"], sure))
    return Gate(name, found, TPR, False, "cannot tell", of, enough)


def _rounded_up(n: float) -> int:
    step = 10 ** max(0, math.floor(math.log10(max(n, 1))) - 1)
    return math.ceil(n / step) * step
