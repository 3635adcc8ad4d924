"""The one door that a synthetic set comes in by, for whoever says anything of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tawt.assessment.sides import hold_no_own
from tawt.contracts.synthetic import Provenance
from tawt.dataset.reader import TripletDataset
from tawt.errors import ConfigError, DatasetError
from tawt.quality.synthetic import hold_synthetic
from tawt.synthesis.read import OfDataset, OfMeds, read_synthetic

_UNREAD = 0.5
"""Share of events of unknown codes from which a set may be of other records."""


@dataclass(frozen=True, eq=False)
class Given:
    """A synthetic set that may be looked at."""

    provenance: Provenance | None
    """What it says of itself; None of a set of another generator."""
    records: OfDataset | OfMeds
    """In the vocabulary of the real records."""
    of_others: bool
    """Whether it says that it was learned from others than the real people here, or in another vocabulary."""

    def notes(self, folder: Path) -> list[str]:
        """Hold that it has something that can be read, and return what of it cannot.

        Args:
            folder: Of the set.

        Raises:
            DatasetError: Nobody is in it, or no code is known.
        """
        if not self.records.n_subjects:
            raise DatasetError(str(folder), "has nobody in it, expected records", "generate some: `tawt generate`")
        n_rows, n_unknown = sum(len(part.time) for part in self.records.parts()), self.records.n_unknown
        if not n_rows or n_unknown == n_rows:
            what = "has no event" if not n_rows else "has no code that the workspace's vocabulary has"
            raise DatasetError(
                str(folder), f"{what}, expected records like its own", "give the workspace that it is of"
            )
        found = []
        if n_unknown:
            share = n_unknown / n_rows
            found.append(f"{n_unknown:,} events ({share:.1%}) have codes that the vocabulary does not have"
                         + ("; the set may be of other records." if share > _UNREAD else "."))  # fmt: skip
        if n := self.records.n_unknown_unit:
            found.append(f"{n:,} numbers are in another unit than the vocabulary's: they are read as none.")
        return found


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


def of_another(folder: Path, workspace: Path, hint: str = "") -> ConfigError:
    """Return that a set was learned from others than the people of a workspace."""
    return ConfigError(
        str(folder), f"was learned from others than the people of {workspace}, or in another vocabulary, expected "
        "the workspace that it is of", f"give that one{hint}",
    )  # fmt: skip


def _is_of(provenance: Provenance, dataset: TripletDataset) -> bool:
    here = dataset.split("train").fingerprint(), dataset.vocabulary.sha256
    return (provenance.dataset, provenance.vocabulary) == here
