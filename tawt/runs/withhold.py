"""What of a vocabulary and of an encoder's weights could point at single patients, and is left out of a shared model.

A number is told only of at least `min_subjects` subjects of train, and a mean or deviation in steps that no one of them
moves far. Counts of a vocabulary from before they were kept are unknown, and withheld.
"""

from __future__ import annotations

import json
import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from tawt.arrays import Bools
from tawt.contracts.cells import center_step, edge_steps, middle, round_number
from tawt.contracts.dataset import SPECIAL_CODES, UNKNOWN
from tawt.contracts.value_status import STATUS_SUBJECTS, ValueStatus
from tawt.dataset.vocabulary import Vocabulary
from tawt.models.encoder import Encoder
from tawt.models.readout import PerTypeReadout

_ROUNDED = {b"tawt": b"withheld and rounded"}
"""Metadata of a vocabulary that was shared: what is still told is not rounded again."""
_OFF_GRID = (math.sqrt(5) - 1) / 2


@dataclass(frozen=True)
class Withheld:
    """What fewer subjects than the limit have; `v` data_types."""

    types: Bools
    """`(v,)`, data_types; never a special one."""
    numbers: Bools
    """`(v,)`, numbers of data_types: those of `types`, those that too few have a number of, those of which one subject
    has more than half, and those whose center is a median that too few are near, or a mean of `moments`."""
    moments: Bools
    """`(v,)`, mean and standard deviation of data_types: those of `numbers`, and those in which the part of one subject
    is larger than the step that they are told in."""
    categories: tuple[Bools, ...]
    """Of each data_type, its categories."""
    bins: tuple[Bools, ...]
    """Of each data_type, its bins."""
    edges: Bools
    """`(v,)`, edges of data_types: those of `numbers`, and all where a bin or the cell of an edge is of too few."""
    statuses: Bools
    """`(10,)`, statuses."""
    anything: bool
    """Whether there is a limit at all."""


def withheld(vocabulary: pa.Table, min_subjects: int) -> Withheld:
    """Find what is of fewer than `min_subjects` subjects in a vocabulary's file; 1 withholds nothing."""
    rows: list[dict[str, Any]] = vocabulary.to_pylist()
    limit = min_subjects if min_subjects > 1 else 0
    own = np.array([row["code"] not in SPECIAL_CODES for row in rows])
    types = own & np.array([row["n_subjects"] < limit for row in rows])
    bins = tuple(_few(row, "bin_subjects", row["n_bins"], limit) for row in rows)
    cells = [_few(row, "edge_subjects", len(row["bin_edges"]), limit) for row in rows]
    edges = np.array([few.any() or near.any() for few, near in zip(bins, cells, strict=True)])
    numbers = types | (own & np.array([limit > 0 and _tells_of_few(row, limit) for row in rows]))
    for i, row in enumerate(rows):
        if limit and row["normalization"] == "robust" and (edges[i] or row["center"] not in row["bin_edges"]):
            numbers[i] |= (row.get("center_subjects") or 0) < limit
    moments = own & np.array([limit > 0 and _made_by_one(row) for row in rows])
    numbers |= moments & np.array([row["normalization"] == "zscore" for row in rows])
    hidden = [_few(row, "category_subjects", len(row["categories"]), limit) for row in rows]
    categories = tuple(few | whole for few, whole in zip(hidden, types, strict=True))
    statuses = np.array(_status_subjects(vocabulary)) < limit
    return Withheld(types, numbers, moments | numbers, categories, bins, edges | numbers, statuses, limit > 0)


def _status_subjects(vocabulary: pa.Table) -> list[int]:
    """Return how many subjects have each status; 0 where nobody counted."""
    counted = (vocabulary.schema.metadata or {}).get(STATUS_SUBJECTS)
    return json.loads(counted) if counted else [0] * len(ValueStatus)


def _few(row: dict[str, Any], name: str, n: int, limit: int) -> Bools:
    """Return which of `n` counts are below the limit; none of them is known where they are not there."""
    counted = row.get(name) or []
    return np.array(counted if len(counted) == n else [0] * n, dtype=np.int64) < limit


def _tells_of_few(row: dict[str, Any], limit: int) -> bool:
    most = row.get("most_of_one")
    return (row.get("n_value_subjects") or 0) < limit or most is None or 2 * most > row["n_values"] > 0


def _made_by_one(row: dict[str, Any]) -> bool:
    """Return whether one subject makes so much of the variance, or moves the mean so far, that it shows in them."""
    share, pull = row.get("share_of_one"), row.get("pull_of_one")
    if not row["n_bins"] or not row.get("n_value_subjects"):
        return False
    return share is None or pull is None or max(share, pull) > _least_step(row)


def shareable(vocabulary: pa.Table, min_subjects: int, with_categories: bool = False) -> pa.Table:
    """Return a vocabulary without what could point at a patient; see `TawtModel.save_pretrained`.

    What the model's shape depends on stays: the number of data_types, of bins and of categories of each.
    """
    rows: list[dict[str, Any]] = vocabulary.to_pylist()
    less = withheld(vocabulary, min_subjects)
    metadata = vocabulary.schema.metadata or {}
    is_rounded = _ROUNDED.items() <= metadata.items()
    for i, row in enumerate(rows):
        keep = ~less.categories[i] if with_categories else np.zeros(len(row["categories"]), dtype=bool)
        row["categories"] = [text if keep[k] else f"#{k + 1}" for k, text in enumerate(row["categories"])]
        if not less.anything:
            continue
        # rows are sorted by n_rows: beside others' it would tell a withheld one's
        own = dict(row)
        row |= {"quantiles": None, "n_rows": 0, "n_values": 0, "most_of_one": 0}
        row |= {"share_of_one": 0.0, "pull_of_one": 0.0}
        for name, few in (("category_subjects", less.categories[i]), ("bin_subjects", less.bins[i])):
            if row.get(name):
                row[name] = [0 if hide else n for n, hide in zip(row[name], few, strict=False)]
        if less.types[i]:
            row |= dict.fromkeys(("unit", "description", "parents"))
            row |= {"code": f"[WITHHELD]//{i}", "n_subjects": 0}
        if less.edges[i]:
            row |= {"bin_edges": [], "edge_subjects": []}
        if less.numbers[i]:
            row["unit"] = None
            row |= {"normalization": "none", "center": 0.0, "scale": 1.0, "center_subjects": 0}
            row |= {"n_value_subjects": 0, "bin_subjects": []}
        elif row["n_bins"] and not is_rounded:
            _round(row, own)
        elif row["normalization"] == "robust" and not row["bin_edges"]:
            row["scale"] = _told_scale(row, own)  # which edges may have told the last time
        if less.moments[i]:
            row |= {"mean": None, "std": None}
        for name in _PEOPLE & row.keys():
            row[name] = _in_steps(row[name], min_subjects)
        for name in ("bin_subjects", "edge_subjects"):  # a limit asks for the least of them alone
            least = min(filter(None, row.get(name) or ()), default=0)
            row |= {name: [least if n else 0 for n in row[name]]} if row.get(name) else {}
    if less.anything:
        counted = [0 if few else n for few, n in zip(less.statuses, _status_subjects(vocabulary), strict=True)]
        metadata = {**metadata, **_ROUNDED, STATUS_SUBJECTS: json.dumps(_in_steps(counted, min_subjects))}
    return pa.Table.from_pylist(rows, schema=vocabulary.schema.with_metadata(metadata or None))


_PEOPLE = {
    "n_subjects", "n_value_subjects", "category_subjects", "bin_subjects", "edge_subjects", "center_subjects"
}  # fmt: skip


def _in_steps(counts: Any, step: int) -> Any:
    """Return counts of people rounded down to 1, 2, 4, 8, .. steps: what two of them differ by is no group below the
    limit, and one more or less is seldom seen."""
    if isinstance(counts, list):
        return [_in_steps(n, step) for n in counts]
    return counts and (step << (counts // step).bit_length() - 1 if counts >= step else 0)


def without_withheld(encoder: Encoder, vocabulary: Vocabulary, less: Withheld) -> dict[str, Tensor]:
    """Return copies of an encoder's parameters, zero wherever what is withheld alone has trained them."""
    kept = {name: p.detach().cpu().clone().contiguous() for name, p in encoder.named_parameters()}
    types, numbers = torch.from_numpy(less.types), torch.from_numpy(less.numbers)

    def blank(name: str, rows: Tensor) -> None:
        if name in kept:
            kept[name][rows] = 0

    # [UNK] is trained by rare codes alone; what every record has trains [MASK] and [CLS], and nothing [PAD]
    blank("embedding.data_type.weight", types | (less.anything & (torch.arange(len(types)) == UNKNOWN)))
    blank("embedding.value.scale.weight", numbers)
    blank("embedding.value.shift.weight", numbers)
    if less.statuses[ValueStatus.NUMERIC]:  # what all numbers share is of those few who have any
        for name in kept:
            if name.startswith("embedding.value.network."):
                kept[name].zero_()
    # every record trains the row of what is hidden, the last
    blank("embedding.status.weight", torch.from_numpy(np.append(less.statuses, False)))
    # data_types share the bins; what is not known of any of them goes
    bins = torch.full((vocabulary.max_bins + 1,), less.anything)
    for few, hidden in zip(less.bins, less.numbers, strict=True):
        if not hidden:
            bins[1 : 1 + len(few)] &= torch.from_numpy(few)
    blank("embedding.value.bins.weight", bins)
    # row 0 of the table is its zero vector; of what shares OTHER nobody has counted the subjects
    texts = torch.zeros(vocabulary.n_category_rows + 1, dtype=torch.bool)
    texts[1] = less.anything
    for offset, few in zip(vocabulary.category_offset.tolist(), less.categories, strict=True):
        if len(few):
            texts[offset + 1 : offset + 2 + len(few)] = torch.from_numpy(np.concatenate([[less.anything], few]))
    blank("embedding.value.categories.weight", texts)
    if isinstance(encoder.pooling, PerTypeReadout):
        columns = numbers[list(encoder.pooling.types)]
        for name in ("recency.weight", "level.weight", "weight"):
            blank(f"pooling.{name}", columns)
        blank("pooling.bias", columns.repeat_interleave(encoder.config.readout.d_type))
    return kept


def _round(row: dict[str, Any], own: dict[str, Any]) -> None:
    """Round statistics so that no number of one person can be told from them, in place.

    Edges and the median are numbers of somebody: what is told is the middle of a cell that enough others are in.

    Args:
        row: What is not withheld.
        own: The same before anything was.
    """
    mean, std, center, edges = row["mean"], row["std"], row["center"], row["bin_edges"]
    if not std:  # one number that all of them have
        return
    row["mean"], row["std"] = _told(mean, own), _told(std, own)
    row["bin_edges"] = [middle(*pair) for pair in zip(edges, edge_steps(edges, std), strict=True)]
    if row["normalization"] == "zscore":
        row["center"], row["scale"] = row["mean"], row["std"]
    elif row["normalization"] == "robust":
        if center in edges:
            at = edges.index(center)
            row["center"], row["center_subjects"] = row["bin_edges"][at], min(row["edge_subjects"])
        else:
            row["center"] = middle(center, float(center_step(row["scale"])))
        row["scale"] = _told_scale(row, own)


def _told_scale(row: dict[str, Any], own: dict[str, Any]) -> float:
    """Return the scale of `robust` as it may be told: a distance of quartiles, each as the told edge that it is or the
    middle of its told bin. Where edges do not tell it, it is the middle of a cell, of five in a power of ten."""
    scale, told, quantiles = float(own["scale"]), row["bin_edges"], own["quantiles"]
    if scale == 1:  # of quartiles that are one number
        return scale
    if told and quantiles:
        low, high = quantiles[len(quantiles) // 4], quantiles[-1 - len(quantiles) // 4]
        bounds = [_place(quartile, own["bin_edges"], told) for quartile in (low, high)]
        if bounds[1] > bounds[0]:  # false of NaN
            return float(f"{(bounds[1] - bounds[0]) * (scale / (high - low)):.12g}")
    return float(f"{10 ** ((math.floor(math.log10(scale) * 5) + 0.5) / 5):.6g}")


def _place(number: float, edges: Sequence[float], told: Sequence[float]) -> float:
    """Return the told edge that a number is, or the middle of the told bin that it is in; NaN in an outer one."""
    at = bisect_right(edges, number)
    if not 0 < at <= len(told):
        return math.nan
    if edges[at - 1] == number:
        return told[at - 1]
    return (told[at - 1] + told[at]) / 2 if at < len(told) else math.nan


def _told(number: float, row: dict[str, Any]) -> float:
    """Return a mean or standard deviation moved by less than two thirds of a step, off every grid that measurements lie
    on, so that it is nobody's. Made round, a step is up to 2.5 times as long, and hangs on no single number."""
    step = float(round_number(2.5 * _least_step(row) * row["std"]))
    return float(f"{(math.floor(number / step) + 1 - _OFF_GRID) * step:.12g}")


def _least_step(row: dict[str, Any]) -> float:
    """Return the least step of mean and standard deviation, in standard deviations: about what they are known to.

    It hangs on how many subjects there are, within a factor of two, and not on what they have.
    """
    return float(max(2.0 ** -((row["n_value_subjects"].bit_length() - 1) / 2), 0.05))
