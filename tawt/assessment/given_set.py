"""The one door that a synthetic set comes in by, for whoever says anything of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tawt.assessment.sides import hold_no_own
from tawt.contracts.synthetic import Provenance
from tawt.dataset.reader import TripletDataset
from tawt.quality.synthetic import hold_synthetic
from tawt.synthesis.read import OfDataset, OfMeds, read_synthetic


@dataclass(frozen=True, eq=False)
class Given:
    """A synthetic set that may be looked at."""

    provenance: Provenance | None
    """What it says of itself; None of a set of another generator."""
    records: OfDataset | OfMeds
    """In the vocabulary of the real records."""
    of_others: bool
    """Whether it says that it was learned from others than the real people here, or in another vocabulary."""


def given_set(folder: Path, dataset: TripletDataset) -> Given:
    """Hold a set to its provenance, read it beside real records, and refuse these themselves.

    Args:
        folder: What `tawt generate` wrote, a workspace, or any MEDS dataset.
        dataset: The real records.

    Raises:
        ConfigError: It holds real subjects under their own ids.
        DatasetError: It is not as it was published, or is no set of records.
    """
    provenance = hold_synthetic(folder)
    records = read_synthetic(folder, dataset)
    hold_no_own(folder, records, dataset)
    return Given(provenance, records, provenance is not None and not _is_of(provenance, dataset))


def _is_of(provenance: Provenance, dataset: TripletDataset) -> bool:
    here = dataset.split("train").fingerprint(), dataset.vocabulary.sha256
    return (provenance.dataset, provenance.vocabulary) == here
