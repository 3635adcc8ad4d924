"""Rows of a split, window by window: until they are copied here, a triplet lies in the page cache alone."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tawt.arrays import Ints
from tawt.batching.host import HostBatch
from tawt.batching.source import Source, find_source
from tawt.batching.windows import Windows
from tawt.dataset.reader import Split
from tawt.dataset.vocabulary import Vocabulary
from tawt.errors import DatasetError

_COPIED = ("timestamp", "data_type", "value", "value_token", "value_status", "identity")


class Rows:
    """Reads windows of the subjects of a split.

    Args:
        split: The mapped subjects.
        vocabulary: Of the dataset.
        with_available: Whether batches have `available`.
    """

    def __init__(self, split: Split, vocabulary: Vocabulary, with_available: bool) -> None:
        self.split = split
        self.vocabulary = vocabulary
        names = (*_COPIED, "available_time") if with_available else _COPIED
        views = {name: [getattr(columns, name) for columns in split.shards] for name in names}
        self._columns = {name: ([memoryview(x) for x in shards], shards[0].dtype) for name, shards in views.items()}

    def batch(self, subjects: Ints, windows: Windows, names: Collection[str] = (), **told: Any) -> HostBatch:
        """Return the documents of some windows as a batch.

        Args:
            subjects: `(d,)`, numbers in the split.
            windows: Of each.
            names: Columns; the others are then empty. None named = all.
            told: What else the batch is told.

        Raises:
            DatasetError: A data_type in the shard is not in the vocabulary.
        """
        split = self.split
        bounds = np.zeros(len(subjects) + 1, dtype=np.int64)
        np.cumsum(windows.n_static + windows.n_timed, out=bounds[1:])
        column = self._copy(subjects, windows, names or self._columns.keys())
        if "data_type" in column and column["data_type"].max() >= len(self.vocabulary):
            raise DatasetError(
                str(split.folder),
                f"has a data_type beyond the vocabulary, expected one of its {len(self.vocabulary)}",
                split.build_again,
            )
        time = column.pop("timestamp")
        available = column.pop("available_time", None)
        made: dict[str, Any] = {
            "end": time[bounds[1:] - 1],  # of a document that is all static: 0
            **dict.fromkeys(self._columns.keys() - {"timestamp", "available_time"}),
            **column,
            **told,
        }
        return HostBatch(
            **made,
            time=time,
            available=available,
            bounds=bounds,
            n_static=windows.n_static,
            subject_id=split.subject_ids[subjects],
            origin=split.origins[subjects],
            n_cut=int(windows.n_cut.sum()),
            begins=windows.start == split.n_static[subjects],
            ends=windows.start + windows.n_timed == split.lengths[subjects],
            counts_from_row=split.time_origin != "anchor",
        )

    def source(self, subjects: Ints, windows: Windows) -> Source:
        """Return where the rows of some windows lie, for messages about them."""
        split, runs = self.split, self._runs(subjects, windows)
        return find_source((split.shard_files[i], rows, split.shards[i].value) for i, rows in runs)

    def _runs(self, subjects: Ints, windows: Windows) -> list[tuple[int, slice]]:
        """Return the windows' rows, end to end: number of the shard, and neighbours in it.

        Simultaneous rows stand in an order that was drawn: of a moment that a window cuts, any part will do.
        """
        first = self.split.starts[subjects]
        timed = first + windows.start
        columns = self.split.shard[subjects], first, first + windows.n_static, timed, timed + windows.n_timed
        runs = []
        for shard, a, b, c, d in zip(*(column.tolist() for column in columns), strict=True):
            if b == c:
                runs.append((shard, slice(a, d)))
            else:
                runs += [(shard, slice(a, b)), (shard, slice(c, d))]
        return runs

    def _copy(self, subjects: Ints, windows: Windows, names: Collection[str]) -> dict[str, NDArray[Any]]:
        runs = self._runs(subjects, windows)
        return {
            # of bare memory, which takes half of numpy's time
            name: np.frombuffer(bytearray().join([shards[shard][rows] for shard, rows in runs]), dtype)
            for name, (shards, dtype) in self._columns.items()
            if name in names
        }
