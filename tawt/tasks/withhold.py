"""What of a vocabulary and of an encoder's weights could point at single patients, and is left out of a shared model.

A number is told only of at least `min_subjects` subjects of train. Counts of a vocabulary from before they were
kept are unknown, and withheld.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from torch import Tensor

from tawt.contracts.dataset import SPECIAL_CODES
from tawt.dataset.vocabulary import Vocabulary
from tawt.models.encoder import Encoder
from tawt.models.readout import PerTypeReadout

_ROUNDED = {b"tawt": b"withheld and rounded"}
"""Metadata of a vocabulary that was shared: it is not rounded again."""
_OFF_GRID = (math.sqrt(5) - 1) / 2
Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Withheld:
    """What fewer subjects than the limit have; `v` data_types."""

    types: Bools
    """`(v,)`, data_types; never a special one."""
    numbers: Bools
    """`(v,)`, numbers of data_types: those of `types`, and those that too few have a number of."""
    categories: tuple[Bools, ...]
    """Of each data_type, its categories."""


def withheld(vocabulary: pa.Table, min_subjects: int) -> Withheld:
    """Find what is of fewer than `min_subjects` subjects in a vocabulary's file; 1 withholds nothing."""
    rows: list[dict[str, Any]] = vocabulary.to_pylist()
    limit = min_subjects if min_subjects > 1 else 0
    own = np.array([row["code"] not in SPECIAL_CODES for row in rows])
    types = own & np.array([row["n_subjects"] < limit for row in rows])
    numbers = types | (own & np.array([(row.get("n_value_subjects") or 0) < limit for row in rows]))
    categories = []
    for row, hidden in zip(rows, types, strict=True):
        counted = row.get("category_subjects") or [0] * len(row["categories"])
        categories.append(np.array([hidden or n < limit for n in counted], dtype=bool))
    return Withheld(types, numbers, tuple(categories))


def shareable(vocabulary: pa.Table, min_subjects: int, with_categories: bool = False) -> pa.Table:
    """Return a vocabulary without what could point at a patient; see `TawtModel.save_pretrained`.

    What the model's shape depends on stays: the number of data_types, of bins and of categories of each.
    """
    rows: list[dict[str, Any]] = vocabulary.to_pylist()
    less = withheld(vocabulary, min_subjects)
    metadata = vocabulary.schema.metadata or {}
    is_rounded = _ROUNDED.items() <= metadata.items()
    for i, row in enumerate(rows):
        told = row.get("category_subjects") or [0] * len(row["categories"])
        keep = ~less.categories[i] if with_categories else np.zeros(len(row["categories"]), dtype=bool)
        row["categories"] = [text if keep[k] else f"#{k + 1}" for k, text in enumerate(row["categories"])]
        if min_subjects <= 1:
            continue
        row["quantiles"] = None
        row["category_subjects"] = [0 if few else n for n, few in zip(told, less.categories[i], strict=True)]
        if less.types[i]:
            row |= dict.fromkeys(("unit", "description", "parents"))
            row |= {"code": f"[WITHHELD]//{i}", "n_rows": 0, "n_subjects": 0}
        if less.numbers[i]:
            row |= dict.fromkeys(("mean", "std"))
            row |= {"n_values": 0, "n_value_subjects": 0, "center": 0.0, "scale": 1.0, "bin_edges": []}
            row["normalization"] = "none"
        elif row["n_bins"] and not is_rounded:
            _round(row, min_subjects)
    if min_subjects > 1:
        metadata = {**metadata, **_ROUNDED}
    return pa.Table.from_pylist(rows, schema=vocabulary.schema.with_metadata(metadata or None))


def without_withheld(encoder: Encoder, vocabulary: Vocabulary, less: Withheld) -> dict[str, Tensor]:
    """Return copies of an encoder's parameters, zero wherever what is withheld alone has trained them."""
    kept = {name: p.detach().cpu().clone().contiguous() for name, p in encoder.named_parameters()}
    types, numbers = torch.from_numpy(less.types), torch.from_numpy(less.numbers)

    def blank(name: str, rows: Tensor) -> None:
        if name in kept:
            kept[name][rows] = 0

    blank("embedding.data_type.weight", types)
    blank("embedding.value.scale.weight", numbers)
    blank("embedding.value.shift.weight", numbers)
    most = int(vocabulary.n_bins[~less.numbers].max(initial=0))
    blank("embedding.value.bins.weight", torch.arange(vocabulary.max_bins + 1) > most)
    # row 0 of the table is its zero vector; of what shares OTHER nobody has counted the subjects
    texts = torch.zeros(vocabulary.n_category_rows + 1, dtype=torch.bool)
    for offset, few in zip(vocabulary.category_offset.tolist(), less.categories, strict=True):
        if len(few):
            texts[offset + 1 : offset + 2 + len(few)] = torch.from_numpy(np.concatenate([[few.any()], few]))
    blank("embedding.value.categories.weight", texts)
    if isinstance(encoder.pooling, PerTypeReadout):
        columns = numbers[list(encoder.pooling.types)]
        for name in ("recency.weight", "level.weight", "weight"):
            blank(f"pooling.{name}", columns)
        blank("pooling.bias", columns.repeat_interleave(encoder.config.readout.d_type))
    return kept


def _round(row: dict[str, Any], min_subjects: int) -> None:
    """Round statistics so that no number of one person can be told from them, in place.

    Edges and the median are numbers of somebody, so they are moved off them. Edges finer than the limit, with fewer
    subjects to a bin, are withheld.
    """
    std, center, scale = row["std"], row["center"], row["scale"]
    if not std:  # one number that all of them have
        return
    row["mean"], row["std"] = _below(row["mean"], std / 1000), _below(std, std / 1000)
    if row["normalization"] == "zscore":
        row["center"], row["scale"] = row["mean"], row["std"]
    elif row["normalization"] == "robust":
        row["center"], row["scale"] = _below(center, scale / 50), _below(scale, scale / 100)
    if row["n_value_subjects"] < min_subjects * row["n_bins"]:
        row["bin_edges"] = []
        return
    edges = row["bin_edges"]
    gaps = [std, *(b - a for a, b in pairwise(edges)), std]
    row["bin_edges"] = [_below(edge, min(*gaps[i : i + 2], std) / 4) for i, edge in enumerate(edges)]


def _below(number: float, at_most: float) -> float:
    """Return a number less than two steps below, off every grid that measurements lie on, so that it is nobody's.

    A step is the largest power of ten that is not above `at_most`.
    """
    step = 10.0 ** math.floor(math.log10(at_most))
    return float(f"{(math.floor(number / step) - _OFF_GRID) * step:.12g}")
