"""How many subjects stand behind each number that a vocabulary tells: the bins, the edges between them, the median.

An edge or a median is a number of somebody. What may be told of it is a cell around it, of a grid that hangs on no
single number, once enough subjects have a number in that cell. So they are counted in the cells that would be told.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tawt.contracts.value_status import STATUS_NAMES, ValueStatus
from tawt.transforms.columns import dictionary_of
from tawt.transforms.triplets import Coder
from tawt.transforms.vocabulary import UNKNOWN

COLUMNS = ["subject_id", "code", "numeric_value", "value_status"]
Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


def round_number(most: float) -> float:
    """Return the largest 1, 2 or 5 x 10^k that is not above a positive number."""
    k = math.floor(math.log10(most))
    # a power of ten may be rounded up in the logarithm
    return next(step for text in (f"5e{k}", f"2e{k}", f"1e{k}", f"5e{k - 1}") if (step := float(text)) <= most)


def edge_steps(edges: Sequence[float], std: float) -> list[float]:
    """Return the width of each edge's cell: at most half of the gap to the nearer neighbour, so that no two meet."""
    gaps = [b - a for a, b in pairwise(edges)] or [std]
    around = zip([gaps[0], *gaps], [*gaps, gaps[-1]], strict=True)
    return [round_number(min(pair) / 2) for pair in around][: len(edges)]


def center_step(scale: float) -> float:
    """Return the width of the cell of a median that is no edge: a quarter to five eighths of the scale."""
    return 2.5 * round_number(scale / 4)


def middle(number: float, step: float) -> float:
    """Return the middle of a number's cell; cells of a width start at the multiples of it."""
    return (math.floor(number / step) + 0.5) * step


class Crowds:
    """Counts over the shards of train, each of which holds whole subjects.

    Args:
        vocabulary: As it was fitted.
    """

    def __init__(self, vocabulary: pa.Table) -> None:
        self.vocabulary, self.coder = vocabulary, Coder.of(vocabulary)
        rows: list[dict[str, Any]] = vocabulary.drop_columns(["quantiles", "categories"]).to_pylist()
        n_types, edges = len(rows), self.coder.edges
        steps = [step for row in rows if row["bin_edges"] for step in edge_steps(row["bin_edges"], row["std"])]
        # the last place is no edge's: its cell holds nothing
        self.edge_step = np.array([*steps, 1.0])
        self.edge_cell = np.append(np.floor(edges / self.edge_step[:-1]), np.nan)
        self.by_median = np.array([row["normalization"] == "robust" and row["n_bins"] > 0 for row in rows])
        self.center_step = np.array(
            [center_step(row["scale"]) if own else 1.0 for row, own in zip(rows, self.by_median, strict=True)]
        )
        self.center_cell = np.floor(self.coder.center / self.center_step)
        self.bin_start = np.concatenate([[0], np.cumsum(self.coder.n_bins)])
        self.bins = np.zeros(self.bin_start[-1], dtype=np.int64)
        self.edges = np.zeros(len(edges) + 1, dtype=np.int64)
        self.centers = np.zeros(n_types, dtype=np.int64)
        self.most = np.zeros(n_types, dtype=np.int64)

    def add(self, events: pa.Table) -> None:
        """Count a shard.

        Args:
            events: `COLUMNS` of one shard, each subject's rows together.
        """
        code, codes = dictionary_of(events["code"])
        name, names = dictionary_of(events["value_status"])
        index = np.array([*(self.coder.index.get(text, UNKNOWN) for text in codes), UNKNOWN], dtype=np.int64)
        numeric = np.array([*(text == STATUS_NAMES[ValueStatus.NUMERIC] for text in names), False])
        data_type = index[code]
        rows = np.flatnonzero(numeric[name] & (data_type != UNKNOWN))
        if not len(rows):
            return
        data_type, ids = data_type[rows], events["subject_id"].to_numpy()
        subject = np.concatenate([[0], np.cumsum(ids[1:] != ids[:-1])])[rows]
        number = events["numeric_value"].to_numpy()[rows].astype(np.float64)
        token = self.coder.bins(data_type, number)
        kind, place = _distinct(subject, data_type, token - 1)
        self.bins += np.bincount(self.bin_start[kind] + place, minlength=len(self.bins))
        # of the cells, only those of the two edges around a number can hold it; and no two cells meet
        edge_start, n_edges = self.coder.edge_start[data_type], len(self.edges) - 1
        below = np.where(token > 1, edge_start + token - 2, n_edges)
        above = np.where(token < self.coder.n_bins[data_type], edge_start + token - 1, n_edges)
        near = np.full(len(rows), n_edges)
        for edge in (below, above):
            near = np.where(np.floor(number / self.edge_step[edge]) == self.edge_cell[edge], edge, near)
        held = near < n_edges
        kind, place = _distinct(subject[held], data_type[held], (near - edge_start)[held])
        self.edges += np.bincount(self.coder.edge_start[kind] + place, minlength=len(self.edges))
        held = self.by_median[data_type]
        held &= np.floor(number / self.center_step[data_type]) == self.center_cell[data_type]
        kind, _ = _distinct(subject[held], data_type[held], np.zeros(len(data_type[held]), dtype=np.int64))
        self.centers += np.bincount(kind, minlength=len(self.centers))
        order = _order(data_type)
        subject, data_type = subject[order], data_type[order]
        opens = np.flatnonzero(np.append(True, (subject[1:] != subject[:-1]) | (data_type[1:] != data_type[:-1])))
        np.maximum.at(self.most, data_type[opens], np.diff(opens, append=len(subject)))

    def table(self) -> pa.Table:
        """Return the vocabulary with what was counted."""
        bins = np.split(self.bins, self.bin_start[1:-1])
        edges = np.split(self.edges[:-1], self.coder.edge_start[1:-1])
        counted = {
            "bin_subjects": [own.tolist() for own in bins], "edge_subjects": [own.tolist() for own in edges],
            "center_subjects": self.centers, "most_of_one": self.most,
        }  # fmt: skip
        out = self.vocabulary
        for name, column in counted.items():
            at = out.schema.get_field_index(name)
            out = out.set_column(at, out.schema.field(at), pa.array(column, out.schema.field(at).type))
        return out


def _order(numbers: Ints) -> Ints:
    """Return the stable order of numbers from 0; short ones are sorted by counting."""
    return np.argsort(numbers.astype(np.uint16) if numbers.max(initial=0) < 1 << 16 else numbers, kind="stable")


def _distinct(subject: Ints, data_type: Ints, place: Ints) -> tuple[Ints, Ints]:
    """Return the data_type and the place of each subject's rows, once each; a subject's rows lie together."""
    order = _order(place)
    order = order[_order(data_type[order])]
    rows = np.stack([subject[order], data_type[order], place[order]])
    new = np.append(np.ones(min(1, len(order)), dtype=np.bool_), (rows[:, 1:] != rows[:, :-1]).any(0))
    return rows[1, new], rows[2, new]
