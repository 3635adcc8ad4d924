"""What subjects are told apart by in an evaluation: age, and static facts of a few kinds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tawt.arrays import Floats
from tawt.contracts.value_status import HAS_NUMBER_OF, ValueStatus
from tawt.dataset.reader import TripletDataset
from tawt.dataset.vocabulary import Vocabulary
from tawt.errors import ConfigError, nearest
from tawt.evaluation.known import Known

AGE = "age"
UNKNOWN = "not known"
_BANDS = (18, 40, 65, 80)
_MOST_GROUPS = 12
"""A fact of more kinds tells no groups."""

Attributes = dict[str, NDArray[np.str_]]
"""Name of what is told apart -> `(n,)`, the name of each row's group."""


def attributes_of(known: Known, dataset: TripletDataset, wanted: Sequence[str] | None = None) -> Attributes:
    """Tell rows apart by what was known of their subjects.

    Args:
        known: Of `n` rows.
        dataset: Whose vocabulary the triplets are in.
        wanted: `age`, or data_types of static facts (`Gender`; `GENDER` for codes like `GENDER//F`); None = all that
            part the rows into 2 to 12 groups.

    Raises:
        ConfigError: Nothing is told apart by one of those that are wanted.
    """
    found: Attributes = {}
    if (age := _age(known, dataset)) is not None:
        found[AGE] = np.where(np.isfinite(age), _bands()[np.digitize(np.nan_to_num(age), _BANDS)], UNKNOWN)
    static = known.of(known.is_static)
    for name, groups in _facts(static, dataset.vocabulary).items():
        n = len(np.unique(groups[groups != UNKNOWN]))
        if 2 <= n <= _MOST_GROUPS or (wanted is not None and name in wanted):
            found[name] = groups
    if wanted is None:
        return found
    for name in wanted:
        if name not in found:
            what = "tells no groups, expected age or a static fact"
            raise ConfigError(f"--group {name}", what, nearest(name, found))
    return {name: found[name] for name in wanted}


def _bands() -> NDArray[Any]:
    edges = (0, *_BANDS)
    return np.array([*(f"{a} to {b - 1}" for a, b in zip(edges, _BANDS, strict=False)), f"{_BANDS[-1]} and more"])


def _age(known: Known, dataset: TripletDataset) -> Floats | None:
    """Years of each row's subject, by its birth or by a static number `Age`; NaN where neither is known."""
    if np.isfinite(known.age).any():
        return known.age
    vocabulary = dataset.vocabulary
    names = [code.lower().replace("/", " ").split() for code in vocabulary.codes]
    of = np.flatnonzero([bool(n) and n[-1] == AGE for n in names])
    at = np.isin(known.data_type, of) & HAS_NUMBER_OF[known.status] & known.is_static
    if not at.any():
        return None
    age, kind = np.full(known.n_rows, np.nan), known.data_type[at]
    age[known.row[at]] = known.value[at] * vocabulary.scale[kind] + vocabulary.center[kind]
    return age


def _facts(static: Known, vocabulary: Vocabulary) -> Attributes:
    """Categories of a static data_type are its groups; codes `A//B` without a value are a group B of A."""
    found: Attributes = {}
    for i in np.unique(static.data_type).tolist():
        code, texts, at = vocabulary.codes[i], vocabulary.categories[i], static.data_type == i
        name, _, group = code.partition("//") if vocabulary.value_kind[i] == "none" else (code, "", "")
        groups = found.setdefault(name, np.full(static.n_rows, UNKNOWN, dtype=object))
        if vocabulary.value_kind[i] == "none":
            groups[static.row[at]] = group or "yes"
            continue
        at &= (static.status == ValueStatus.CATEGORY) & (static.token > vocabulary.n_bins[i])
        of = np.array(["other", *texts], dtype=object)
        groups[static.row[at]] = of[static.token[at] - vocabulary.n_bins[i] - 1]
    return {name: groups.astype(str) for name, groups in found.items()}
