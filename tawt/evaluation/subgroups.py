"""Metrics of groups of subjects, in which small cells are withheld, and what would tell them by a difference too."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from tawt.arrays import Ints
from tawt.contracts.cells import SMALL_CELL
from tawt.errors import ContractError
from tawt.evaluation.measure import Metric, Outcome
from tawt.evaluation.resample import Draws, Interval, intervals
from tawt.evaluation.withheld import DIFFERENCE, FEW, has_small_cell, n_subjects, withheld, without

RARE_GROUPS = f"groups of fewer than {SMALL_CELL + 1} subjects"
"""Stands for all of those: a name can be what somebody wrote."""


@dataclass(frozen=True)
class Subgroup:
    """One group of one attribute."""

    name: str
    """Of the group."""
    n_subjects: int | None
    """How many subjects have a row in it; None where it is withheld."""
    metrics: dict[str, Interval]
    """By the metric's name; all without a number where it is withheld."""
    withheld: str | None
    """Why it is."""


def by_group(
    metrics: Sequence[Metric], outcome: Outcome, draws: Draws, group: ArrayLike, level: float = 0.95
) -> list[Subgroup]:
    """Measure the groups of one attribute, with the same draws of subjects for all.

    Groups of 1 to 10 subjects are one group without their names. A group is withheld where it has 1 to 10 subjects,
    or where 1 to 10 of its subjects had an outcome, or had not. If all that is withheld is one group, or 1 to 10
    subjects, the smallest of the others is withheld too, for the whole less what is shown would tell it. Attributes are
    judged one by one: what several of them tell together is not held.

    Args:
        metrics: Of the outcome's kind.
        outcome: Of `n` rows.
        draws: Of the subjects of these rows.
        group: `(n,)`, the name of each row's group.
        level: Share of draws within an interval.

    Returns:
        The groups by name.

    Raises:
        ContractError: There is not one group for each row.
    """
    names = np.asarray(group).astype(object)
    if names.shape != (outcome.n_rows,):
        raise ContractError("group", f"is {names.shape}, expected ({outcome.n_rows},), one for each row")
    rare = [name for name in {*names.tolist()} if n_subjects(draws.subject, names == name) <= SMALL_CELL]
    names[np.isin(names, rare)] = RARE_GROUPS
    found, number = np.unique(names.astype(str), return_inverse=True)
    sizes = np.array([n_subjects(draws.subject, number == i) for i in range(len(found))], dtype=np.int64)
    reasons = _withheld(sizes, [has_small_cell(outcome, draws.subject, number == i) for i in range(len(found))])
    out = []
    for i, name in enumerate(found.tolist()):
        if (reason := reasons[i]) is not None:
            out.append(Subgroup(name, None, {metric.name: without(reason) for metric in metrics}, reason))
            continue
        own = Draws(draws.subject, draws.n_subjects, draws.base * (number == i), draws.n_draws, draws.seed)
        held = withheld([metric.name for metric in metrics], outcome, draws.subject, number == i)
        measured = intervals(metrics, outcome, own, level)[0] | {one: without(why) for one, why in held.items()}
        out.append(Subgroup(name, int(sizes[i]), measured, None))
    return out


def _withheld(sizes: Ints, small: list[bool]) -> list[str | None]:
    """Return why each group is withheld, None where it is not."""
    reasons: list[str | None] = [FEW if one else None for one in small]
    while any(reasons):
        hidden = [i for i, reason in enumerate(reasons) if reason]
        shown = [i for i, reason in enumerate(reasons) if not reason]
        if not shown or (len(hidden) > 1 and sizes[hidden].sum() > SMALL_CELL):
            break
        reasons[min(shown, key=lambda i: (sizes[i], i))] = DIFFERENCE
    return reasons
