"""Who is alone with what everybody can know of him: classes of equal quasi-identifiers, counted exactly."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tawt.arrays import Ints
from tawt.contracts.cells import SMALL_CELL, few
from tawt.dataset.records import Cohort
from tawt.privacy.found import Found, share


@dataclass(frozen=True)
class Identity:
    """How many others share a record's quasi-identifiers."""

    k_anonymity: int
    """Records of the smallest class of the synthetic set."""
    k_map: int | None
    """Real people of the smallest class that a synthetic record fits; None = it fits nobody."""
    few: Found
    """Share of synthetic records that fit somebody, and fewer than 11 people."""
    nobody: Found
    """Share of synthetic records that fit nobody."""

    def to_json(self) -> dict[str, Any]:
        """Return what may be told as JSON."""
        k_map = None if self.k_map is None else few(self.k_map)
        told = {"few": self.few.to_json(), "nobody": self.nobody.to_json()}
        return {"k_anonymity": few(self.k_anonymity), "k_map": k_map, **told}


def quasi_identifiers(cohort: Cohort, data_types: Sequence[int]) -> Ints:
    """Return `(n, q)`, the bin or category that each record first has of some data_types; 0 = none.

    Args:
        cohort: Records.
        data_types: What somebody may know of a person from elsewhere: sex, age, place.
    """
    found = [np.empty((0, len(data_types)), dtype=np.int64)]
    for part in cohort.parts():
        tokens, who = np.zeros((part.n_subjects, len(data_types)), dtype=np.int64), part.subject
        for column, data_type in enumerate(data_types):
            rows = np.flatnonzero((part.data_type == data_type) & (part.value_token > 0))[::-1]
            tokens[who[rows], column] = part.value_token[rows]  # of several, the first is written last
        found.append(tokens)
    return np.concatenate(found)


def class_sizes(records: Ints, among: Ints) -> Ints:
    """Return `(n,)`, how many of others have the very same row.

    Args:
        records: `(n, q)`, values of the quasi-identifiers, as whole numbers.
        among: `(m, q)`, the others.
    """
    _, number = np.unique(np.concatenate([records, among]), axis=0, return_inverse=True)
    number = number.reshape(-1)
    sizes: Ints = np.bincount(number[len(records) :], minlength=number.max(initial=0) + 1)[number[: len(records)]]
    return sizes


def identity(synthetic: Ints, real: Ints) -> Identity:
    """Count classes of equal quasi-identifiers.

    Args:
        synthetic: `(n, q)`, of at least one record.
        real: `(m, q)`, all real people that a synthetic record could be taken for.

    Source: Sweeney 2002, k-anonymity; Dankar et al. 2012, Estimating the re-identification risk (k-map).
    """
    own, fits = class_sizes(synthetic, synthetic), class_sizes(synthetic, real)
    n = len(synthetic)
    return Identity(
        int(own.min(initial=n)),
        int(fits[fits > 0].min()) if fits.any() else None,
        share(int(((fits > 0) & (fits <= SMALL_CELL)).sum()), n),
        share(int((fits == 0).sum()), n),
    )
