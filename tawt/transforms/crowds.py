"""How many subjects stand behind each number that a vocabulary tells: the bins, the edges between them, the median; and
how much of mean and standard deviation is one subject's.

An edge or a median is a number of somebody. What may be told of it is a cell around it, of a grid that hangs on no
single number, once enough subjects have a number in that cell. So they are counted in the cells that would be told.
"""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tawt.arrays import Floats, Ints
from tawt.contracts.cells import center_step, edge_steps
from tawt.contracts.dataset import UNKNOWN
from tawt.contracts.value_status import HAS_NUMBER_OF, STATUS_NAMES, STATUS_SUBJECTS, ValueStatus
from tawt.transforms.columns import array_of, encoded, runs_of
from tawt.transforms.triplets import edges_below

COLUMNS = ["subject_id", "code", "numeric_value", "value_status"]
_AT_ONCE = 1 << 16


class Crowds:
    """Counts over the shards of train, each of which holds whole subjects.

    Args:
        vocabulary: As it was fitted.
    """

    def __init__(self, vocabulary: pa.Table) -> None:
        self.vocabulary, self.codes = vocabulary, array_of(vocabulary["code"])
        listed = array_of(vocabulary["bin_edges"])
        edges, n_edges = listed.flatten().to_numpy(), listed.value_lengths().to_numpy().astype(np.int64)
        self.start = np.append(0, np.cumsum(n_edges))
        std = array_of(vocabulary["std"]).fill_null(0.0).to_numpy()
        steps = edge_steps(edges, np.repeat(std, n_edges), self.start)
        # an edge is in its cell, and no two cells meet: for each edge where its cell begins, itself, where it ends
        cells = np.floor(edges / steps)
        self.bounds = np.stack([_begin(cells, steps), edges, _begin(cells + 1, steps)], axis=1).ravel()
        n_bins = vocabulary["n_bins"].to_numpy().astype(np.int64)
        by_median = pc.equal(vocabulary["normalization"], "robust").to_numpy() & (n_bins > 0)
        self.center_step = center_step(np.where(by_median, vocabulary["scale"].to_numpy(), 1.0))
        self.center_cell = np.where(by_median, np.floor(vocabulary["center"].to_numpy() / self.center_step), np.nan)
        self.bin_start = np.append(0, np.cumsum(n_bins))
        self.bins = np.zeros(self.bin_start[-1], dtype=np.int64)
        self.edges = np.zeros(len(edges), dtype=np.int64)
        self.centers = np.zeros(len(vocabulary), dtype=np.int64)
        self.most = np.zeros(len(vocabulary), dtype=np.int64)
        self.n_values = vocabulary["n_values"].to_numpy()
        self.mean, self.std = array_of(vocabulary["mean"]).fill_null(0.0).to_numpy(), std
        self.spread, self.pull = np.zeros(len(vocabulary)), np.zeros(len(vocabulary))
        self.statuses = np.zeros(len(ValueStatus), dtype=np.int64)

    def add(self, events: pa.Table) -> None:
        """Count a shard.

        Args:
            events: `COLUMNS` of one shard, each subject's rows together.
        """
        code, status = encoded(events["code"]), encoded(events["value_status"])
        known = pc.index_in(code.dictionary.cast(pa.string()), self.codes)
        index = known.fill_null(UNKNOWN).to_numpy().astype(np.int64)
        self._add_statuses(events["subject_id"], code, index, status)
        is_number = status.dictionary.index(STATUS_NAMES[ValueStatus.NUMERIC]).as_py()
        rows = np.flatnonzero(status.indices.to_numpy() == is_number)
        data_type = index[code.indices.to_numpy()[rows]]
        rows, data_type = rows[data_type != UNKNOWN], data_type[data_type != UNKNOWN]
        subject = array_of(events["subject_id"]).to_numpy()[rows]
        number = array_of(events["numeric_value"]).fill_null(0.0).to_numpy()[rows]
        # some subjects at a time: what is at work stays in the processor's caches
        ends = np.append(np.flatnonzero(subject[1:] != subject[:-1]) + 1, len(subject))
        ends = ends[
            np.searchsorted(ends, np.arange(_AT_ONCE, len(subject) + _AT_ONCE, _AT_ONCE).clip(max=len(subject)))
        ]
        for part in map(slice, [0, *ends], ends):
            self._add(subject[part], data_type[part], number[part].astype(np.float64))

    def _add_statuses(self, subjects: pa.ChunkedArray, code: pa.DictionaryArray, of: Ints, status: pa.Array) -> None:
        """`of` is the data_type of each entry of the dictionary of `code`."""
        names = np.array([STATUS_NAMES.index(name) for name in status.dictionary.to_pylist()], dtype=np.int64)
        # as triplets have them: without a value where the code is unknown, or has no statistics for its number
        left = (of[:, None] != UNKNOWN) & ~(HAS_NUMBER_OF[names] & (self.n_values[of, None] == 0))
        nothing = len(ValueStatus)
        place = np.where(left, names, nothing).astype(np.int32).ravel()
        at = code.indices.to_numpy() * np.int32(len(names)) + status.indices.to_numpy()
        subject = array_of(subjects).to_numpy()
        opens = np.append(True, subject[1:] != subject[:-1])[: len(subject)]
        owner = np.cumsum(opens, dtype=np.int32) - np.int32(1)
        has = np.zeros((int(opens.sum()), nothing + 1), dtype=np.bool_)
        has.reshape(-1)[owner * np.int32(nothing + 1) + place[at]] = True
        self.statuses += has[:, :nothing].sum(0)

    def _add(self, subject: Ints, data_type: Ints, number: Floats) -> None:
        passed = edges_below(self.bounds, 3 * self.start, data_type, number)
        self._count(self.bins, subject, self.bin_start[data_type] + (passed + 1) // 3)
        held = np.flatnonzero(passed % 3)
        self._count(self.edges, subject[held], self.start[data_type[held]] + passed[held] // 3)
        if not np.isnan(self.center_cell).all():
            held = np.flatnonzero(np.floor(number / self.center_step[data_type]) == self.center_cell[data_type])
            self._count(self.centers, subject[held], data_type[held])
        order, opens, own = runs_of(subject, data_type)
        np.maximum.at(self.most, own, np.diff(opens, append=len(subject)))
        deviation = (number - self.mean[data_type])[order]
        if len(opens):
            np.maximum.at(self.spread, own, np.add.reduceat(deviation * deviation, opens))
            np.maximum.at(self.pull, own, np.abs(np.add.reduceat(deviation, opens)))

    @staticmethod
    def _count(counts: Ints, subject: Ints, place: Ints) -> None:
        counts += np.bincount(runs_of(subject, place)[2], minlength=len(counts))

    def table(self) -> pa.Table:
        """Return the vocabulary with what was counted."""
        out = self.vocabulary
        n, std = np.maximum(self.n_values, 1), np.where(self.std > 0, self.std, np.inf)
        for name, column in {
            "bin_subjects": pa.ListArray.from_arrays(self.bin_start.astype(np.int32), self.bins),
            "edge_subjects": pa.ListArray.from_arrays(self.start.astype(np.int32), self.edges),
            "center_subjects": pa.array(self.centers), "most_of_one": pa.array(self.most),
            "share_of_one": pa.array(self.spread / n / std**2), "pull_of_one": pa.array(self.pull / n / std),
        }.items():  # fmt: skip
            at = out.schema.get_field_index(name)
            out = out.set_column(at, out.schema.field(at), column.cast(out.schema.field(at).type))
        return out.replace_schema_metadata({STATUS_SUBJECTS: json.dumps(self.statuses.tolist())})


def _begin(cell: Floats, step: Floats) -> Floats:
    """Return the smallest float32 in each cell: where a division that rounds puts it, not where the product lies."""
    begin = (cell * step).astype(np.float32)
    for towards, out in ((-np.inf, np.greater_equal), (np.inf, np.less)):
        while (move := out(np.floor(begin.astype(np.float64) / step), cell)).any():
            begin = np.where(move, np.nextafter(begin, np.float32(towards)), begin)
    return begin.astype(np.float64)
