"""Can it be told who was in train? Attacks give each person a score; what counts is whom they are sure of.

An AUC hides that: where one in ten was copied it is .55, and one in ten is found without an error. So the share of
members that are found while 1 in 100, or 1 in 1,000, of the others is wrongly taken for one stands beside it.

Source: Carlini et al. 2022, Membership inference attacks from first principles.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import count
from typing import Any

import numpy as np

from tawt.arrays import Bools, Floats
from tawt.contracts.cells import SMALL_CELL, few
from tawt.evaluation.measure import Metric
from tawt.evaluation.metrics import AUROC, Binary, one_class
from tawt.evaluation.resample import draws_of, intervals
from tawt.privacy.found import Found, missing
from tawt.privacy.traces import Traces

N_DRAWS = 400
RATES = {"tpr_1": 0.01, "tpr_01": 0.001}
"""Name -> share of the others that are wrongly taken for members."""
GROUPS = RAREST, CARRIERS = "rarest tenth", "carriers of the rare"
"""People who are attacked apart, for they are found first."""
_LEAST = 1e-12


def _rate_metric(name: str, rate: float) -> Metric:
    def score(outcome: Binary, weights: Floats) -> Floats:
        tp, fp = outcome.steps(weights)
        reached = np.where(fp <= rate * fp[:, -1:] + 1e-9, tp, 0).max(1)
        found: Floats = reached / tp[:, -1]
        return found

    return Metric(name, f"TPR at {100 * rate:g} % FPR", "smaller", score, one_class)


METRICS = {"auc": AUROC, **{name: _rate_metric(name, rate) for name, rate in RATES.items()}}


@dataclass(frozen=True)
class Attack:
    """How well one score tells members from others."""

    n_members: int
    n_others: int
    found: dict[str, Found]
    """`auc`, `tpr_1` and `tpr_01`."""

    def to_json(self) -> dict[str, Any]:
        """Return what may be told as JSON."""
        told = {name: one.to_json() for name, one in self.found.items()}
        return {"n_members": few(self.n_members), "n_others": few(self.n_others), **told}


def membership(members: Floats, others: Floats, n_draws: int = N_DRAWS, seed: int = 0) -> Attack:
    """Measure an attack; intervals are of draws of people, for the scores of people are their own.

    Args:
        members: `(n,)`, scores of people of train: larger = likelier a member.
        others: `(m,)`, of people who were not in train.
        n_draws: Draws of people.
        seed: Of the draws.
    """
    n, m = len(members), len(others)
    if min(n, m) <= SMALL_CELL:
        reason = f"fewer than {SMALL_CELL + 1} members or others"
        return Attack(n, m, {name: missing(reason) for name in METRICS})
    outcome = Binary(np.repeat([1, 0], [n, m]), np.concatenate([members, others]))
    there, _ = intervals([*METRICS.values()], outcome, draws_of(np.arange(n + m), n_draws, seed))
    found = {}
    for name, one in there.items():
        name = "auc" if name == AUROC.name else name
        rate = RATES.get(name)
        if rate is not None and m * rate < 1 - 1e-9:
            why = f"of fewer than {round(1 / rate):,} others {100 * rate:g} % is less than one person"
            found[name] = missing(why, m)
            continue
        assert one.value is not None
        found[name] = Found(one.value, one.low, one.high, n, None if rate is None else round(one.value * n))
    return Attack(n, m, found)


def by_distance(to_synthetic: Floats) -> Floats:
    """Return scores: who is nearer to a synthetic record is likelier a member."""
    return -to_synthetic


def by_ratio(to_synthetic: Floats, to_reference: Floats) -> Floats:
    """Return scores: who is nearer to a synthetic record than the crowd there explains is likelier a member.

    Args:
        to_synthetic: `(n,)`, distance to the nearest synthetic record.
        to_reference: `(n,)`, the same to as many real ones that were never trained on.

    Source: van Breugel et al. 2023, Membership inference attacks against synthetic data through overfitting detection.
    """
    found: Floats = np.log(np.maximum(to_reference, _LEAST)) - np.log(np.maximum(to_synthetic, _LEAST))
    return found


def by_likelihood(of_model: Floats, of_reference: Floats | None = None) -> Floats:
    """Return scores: whose record the model finds likelier than a model that never saw it, is likelier a member.

    Args:
        of_model: `(n,)`, log likelihood of each record.
        of_reference: `(n,)`, the same of a model that was trained on others; None = there is none.
    """
    return of_model if of_reference is None else of_model - of_reference


def safe_rate(n_members: int, n_others: int, rate: float, sure: float = 0.975) -> float:
    """Return the TPR that a score which knows nothing stays within, so sure: what chance makes of so few people.

    Members that lie above one more of the others than may be taken wrongly: a negative hypergeometric number.
    """
    above = math.floor(rate * n_others + 1e-9) + 1
    if above > n_others or not n_members:
        return 1.0
    log_all = _log_choose(n_members + n_others, n_members)
    total = 0.0
    for k in range(n_members + 1):
        ways = _log_choose(k + above - 1, k) + _log_choose(n_members - k + n_others - above, n_members - k)
        total += math.exp(ways - log_all)
        if total >= sure:
            return k / n_members
    return 1.0


@lru_cache(maxsize=64)
def enough_for(bound: float, rate: float, sure: float = 0.975) -> int:
    """Return of how many members, and as many others, a score that knows nothing stays within the bound, so sure.

    Args:
        bound: Above the rate.
        rate: Share of the others that are wrongly taken for members.
        sure: As of `safe_rate`.
    """
    # one more of the others may be taken wrongly from each 1 / rate people on: there chance is at its largest
    return next(n for k in count(1) if safe_rate(n := round(k / rate), n, rate, sure) <= bound)


def _log_choose(n: int, k: int) -> float:
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)


def rarity(traces: Traces, prevalence: Floats, n: int) -> Floats:
    """Return how rare what each record has is, `(s,)`: the sum of -log prevalence over its data_types.

    Args:
        traces: Of `s` records.
        prevalence: `(v,)`, shares of people who are neither members nor those that are held beside them.
        n: People that they come from; what nobody has counts as half a person.
    """
    rare = -np.log(np.maximum(prevalence, 0.5 / max(1, n)))
    record, data_type = traces.kinds()
    found: Floats = np.bincount(record, rare[data_type], minlength=traces.n).astype(np.float64)
    return found


def strata_of(members: Traces, others: Traces, reference: Traces) -> dict[str, tuple[Bools, Bools]]:
    """Return who is rare, of both sides: the rarest tenth, and carriers of what fewer than 1 in 100 have.

    Args:
        members: Of people of train.
        others: Of people who were not in train.
        reference: Of people who are neither, by whom it is said what is rare.
    """
    size = max(one.n_types for one in (members, others, reference))
    prevalence = reference.prevalence(size)
    both = [rarity(traces, prevalence, reference.n) for traces in (members, others)]
    edge = np.quantile(np.concatenate(both), 0.9)
    owner = [(one.kinds(), one.n) for one in (members, others)]
    a, b = (np.bincount(record, prevalence[data_type] < 0.01, n) > 0 for (record, data_type), n in owner)
    return {RAREST: (both[0] >= edge, both[1] >= edge), CARRIERS: (a, b)}


def in_strata(
    members: Floats, others: Floats, strata: Mapping[str, tuple[Bools, Bools]], n_draws: int = N_DRAWS
) -> dict[str, Attack]:
    """Measure an attack within groups of people, each against its own others."""
    return {name: membership(members[a], others[b], n_draws) for name, (a, b) in strata.items()}
