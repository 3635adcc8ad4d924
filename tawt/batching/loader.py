"""Mapped split -> packed batches.

A batch is a pure function of (seed, step), not of what was asked before, of ranks or of threads:
a checkpoint needs only the step.
"""

from __future__ import annotations

import threading
from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from functools import cached_property
from itertools import count, islice
from typing import Any, TypeVar

import numpy as np

from tawt.arrays import Ints
from tawt.batching.at_times import Asked, AtTimes, documents_at, documents_before, ended
from tawt.batching.host import HostBatch
from tawt.batching.left import Cutter, Left, together
from tawt.batching.order import by_type
from tawt.batching.packing import N_PACKINGS, next_fit, plan_epoch
from tawt.batching.passes import Pass, in_parts
from tawt.batching.rows import Rows
from tawt.batching.source import Source
from tawt.batching.windows import Documents, WindowKind, Windows, cut_windows, document_lengths, sliding_windows
from tawt.config.batching import BatchingConfig
from tawt.dataset.reader import Split
from tawt.dataset.vocabulary import Vocabulary
from tawt.errors import DatasetError

Made = TypeVar("Made")


class PackedLoader:
    """Batches of one split.

    Args:
        split: The mapped subjects; those without a triplet are left out.
        vocabulary: Of the dataset.
        config: Budget and windows.
        seed: Decides the order, the packing and the windows.
        with_available: Whether batches have `available`.
        cutter: What training batches lose on their way to the model, so that what is left is packed; None = nothing.
        asked: Prediction times: documents hold what was known by then, one for each, instead of windows of the config.
        pairing: Draws what documents end before: `pairing(documents, windows, packing)` gives the `end` and the `row`
            of `documents_before`; None = none do.
        beside: Finds what lies beside the documents of a batch; None = nothing is looked at.

    Raises:
        DatasetError: No subject of the split has a triplet, or none of those asked for by its prediction time.
    """

    def __init__(
        self,
        split: Split,
        vocabulary: Vocabulary,
        config: BatchingConfig,
        seed: int = 0,
        *,
        with_available: bool = False,
        cutter: Cutter | None = None,
        asked: Asked | None = None,
        pairing: Callable[[Documents, Windows, int], tuple[Ints, Ints]] | None = None,
        beside: Callable[[HostBatch], Any] | None = None,
    ) -> None:
        self.split = split
        self.vocabulary = vocabulary
        self.config = config
        self.seed = seed
        self.with_available = with_available
        self.cutter = cutter or None
        self.pairing = pairing
        self.beside = beside
        self.subjects: Ints = np.flatnonzero(split.lengths)
        """Numbers of the subjects that have a document, in the split's order."""
        if not len(self.subjects):
            raise DatasetError(
                f"split `{split.name}`",
                f"has no triplet in {split.n_subjects} subjects, expected at least one",
                "check the split's fractions in the pipeline, then run `tawt ingest` again",
            )
        self._rows = Rows(split, vocabulary, with_available or asked is not None or pairing is not None)
        self.at: AtTimes | None = documents_at(split, asked, config.max_length) if asked is not None else None
        """The documents of prediction times; None = those of windows."""
        self._documents = self._of_window(config.window)
        if not len(self._documents.lengths):
            raise DatasetError(
                f"split `{split.name}`", "has no triplet that was known by one of the prediction times, expected some",
                "ask for later times, or of these subjects",
            )  # fmt: skip
        self._ends = [0]  # batches of the packings planned so far, summed
        self._passes: dict[int, Pass] = {}
        self._planned: dict[int, Future[Pass]] = {}
        self._lock = threading.Lock()

    @property
    def n_documents(self) -> int:
        """Documents of one epoch."""
        return len(self._documents.lengths)

    @property
    def n_tokens(self) -> int:
        """Tokens of one epoch before anything is cut off; the rest of the split's triplets lies outside the windows."""
        return int(self._documents.lengths.sum())

    def n_left(self, epoch: int) -> int:
        """Return the tokens of an epoch that reach the model."""
        with self._lock:
            passed = self._pass(epoch)
        return int((passed.documents if passed.left is None else passed.left).lengths.sum())

    def paired_subjects(self, epoch: int) -> Ints:
        """Return the subjects, each once, of whom an epoch has a document that is paired."""
        with self._lock:
            at = self._pass(epoch).at
        return np.unique(at.documents.subjects[at.row >= 0] if self.pairing and at else [])

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
        passed, i = self._training(step)
        return self._batch(passed, i)

    def stream(
        self, start_step: int = 0, stride: int = 1, *, make: Callable[[HostBatch, int], Made] | None = None
    ) -> Generator[Made, None, None]:
        """Yield batches `start_step, start_step + stride, ...` without end, made ahead by one thread.

        Where documents end, another looks through them for the next epoch meanwhile.

        Rank `r` of `w` takes `stream(step * w + r, w)`.

        Args:
            start_step: Number of the first batch.
            stride: Between batches.
            make: What becomes of each, in that thread: `make(batch, number)`; by default, a `PackedBatch`. What it
                raises, the consumer gets.
        """
        with ThreadPoolExecutor(1, thread_name_prefix="tawt-loader") as planner:
            made_into = make or self._tensors

            def batch(i: int) -> HostBatch:
                made, (epoch, position) = self.batch(i), self.locate(i)
                with self._lock:
                    late = (self.cutter or self.pairing) and 2 * position > len(self._pass(epoch))
                    if late and epoch + 1 not in {*self._planned, *self._passes}:
                        self._planned = {epoch + 1: planner.submit(self._plan, epoch + 1)}
                return made

            try:
                yield from self._ahead(count(start_step, stride), lambda i: made_into(batch(i), i))
            finally:
                planner.shutdown(cancel_futures=True)
                self._planned = {}

    @cached_property
    def in_order(self) -> Pass:
        """Every subject once, its window `last`, in the split's order: what `sequential` goes through."""
        documents, windows, at = self._laid("last", 0)
        return Pass(documents, next_fit(documents.lengths, self.config.tokens_per_batch), windows, at=at)

    def sequential(
        self, start: int = 0, stop: int | None = None, *, make: Callable[[HostBatch, int], Made] | None = None
    ) -> Generator[Made, None, None]:
        """Yield every subject once, its window `last`, in the split's order: for validation and embedding.

        Args:
            start: Number of the first batch, counted from 0.
            stop: Number of the batch before which to end; None = all.
            make: See `stream`.
        """
        batches, made_into = self.in_order, make or self._tensors
        return self._ahead(range(len(batches))[start:stop], lambda i: made_into(self._batch(batches, i), i))

    def source(self, number: int) -> Source:
        """Return the rows of the shards that training batch `number` holds, for messages about it."""
        passed, i = self._training(number)
        return self._rows.source(*passed[i])

    def sequential_source(self, number: int) -> Source:
        """Return the rows of the shards that batch `number` of `sequential` holds."""
        return self._rows.source(*self.in_order[number])

    def _tensors(self, batch: HostBatch, number: int) -> Any:
        packed = batch.tensors()
        return packed if self.beside is None else replace(packed, beside=self.beside(batch))

    def _batch(self, passed: Pass, i: int) -> HostBatch:
        if passed.at is None:
            batch = self._rows.batch(*passed[i], **passed.told(i))
        else:
            batch = replace(ended(self._rows, passed.at, passed.plan[i]), packing=passed.packing)
        return by_type(batch) if self.config.order == "by_type" else batch

    def _of_window(self, window: WindowKind) -> Documents:
        if self.at is not None:
            return self.at.documents
        lengths, n_static = self.split.lengths[self.subjects], self.split.n_static[self.subjects]
        if window == "sliding":
            at, number, tokens = sliding_windows(lengths, n_static, self.config.max_length)
            return Documents(self.subjects[at], tokens, number)
        return Documents(self.subjects, document_lengths(lengths, self.config.max_length), None)

    def _training(self, step: int) -> tuple[Pass, int]:
        epoch, position = self.locate(step)
        with self._lock:
            return self._pass(epoch), position

    def _pass(self, epoch: int) -> Pass:
        if epoch not in self._passes:
            while len(self._passes) > 1:  # the thread may be one epoch ahead of the training step
                del self._passes[next(iter(self._passes))]
            planned = self._planned.pop(epoch, None)
            self._passes[epoch] = self._plan(epoch) if planned is None else planned.result()
        return self._passes[epoch]

    def _plan(self, epoch: int) -> Pass:
        packing, left = epoch % N_PACKINGS, None
        # what is left hangs on the window, and how batches are packed on what is left
        documents, windows, at = self._laid(self.config.window, packing if self.cutter or self.pairing else epoch)
        if self.cutter:
            left = self._left(self.cutter, documents, windows, at, packing)
            if at is None:
                windows = replace(windows, n_timed=left.n_timed)
        lengths = documents.lengths if left is None else left.lengths
        plan = plan_epoch(lengths, self.seed, epoch, self.config.tokens_per_batch)
        return Pass(documents, plan, windows, left, packing, at)

    def _left(self, cutter: Cutter, documents: Documents, windows: Windows, at: AtTimes | None, packing: int) -> Left:
        """Look through all documents for what is left of them, some rows at a time."""
        rows, names = self._rows, cutter.columns
        return together(
            cutter.left(
                rows.batch(documents.subjects[part], windows.of(part), names)
                if at is None else ended(rows, at, part, names),
                packing,
            )
            for part in in_parts(windows.lengths)
        )  # fmt: skip

    def _ahead(self, numbers: Iterable[int], make: Callable[[int], Made]) -> Generator[Made, None, None]:
        todo = iter(numbers)
        with ThreadPoolExecutor(1, thread_name_prefix="tawt-loader") as thread:
            ready = deque(thread.submit(make, n) for n in islice(todo, self.config.prefetch))
            while ready:
                made = ready.popleft().result()
                ready.extend(thread.submit(make, n) for n in islice(todo, 1))
                yield made

    def _laid(self, window: WindowKind, epoch: int) -> tuple[Documents, Windows, AtTimes | None]:
        """Return the documents of a way through the split, their windows, and their ends, if these are others."""
        if self.at is not None:
            return self.at.documents, self.at.windows, self.at
        split, documents, most = self.split, self._of_window(window), self.config.max_length
        lengths, n_static, subject_id = (
            column[documents.subjects] for column in (split.lengths, split.n_static, split.subject_ids)
        )
        windows = cut_windows(lengths, n_static, most, window, subject_id, self.seed, epoch, documents.number)
        if self.pairing is None:
            return documents, windows, None
        at = documents_before(split, documents, windows, *self.pairing(documents, windows, epoch), most)
        return at.documents, at.windows, at
