"""How many subjects stand behind each number that a vocabulary tells: the bins, the edges between them, the median.

An edge or a median is a number of somebody. What may be told of it is a cell around it, of a grid that hangs on no
single number, once enough subjects have a number in that cell. So they are counted in the cells that would be told.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
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
    return max(s for s in (float(f"{lead}e{k + d}") for d in (-1, 0) for lead in (1, 2, 5)) if s <= most)


def edge_steps(edges: Sequence[float], std: float) -> list[float]:
    """Return the width of each edge's cell: at most half of the gap to the nearer neighbour, so that no two meet."""
    gaps = np.diff(edges).tolist() or [std]
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
        rows: list[dict[str, Any]] = vocabulary.to_pylist()
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
        self.bins += _distinct(subject, self.bin_start[data_type] + token - 1, len(self.bins))
        # of the cells, only those of the two edges around a number can hold it; and no two cells meet
        n_edges = len(self.edges) - 1
        own, no_edge = self.coder.edge_start[data_type], np.full(len(rows), n_edges)
        below = np.where(token > 1, own + token - 2, no_edge)
        above = np.where(token < self.coder.n_bins[data_type], own + token - 1, no_edge)
        for edge in (below, above):
            held = np.floor(number / self.edge_step[edge]) == self.edge_cell[edge]
            no_edge = np.where(held, edge, no_edge)
        held = no_edge < n_edges
        self.edges += _distinct(subject[held], no_edge[held], len(self.edges))
        held = self.by_median[data_type]
        held &= np.floor(number / self.center_step[data_type]) == self.center_cell[data_type]
        self.centers += _distinct(subject[held], data_type[held], len(self.centers))
        pairs, n = np.unique(subject * len(self.most) + data_type, return_counts=True)
        np.maximum.at(self.most, pairs % len(self.most), n)

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


def _distinct(subject: Ints, place: Ints, n: int) -> Ints:
    """Return `(n,)`, how many subjects have a row at each place."""
    return np.bincount(np.unique(subject * n + place) % n, minlength=n) if len(place) else np.zeros(n, dtype=np.int64)
