"""Mapped split -> packed batches.

A batch is a pure function of (seed, step), not of what was asked before, of ranks or of threads:
a checkpoint needs only the step.
"""

from __future__ import annotations

import threading
from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import ThreadPoolExecutor
from itertools import count, islice
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from tawt.batching.batch import PackedBatch
from tawt.batching.gaps import US_PER_HOUR, event_gaps, timed_start, type_gaps
from tawt.batching.packing import EpochPlan, next_fit, plan_epoch
from tawt.batching.windows import WindowKind, Windows, cut_windows, document_lengths
from tawt.config.batching import BatchingConfig
from tawt.dataset.reader import Split
from tawt.dataset.shard import REBUILD, Columns
from tawt.dataset.vocabulary import Vocabulary
from tawt.errors import DatasetError

IntArray = NDArray[np.int64]
Batches = Generator[PackedBatch, None, None]
"""Made ahead by a thread, which `close()` ends."""


class PackedLoader:
    """Batches of one split.

    Args:
        split: The mapped subjects; those without a triplet are left out (`n_empty`).
        vocabulary: Of the dataset.
        config: Budget and windows.
        seed: Decides the order, the packing and the windows.
        with_type_gaps: False leaves `type_gap_hours` at "none", for whoever makes it anew as masking does.

    Raises:
        DatasetError: No subject of the split has a triplet.
    """

    def __init__(
        self,
        split: Split,
        vocabulary: Vocabulary,
        config: BatchingConfig,
        seed: int = 0,
        *,
        with_type_gaps: bool = True,
    ) -> None:
        self.split = split
        self.vocabulary = vocabulary
        self.config = config
        self.seed = seed
        self.with_type_gaps = with_type_gaps
        self.subjects: IntArray = np.flatnonzero(split.lengths)
        """Numbers of the subjects that have a document, in the split's order."""
        if not len(self.subjects):
            raise DatasetError(
                f"split `{split.name}`",
                f"has no triplet in {split.n_subjects} subjects, expected at least one",
                "check the split's fractions in the pipeline, then run `tawt ingest` again",
            )
        self._lengths = document_lengths(split.lengths[self.subjects], config.max_length)
        self._ends = [0]  # batches of the epochs planned so far, summed
        self._plans: dict[int, EpochPlan] = {}
        self._lock = threading.Lock()

    @property
    def n_empty(self) -> int:
        """Subjects without a triplet, which no batch holds."""
        return self.split.n_subjects - len(self.subjects)

    @property
    def n_tokens(self) -> int:
        """Tokens of one epoch; the rest of the split's triplets lies outside the windows."""
        return int(self._lengths.sum())

    def n_batches(self, epoch: int) -> int:
        """Return the number of batches of an epoch; it differs a little between epochs."""
        with self._lock:
            return len(self._plan(epoch))

    def locate(self, step: int) -> tuple[int, int]:
        """Return (epoch, position in it) of a step; epochs before it are planned once, for their counts."""
        with self._lock:
            while self._ends[-1] <= step:
                self._ends.append(self._ends[-1] + len(self._plan(len(self._ends) - 1)))
            epoch = bisect_right(self._ends, step) - 1
            return epoch, step - self._ends[epoch]

    def batch(self, step: int) -> PackedBatch:
        """Return training batch number `step`, counted from 0 through all epochs.

        Raises:
            DatasetError: A data_type in the shard is not in the vocabulary.
        """
        epoch, position = self.locate(step)
        with self._lock:
            documents = self._plan(epoch)[position]
        return self._pack(self.subjects[documents], self.config.window, epoch)

    def stream(self, start_step: int = 0, stride: int = 1) -> Batches:
        """Yield batches `start_step, start_step + stride, ...` without end, made ahead by one thread.

        Rank `r` of `w` takes `stream(step * w + r, w)`.
        """
        return self._ahead(count(start_step, stride), self.batch)

    def sequential(self) -> Batches:
        """Yield every subject once, its window `last`, in the split's order: for validation and embedding."""
        plan = next_fit(self._lengths, self.config.tokens_per_batch)
        return self._ahead(range(len(plan)), lambda i: self._pack(self.subjects[plan[i]], "last", 0))

    def _plan(self, epoch: int) -> EpochPlan:
        if epoch not in self._plans:
            while len(self._plans) > 1:  # the thread may be one epoch ahead of the training step
                del self._plans[next(iter(self._plans))]
            self._plans[epoch] = plan_epoch(self._lengths, self.seed, epoch, self.config.tokens_per_batch)
        return self._plans[epoch]

    def _ahead(self, numbers: Iterable[int], make: Callable[[int], PackedBatch]) -> Batches:
        todo = iter(numbers)
        with ThreadPoolExecutor(1, thread_name_prefix="tawt-loader") as thread:
            ready = deque(thread.submit(make, n) for n in islice(todo, self.config.prefetch))
            while ready:
                batch = ready.popleft().result()
                ready.extend(thread.submit(make, n) for n in islice(todo, 1))
                yield batch

    def _pack(self, subjects: IntArray, window: WindowKind, epoch: int) -> PackedBatch:
        split = self.split
        ids, lengths = split.subject_ids[subjects], split.lengths[subjects]
        windows = cut_windows(lengths, split.n_static[subjects], self.config.max_length, window, ids, self.seed, epoch)
        sizes = windows.n_static + windows.n_timed
        bounds = np.concatenate([[0], np.cumsum(sizes)])
        column = self._copy(subjects, windows)
        if column["data_type"].max() >= len(self.vocabulary):
            raise DatasetError(
                f"split `{split.name}`",
                f"has a data_type beyond the vocabulary, expected one of its {len(self.vocabulary)}",
                REBUILD,
            )
        us = column.pop("timestamp")
        first_timed = bounds[:-1] + windows.n_static
        start = timed_start(first_timed, bounds)
        is_static, gap_hours = event_gaps(us, start)
        if self.with_type_gaps:
            type_gap_hours = type_gaps(us, column["data_type"], start)
        else:
            type_gap_hours = np.full(len(us), -1, dtype=np.float32)
        last = us[bounds[1:] - 1]  # of a document that is all static: 0
        arrays = {
            **column,
            "hours": us / US_PER_HOUR,
            "is_static": is_static,
            "gap_hours": gap_hours,
            "type_gap_hours": type_gap_hours,
            "cu_seqlens": bounds.astype(np.int32),
            "subject_id": ids,
            "end_hours": last / US_PER_HOUR,
            "end_time": split.origins[subjects] + last.astype(np.int64),
        }
        return PackedBatch(
            **{name: torch.from_numpy(array) for name, array in arrays.items()},
            max_seqlen=int(sizes.max()),
            n_cut=int(windows.n_cut.sum()),
        )

    def _copy(self, subjects: IntArray, windows: Windows) -> dict[str, NDArray[Any]]:
        """Copy the windows' rows end to end: until here a triplet lies in the page cache alone."""
        split = self.split
        start = split.starts[subjects]
        timed = start + windows.start
        runs: list[tuple[Columns, int, int]] = []
        for shard, first, n_static, middle, n_timed in zip(
            split.shard[subjects].tolist(), start.tolist(), windows.n_static.tolist(), timed.tolist(),
            windows.n_timed.tolist(), strict=True,
        ):  # fmt: skip
            columns = split.shards[shard]
            if first + n_static == middle:
                runs.append((columns, first, middle + n_timed))
            else:
                runs += [(columns, first, first + n_static), (columns, middle, middle + n_timed)]
        pieces = {name: [getattr(columns, name)[a:b] for columns, a, b in runs] for name in _COPIED}
        return {name: np.concatenate(pieces[name]).astype(_COPIED[name], copy=False) for name in _COPIED}


_COPIED: dict[str, type[np.generic]] = {
    "timestamp": np.float64,
    "data_type": np.int64,
    "value": np.float32,
    "value_token": np.int64,
    "value_status": np.int64,
}
