"""Sets that were learned from fewer people of the same workspace: how attacks change with their number."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tawt.assessment.given_set import given_set, of_another
from tawt.assessment.sides import Sides
from tawt.dataset.reader import TripletDataset, open_dataset
from tawt.dataset.records import Cohort, OfSplit
from tawt.errors import ConfigError


@dataclass(frozen=True, eq=False)
class Smaller:
    """A set that was learned from fewer people."""

    people: OfSplit
    """Whom it was learned from, of train."""
    synthetic: Cohort
    """The set."""


def smaller_of(given: str, dataset: TripletDataset, sides: Sides) -> Smaller:
    """Read `SET=WORKSPACE`: a set, and the workspace of fewer people that it was learned from.

    Raises:
        ConfigError: It is not of that form, the workspace's train has people whom this one's has not, or the set was
            learned from others than these or holds real subjects under their own ids.
        DatasetError: Either is absent or broken, or the set is not as it was published, or knows none of
            the codes.
    """
    name, sign, home = given.rpartition("=")
    if not sign or not name or not home:
        raise ConfigError(f"--smaller {given}", "names no set and workspace, expected SET=WORKSPACE",
                          "--smaller work/invented_500=work/mimic_500")  # fmt: skip
    folder, train = Path(name).expanduser(), open_dataset(Path(home).expanduser()).split("train")
    own = sides.train.split
    place = np.flatnonzero(np.isin(own.subject_ids, train.subject_ids))
    if len(place) < train.n_subjects or not len(place):
        raise ConfigError(
            f"--smaller {given}", "was learned from people who are not in train here, expected some of these alone",
            "ingest fewer of the same people, with the same `splits`",
        )  # fmt: skip
    found = given_set(folder, dataset)
    if found.provenance is not None and found.provenance.dataset != train.fingerprint():
        raise of_another(folder, Path(home))
    found.notes(folder)
    return Smaller(OfSplit(own, place), found.records)
