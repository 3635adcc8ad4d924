"""What is asked of a set before it is published: does it give away whom it was learned from?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from tawt.assessment.attacks import gates, seen
from tawt.assessment.sides import copies_of_real, sides_of, some
from tawt.contracts.synthetic import GateVerdict, Outcome
from tawt.dataset.reader import TripletDataset
from tawt.dataset.records import Cohort, joined
from tawt.errors import ConfigError
from tawt.privacy.suite import assess, beside
from tawt.privacy.verdict import REAL_PEOPLE, gate_of_copies, verdict
from tawt.synthesis.read import of_dataset, read_synthetic

MOST = 2000
"""People of each set: more than a gate needs to tell."""
_DRAWS, _LOOKED_AT = 40, 200
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


def hold_invented(folder: Path, synthetic: Cohort, dataset: TripletDataset) -> None:
    """Refuse a set by the gate of real people alone, for whoever shows records as invented, which takes no attack.

    Some of its records, the same ones whenever it is asked, are held to everybody, beside some people of these.

    Args:
        folder: Of the set.
        synthetic: Its records.
        dataset: The real ones.

    Raises:
        ConfigError: More of them are near copies of somebody than real people are of one another.
    """
    invented, people = (joined(some(one, _LOOKED_AT).parts()) for one in (synthetic, of_dataset(dataset)))
    found = {"synthetic": copies_of_real(invented, dataset), "test": copies_of_real(people, dataset, are_real=True)}
    said = gate_of_copies(REAL_PEOPLE, beside(found), min(map(len, found.values())))
    if said.outcome == "failed":
        raise ConfigError(
            str(folder), "holds people of the workspace under other ids, expected invented ones",
            "raters cannot tell them from themselves; `tawt assess` says how many there are",
        )  # fmt: skip


def unsure(verdicts: Sequence[GateVerdict]) -> str | None:
    """Return what is to be known of gates that cannot tell; None where all can."""
    names = [one.gate for one in verdicts if one.outcome == CANNOT_TELL]
    if not names:
        return None
    return (f"{len(names)} of {len(verdicts)} gates of privacy cannot tell, for too few people are held out: this is "
            f"no pass ({'; '.join(names)})")  # fmt: skip
