"""What is asked of a set before it is published: does it give away whom it was learned from?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from tawt.assessment.attacks import gates, seen
from tawt.assessment.sides import sides_of, some
from tawt.contracts.synthetic import GateVerdict, Outcome
from tawt.dataset.reader import TripletDataset
from tawt.dataset.records import Cohort
from tawt.privacy.suite import assess
from tawt.privacy.verdict import verdict
from tawt.synthesis.read import read_synthetic

MOST = 2000
"""People of each set: more than a gate needs to tell."""
_DRAWS = 40
CANNOT_TELL: Outcome = "cannot tell"


def privacy_judge(dataset: TripletDataset) -> Callable[[Path], Sequence[GateVerdict]]:
    """Return what makes the attacks, in summaries, on a set that was learned from train."""
    return lambda folder: judged(dataset, read_synthetic(folder, dataset))


def judged(dataset: TripletDataset, synthetic: Cohort) -> Sequence[GateVerdict]:
    """Make the attacks on a set, and return what each gate says."""
    sides = sides_of(dataset, MOST)
    if not min(sides.test.n_subjects, sides.reference.n_subjects):
        return [GateVerdict("privacy", "cannot tell", "cannot tell: nobody is held out to compare with")]
    sets = seen(sides, some(synthetic, MOST))
    found = assess(sets.train, sets.test, sets.synthetic, sets.reference, sets.n, n_draws=_DRAWS)
    return gates(verdict(found))


def unsure(verdicts: Sequence[GateVerdict]) -> str | None:
    """Return what is to be known of gates that cannot tell; None where all can."""
    names = [one.gate for one in verdicts if one.outcome == CANNOT_TELL]
    if not names:
        return None
    return (f"{len(names)} of {len(verdicts)} gates of privacy cannot tell, for too few people are held out: this is "
            f"no pass ({'; '.join(names)})")  # fmt: skip
