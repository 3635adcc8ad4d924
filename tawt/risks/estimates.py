"""What continuations say of labels: by three estimators where the task is plain, on records where it is not."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch

from tawt.arrays import Floats, Ints
from tawt.batching.batch import PackedBatch
from tawt.batching.host import HostBatch
from tawt.batching.loader import PackedLoader
from tawt.files import write_parquet
from tawt.labels.ahead import Ahead
from tawt.risks.continuations import Continued, as_events, trajectories
from tawt.risks.records import ROWS_AT_ONCE, Asking
from tawt.risks.simulate import Question, Simulated, Simulation, continue_records, simulate
from tawt.runs.load import LoadedDecoder
from tawt.synthesis.values import Meanings

Batches = Iterable[tuple[int, PackedBatch]]
"""Of each batch, the number of its first label, and what was known."""


@dataclass(frozen=True)
class Estimates:
    """What continuations say of `r` labels."""

    said: dict[str, Floats]
    """Estimator -> `(r, c)` answers, NaN where no continuation has one."""
    bounds: dict[str, tuple[float, float]]
    """Estimator -> its mean, were the outcome to come in none of what is open, and in all of it."""
    shares: dict[str, float]
    """Estimator -> share of continuations that were followed to the end of what is asked."""
    steps: dict[str, float]
    """Estimator -> events drawn for a label, a mean."""
    cost: dict[str, float]
    """Estimator -> variance of one continuation times its events: what an equal error costs."""
    n_without: float = 0.0
    """Share of continuations that the task leaves out by its own rules."""


class Trajectories:
    """Writes continuations as files of `GeneratedTrajectorySchema`: a folder of each number, for a record is in a file
    once.

    Args:
        folder: Where; None = nowhere.
        n: Continuations of each record.
        decoder: Whose they are.
    """

    def __init__(self, folder: Path | None, n: int, decoder: LoadedDecoder) -> None:
        self.folder, self.n, self.meanings = folder, n, Meanings(decoder.vocabulary)
        self._part, self._waiting = 0, list[pa.Table]()

    def events(self, continued: Continued) -> pa.Table:
        """Return continuations as events, and write them where they are to be written."""
        events = as_events(continued, self.meanings)
        if self.folder is not None:
            self._waiting.append(events)
            if sum(len(one) for one in self._waiting) >= ROWS_AT_ONCE:
                self.flush()
        return events

    def flush(self) -> None:
        """Write what waits to be written."""
        if self.folder is None or not self._waiting:
            return
        events = pa.concat_tables(self._waiting)
        for number in range(self.n):
            place = self.folder / f"{number:04d}" / f"{self._part:05d}.parquet"
            place.parent.mkdir(parents=True, exist_ok=True)
            write_parquet(place, trajectories(events, number), compression="zstd")
        self._part, self._waiting = self._part + 1, []


def batches_of(
    loader: PackedLoader, stride: int = 1, change: Callable[[HostBatch, int], HostBatch] | None = None
) -> Iterator[tuple[int, PackedBatch]]:
    """Give what was known of labels, with the number of the first label of each batch, among those that are given.

    Args:
        loader: Of prediction times.
        stride: Of each so many batches one is given.
        change: What is taken from the records; given a batch and its number.
    """

    def make(batch: HostBatch, i: int) -> PackedBatch:
        return (batch if change is None else change(batch, i)).tensors()

    n, done = len(loader.in_order), 0
    parts = [(0, n)] if stride == 1 else [(i, i + 1) for i in range(0, n, stride)]
    for part in parts:
        for batch in loader.sequential(*part, make=make):
            yield done, batch
            done += batch.n_documents


def by_estimators(
    decoder: LoadedDecoder, batches: Batches, ahead: Ahead, end: Ints, how: Simulation,
    written: Trajectories | None = None, heard: Callable[[int], None] = lambda n: None,
) -> Estimates:  # fmt: skip
    """Ask whether a code comes.

    Args:
        decoder: Who continues.
        batches: What was known.
        ahead: What is asked.
        end: `(r,)`, prediction times, us since the moment that each document's times count from.
        how: Records are continued.
        written: Where continuations are written too; None = nowhere.
        heard: Estimates how many labels are done.
    """
    codes, methods, simulated = decoder.vocabulary.codes, how.methods, []

    def of(wanted: frozenset[str]) -> torch.Tensor:
        return torch.tensor([code in wanted for code in codes])

    watched, ends = of(ahead.outcome), of(ahead.ends) if ahead.ends else None
    for first, batch in batches:
        own = slice(first, first + batch.n_documents)
        question = Question(watched, None if ahead.length is None else end[own] + ahead.length, ends)
        found = simulate(decoder, batch, question, how, keep=written is not None)
        if found.continued is not None and written is not None:
            written.events(found.continued)
        simulated.append(Simulated(found.each, found.steps, found.complete))
        heard(first + batch.n_documents)
    each, steps, complete = (
        {name: np.concatenate([getattr(one, column)[name] for one in simulated]) for name in methods}
        for column in ("each", "steps", "complete")
    )
    whole = Simulated(each, steps, complete)
    said = {name: np.clip(whole.chance(name), 0, 1) for name in methods}
    return Estimates(
        {name: one[:, None] for name, one in said.items()},
        {name: (float(said[name].mean()), float(np.clip(whole.most(name), 0, 1).mean())) for name in methods},
        {name: float(whole.complete[name].mean()) for name in methods},
        {name: float(whole.steps[name].sum(1).mean()) for name in methods},
        {name: whole.cost(name) for name in methods} if how.n > 1 else {},
    )


def by_records(
    decoder: LoadedDecoder, batches: Batches, asking: Asking, end: Ints, length: int | None, how: Simulation,
    written: Trajectories, heard: Callable[[int], None] = lambda n: None,
) -> Estimates:  # fmt: skip
    """Ask anything: each continuation is a record, of which the task is asked.

    Args:
        decoder: See `by_estimators`.
        batches: See there.
        asking: What is asked.
        end: See `by_estimators`.
        length: us from the prediction time, behind which nothing is asked; None = it hangs on what comes.
        how: See there.
        written: Makes events of continuations.
        heard: See there.
    """
    steps = 0
    whole = 0
    for first, batch in batches:
        d = batch.n_documents
        until = None if length is None else end[first : first + d] + length
        continued = continue_records(decoder, batch, until, how)
        steps += int(continued.records.bounds[-1])
        asking.add(first, continued, written.events(continued), batch.n_tokens)
        heard(first + d)
        whole += d
    asking.resolve()
    answered = asking.answered
    rows = whole * how.n
    bounds = {}
    if asking.labels.kind in ("binary", "labels"):
        low, high = answered.bounds()
        bounds["M0"] = float(low.mean()), float(high.mean())
    return Estimates(
        {"M0": answered.mean()}, bounds, {"M0": 1 - float(answered.n_cut.sum()) / rows}, {"M0": steps / whole}, {},
        answered.n_without / rows,
    )  # fmt: skip
