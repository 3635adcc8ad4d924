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
from dataclasses import dataclass
from itertools import count, islice
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from tawt.arrays import Ints
from tawt.batching.host import HostBatch
from tawt.batching.packing import N_PACKINGS, EpochPlan, next_fit, plan_epoch
from tawt.batching.source import Source, find_source
from tawt.batching.windows import WindowKind, Windows, cut_windows, document_lengths, sliding_windows
from tawt.config.batching import BatchingConfig
from tawt.dataset.reader import Split
from tawt.dataset.vocabulary import Vocabulary
from tawt.errors import DatasetError

Made = TypeVar("Made")


@dataclass(frozen=True, eq=False)
class _Documents:
    """`d` documents of a split."""

    subjects: Ints
    """`(d,)`, number of the subject in the split."""
    lengths: Ints
    """`(d,)`, tokens."""
    number: Ints | None
    """`(d,)`, which of the subject's sliding windows; None = the only one."""


@dataclass(frozen=True, eq=False)
class _Pass:
    """One way through documents, batch by batch."""

    documents: _Documents
    plan: EpochPlan
    """Which documents each batch holds."""
    windows: Windows
    """Which rows of its subject each document holds."""

    def __len__(self) -> int:
        return len(self.plan)

    def __getitem__(self, i: int) -> tuple[Ints, Windows]:
        """Return the subjects of batch `i`, and their windows."""
        chosen = self.plan[i]
        return self.documents.subjects[chosen], self.windows.of(chosen)


def _tensors(batch: HostBatch, number: int) -> Any:
    return batch.tensors()


class PackedLoader:
    """Batches of one split.

    Args:
        split: The mapped subjects; those without a triplet are left out.
        vocabulary: Of the dataset.
        config: Budget and windows.
        seed: Decides the order, the packing and the windows.
        with_available: Whether batches have `available`.

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
        with_available: bool = False,
    ) -> None:
        self.split = split
        self.vocabulary = vocabulary
        self.config = config
        self.seed = seed
        self.with_available = with_available
        self.subjects: Ints = np.flatnonzero(split.lengths)
        """Numbers of the subjects that have a document, in the split's order."""
        if not len(self.subjects):
            raise DatasetError(
                f"split `{split.name}`",
                f"has no triplet in {split.n_subjects} subjects, expected at least one",
                "check the split's fractions in the pipeline, then run `tawt ingest` again",
            )
        names = (*_COPIED, "available_time") if with_available else _COPIED
        views = {name: [getattr(columns, name) for columns in split.shards] for name in names}
        self._columns = {name: ([memoryview(x) for x in shards], shards[0].dtype) for name, shards in views.items()}
        self._documents = self._of_window(config.window)
        self._ends = [0]  # batches of the packings planned so far, summed
        self._passes: dict[int, _Pass] = {}
        self._lock = threading.Lock()

    @property
    def n_documents(self) -> int:
        """Documents of one epoch."""
        return len(self._documents.lengths)

    @property
    def n_tokens(self) -> int:
        """Tokens of one epoch; the rest of the split's triplets lies outside the windows."""
        return int(self._documents.lengths.sum())

    def n_batches(self, epoch: int) -> int:
        """Return the number of batches of an epoch; it differs a little between epochs."""
        with self._lock:
            return len(self._pass(epoch))

    def locate(self, step: int) -> tuple[int, int]:
        """Return (epoch, position in it) of a step; at most `N_PACKINGS` epochs are planned for their counts."""
        with self._lock:
            while self._ends[-1] <= step and len(self._ends) <= N_PACKINGS:
                self._ends.append(self._ends[-1] + len(self._pass(len(self._ends) - 1)))
            rounds = step // self._ends[-1] if len(self._ends) > N_PACKINGS else 0
            step -= rounds * self._ends[-1]
            packing = bisect_right(self._ends, step) - 1
            return rounds * N_PACKINGS + packing, step - self._ends[packing]

    def batch(self, step: int) -> HostBatch:
        """Return training batch number `step`, counted from 0 through all epochs.

        Raises:
            DatasetError: A data_type in the shard is not in the vocabulary.
        """
        return self._pack(*self._training(step))

    def stream(
        self, start_step: int = 0, stride: int = 1, *, make: Callable[[HostBatch, int], Made] = _tensors
    ) -> Generator[Made, None, None]:
        """Yield batches `start_step, start_step + stride, ...` without end, made ahead by one thread.

        Rank `r` of `w` takes `stream(step * w + r, w)`.

        Args:
            start_step: Number of the first batch.
            stride: Between batches.
            make: What becomes of each, in that thread: `make(batch, number)`; by default, a `PackedBatch`. What it
                raises, the consumer gets.
        """
        return self._ahead(count(start_step, stride), lambda i: make(self.batch(i), i))

    def sequential(self, *, make: Callable[[HostBatch, int], Made] = _tensors) -> Generator[Made, None, None]:
        """Yield every subject once, its window `last`, in the split's order: for validation and embedding.

        Args:
            make: See `stream`; numbers count from 0.
        """
        batches = self._sequential()
        return self._ahead(range(len(batches)), lambda i: make(self._pack(*batches[i]), i))

    def source(self, number: int) -> Source:
        """Return the rows of the shards that training batch `number` holds, for messages about it."""
        return self._source(*self._training(number))

    def sequential_source(self, number: int) -> Source:
        """Return the rows of the shards that batch `number` of `sequential` holds."""
        return self._source(*self._sequential()[number])

    def _of_window(self, window: WindowKind) -> _Documents:
        lengths, n_static = self.split.lengths[self.subjects], self.split.n_static[self.subjects]
        if window == "sliding":
            at, number, tokens = sliding_windows(lengths, n_static, self.config.max_length)
            return _Documents(self.subjects[at], tokens, number)
        return _Documents(self.subjects, document_lengths(lengths, self.config.max_length), None)

    def _training(self, step: int) -> tuple[Ints, Windows]:
        epoch, position = self.locate(step)
        with self._lock:
            return self._pass(epoch)[position]

    def _sequential(self) -> _Pass:
        documents = self._of_window("last")
        plan = next_fit(documents.lengths, self.config.tokens_per_batch)
        return _Pass(documents, plan, self._windows(documents, "last", 0))

    def _pass(self, epoch: int) -> _Pass:
        if epoch not in self._passes:
            while len(self._passes) > 1:  # the thread may be one epoch ahead of the training step
                del self._passes[next(iter(self._passes))]
            plan = plan_epoch(self._documents.lengths, self.seed, epoch, self.config.tokens_per_batch)
            windows = self._windows(self._documents, self.config.window, epoch)
            self._passes[epoch] = _Pass(self._documents, plan, windows)
        return self._passes[epoch]

    def _ahead(self, numbers: Iterable[int], make: Callable[[int], Made]) -> Generator[Made, None, None]:
        todo = iter(numbers)
        with ThreadPoolExecutor(1, thread_name_prefix="tawt-loader") as thread:
            ready = deque(thread.submit(make, n) for n in islice(todo, self.config.prefetch))
            while ready:
                made = ready.popleft().result()
                ready.extend(thread.submit(make, n) for n in islice(todo, 1))
                yield made

    def _windows(self, documents: _Documents, window: WindowKind, epoch: int) -> Windows:
        split, subjects = self.split, documents.subjects
        return cut_windows(
            split.lengths[subjects], split.n_static[subjects], self.config.max_length, window,
            split.subject_ids[subjects], self.seed, epoch, documents.number,
        )  # fmt: skip

    def _pack(self, subjects: Ints, windows: Windows) -> HostBatch:
        split = self.split
        bounds = np.zeros(len(subjects) + 1, dtype=np.int64)
        np.cumsum(windows.n_static + windows.n_timed, out=bounds[1:])
        column = self._copy(subjects, windows)
        if column["data_type"].max() >= len(self.vocabulary):
            raise DatasetError(
                str(split.folder),
                f"has a data_type beyond the vocabulary, expected one of its {len(self.vocabulary)}",
                split.build_again,
            )
        time = column.pop("timestamp")
        available = column.pop("available_time", None)
        return HostBatch(
            **column,
            time=time,
            available=available,
            bounds=bounds,
            n_static=windows.n_static,
            subject_id=split.subject_ids[subjects],
            origin=split.origins[subjects],
            end=time[bounds[1:] - 1],  # of a document that is all static: 0
            n_cut=int(windows.n_cut.sum()),
        )

    def _source(self, subjects: Ints, windows: Windows) -> Source:
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

    def _copy(self, subjects: Ints, windows: Windows) -> dict[str, NDArray[Any]]:
        """Copy the windows' rows end to end: until here a triplet lies in the page cache alone."""
        runs = self._runs(subjects, windows)
        return {
            # of bare memory, which takes half of numpy's time
            name: np.frombuffer(bytearray().join([shards[shard][rows] for shard, rows in runs]), dtype)
            for name, (shards, dtype) in self._columns.items()
        }


_COPIED = ("timestamp", "data_type", "value", "value_token", "value_status", "identity")
