"""Codes of one place in the vocabulary of another: what each is read as, in which unit, and how far numbers have moved.

Nothing is fitted here: the vocabulary stays as it is, to its last bit. A code that no way leads to is unknown.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from tawt.arrays import Floats
from tawt.contracts.dataset import SPECIAL_CODES, UNKNOWN
from tawt.transforms.triplets import Coder
from tawt.transforms.units import Units
from tawt.transforms.vocabulary import Counts, segments

CARRIED = "carried.arrow"
"""File beside a vocabulary of another place: what codes are read as."""
WAYS = ("code", "name", "concept", "parents")
"""How a code is known, in the order in which they are tried."""
SCHEMA = pa.schema([
    pa.field("code", pa.string(), False), pa.field("data_type", pa.int32(), False), pa.field("way", pa.string()),
    pa.field("factor", pa.float64(), False), pa.field("offset", pa.float64(), False),
    pa.field("refused", pa.bool_(), False), pa.field("unit", pa.string()), pa.field("unit_there", pa.string()),
    pa.field("n_rows", pa.int64(), False), pa.field("n_subjects", pa.int64(), False),
    pa.field("n_value_subjects", pa.int64(), False), pa.field("distance", pa.float64()),
    pa.field("shift", pa.float64()), pa.field("chance", pa.float64()),
])  # fmt: skip
"""`data_type` is the index that a code is read as, [UNK] where `way` is null; a number times `factor` plus `offset` is
in the unit there; `refused` numbers are in a unit that no rule leads from. `distance` is that of Kolmogorov and
Smirnov between the numbers here and there, over the bins of there, and `shift` the population stability index;
`chance` is what that is on average of so many people who do not differ."""
_LEAST_SHARE = 1e-4
"""A bin without a number counts as this share, or as half a number where that is more, so that the index is one."""


@dataclass(frozen=True)
class _There:
    """The data_types of the vocabulary, and what leads to them."""

    rows: list[dict[str, Any]]
    by_name: dict[str, list[int]]
    by_concept: dict[str, list[int]]
    by_parent: dict[str, list[int]]
    concepts: Mapping[str, str]
    index: dict[str, int]

    @classmethod
    def of(cls, vocabulary: pa.Table, concepts: Mapping[str, str]) -> _There:
        """Read the vocabulary, and the concepts of its codes."""
        there = cls(vocabulary.to_pylist(), {}, {}, {}, concepts, {})
        for i, row in enumerate(there.rows):
            if row["code"] in SPECIAL_CODES or row["code"].startswith("[WITHHELD]"):
                continue
            there.index[row["code"]] = i
            for parent in {row["code"], *(row["parents"] or ())}:
                there.by_parent.setdefault(parent, []).append(i)
            if row["description"]:
                there.by_name.setdefault(plain(row["description"]), []).append(i)
            if row["code"] in concepts:
                there.by_concept.setdefault(concepts[row["code"]], []).append(i)
        return there


def plain(text: str) -> str:
    """Return a name as it is compared: small letters and digits alone."""
    return " ".join(re.findall(r"\w+", text.casefold()))


def carried(
    vocabulary: pa.Table,
    counts: Counts,
    dictionary: Mapping[str, tuple[str | None, list[str] | None]],
    concepts: Mapping[str, str],
    units: Units,
    by_code: bool = False,
) -> pa.Table:
    """Return what each code is read as, `SCHEMA`, by rows.

    Args:
        vocabulary: Of the other place.
        counts: What there is here, in all splits: nothing is fitted.
        dictionary: Code -> description and parent codes, here.
        concepts: Code -> concept, there.
        units: Of this place.
        by_code: Whether a code is known by itself alone.
    """
    there, coder = _There.of(vocabulary, concepts), Coder.of(vocabulary)
    numbers = segments(counts.numbers)
    values, n_each = counts.numbers["value"].to_numpy(), counts.numbers["n"].to_numpy()
    texts = set(counts.texts["code"].to_pylist())
    rows = []
    for i in sorted(range(len(counts.codes)), key=lambda i: (-int(counts.n_rows[i]), counts.codes[i])):
        code, here = counts.codes[i], numbers.get(i)
        has = (here is not None, i in texts)
        if by_code:
            index, way = there.index.get(code, UNKNOWN), "code" if code in there.index else None
        else:
            index, way = _found(code, counts.units[i], has, dictionary.get(code, (None, None)), there, units)
        row = {
            "code": code, "data_type": index, "way": way, "factor": 1.0, "offset": 0.0, "refused": False,
            "unit": counts.units[i], "unit_there": None, "n_rows": int(counts.n_rows[i]),
            "n_subjects": int(counts.n_subjects[i]), "n_value_subjects": int(counts.n_value_subjects[i]),
            "distance": None, "shift": None, "chance": None,
        }  # fmt: skip
        if here is not None and way is not None and there.rows[index]["n_bins"]:
            unit = there.rows[index]["unit"]
            rule = _conversion(code, counts.units[i], there.rows[index], there, units)
            row |= {"unit_there": unit, "refused": rule is None}
            if rule is not None:
                row |= {"factor": rule[0], "offset": rule[1]}
                number = values[here] * rule[0] + rule[1]
                row |= drift(there.rows[index], coder, index, number, n_each[here], int(counts.n_value_subjects[i]))
        rows.append(row)
    return pa.Table.from_pylist(rows, schema=SCHEMA)


def _found(
    code: str, unit: str | None, has: tuple[bool, bool], known: tuple[str | None, list[str] | None], there: _There,
    units: Units,
) -> tuple[int, str | None]:  # fmt: skip
    """Return the data_type that a code is read as, and how it was found."""
    if code in there.index:
        return there.index[code], "code"
    description, parents = known
    said = units.data_types.get(code)
    description = (said.description if said else None) or description
    concept = said.concept if said else None
    ways: list[tuple[str, Iterable[int]]] = [
        ("name", there.by_name.get(plain(description or code), ())),
        ("concept", there.by_concept.get(concept or "", ())),
        ("parents", {i for parent in (code, *(parents or ())) for i in there.by_parent.get(parent, ())}),
    ]
    kind = {(False, False): "none", (True, False): "numeric", (False, True): "categorical"}.get(has, "mixed")

    def fits(i: int) -> tuple[bool, int, bool, int, int]:
        row = there.rows[i]
        rule = _conversion(code, unit, row, there, units) if has[0] and row["n_bins"] else None
        same = 0 if rule is None else 2 if rule == (1.0, 0.0) else 1
        return bool(row["n_bins"]) == has[0], same, row["value_kind"] == kind, row["n_subjects"], -i

    for way, found in ways:
        if best := max(found, key=fits, default=0):
            return best, way
    return UNKNOWN, None


def _conversion(
    code: str, unit: str | None, row: dict[str, Any], there: _There, units: Units
) -> tuple[float, float] | None:
    """Return the factor and offset that lead to the unit there; None where no rule does."""
    here, wanted = units.spelled(unit), units.spelled(row["unit"])
    if here == wanted:
        return 1.0, 0.0
    said = units.data_types.get(code)
    for concept in ((said.concept if said else None) or "", there.concepts.get(row["code"], ""), ""):
        if (rule := units.conversions.get((concept, here or "", wanted or ""))) is not None:
            return rule
        if (back := units.conversions.get((concept, wanted or "", here or ""))) is not None:
            return 1 / back[0], -back[1] / back[0]
    return None


def drift(
    row: dict[str, Any], coder: Coder, index: int, number: Floats, n: Any, n_people: int
) -> dict[str, float | None]:
    """Return how far numbers here lie from those that a data_type was fitted on, over its bins.

    Args:
        row: Of the vocabulary.
        coder: The same as arrays.
        index: Of the data_type.
        number: Distinct numbers, in the unit there.
        n: How often each stands here.
        n_people: Who have one here.
    """
    edges = np.array(row["bin_edges"])
    if not coder.fitted[index] or len(edges) + 1 != row["n_bins"]:  # a shared model withholds them
        return {"distance": None, "shift": None, "chance": None}
    bins = coder.bins(np.full(len(number), index), number)
    here = np.bincount(bins - 1, weights=n, minlength=len(edges) + 1) / n.sum()
    if row["quantiles"] is None:
        theirs = np.full(len(edges) + 1, 1 / (len(edges) + 1))
    else:
        below = np.searchsorted(np.array(row["quantiles"]), edges, side="left") / len(row["quantiles"])
        theirs = np.diff(below, prepend=0, append=1)
    distance = float(np.abs(np.cumsum(here) - np.cumsum(theirs)).max())
    # numbers of one person are alike, so people are what is drawn
    people = n_people, row.get("n_value_subjects") or row["n_subjects"]
    chance = len(edges) * sum(1 / max(1, one) for one in people)
    here = np.maximum(here, max(_LEAST_SHARE, 0.5 / n.sum()))
    theirs = np.maximum(theirs, max(_LEAST_SHARE, 0.5 / max(1, row["n_values"])))
    shift = float(((here - theirs) * np.log(here / theirs)).sum())
    return {"distance": distance, "shift": shift, "chance": chance}


def read_carried(content: pa.BufferReader) -> pa.Table:
    """Read the file that `CARRIED` names."""
    return pa.ipc.open_file(content).read_all()
