"""The chance that something comes within a horizon, from continuations of a record; three estimators of one number.

    M0, Monte Carlo              the share of continuations in which it comes
    M1, expected probability     along continuations, the sum of its chances up to where it comes
    M2, suppressed               one minus the mean product of (1 - chance) along continuations in which it cannot come

All are unbiased: M1 takes for each step its expectation given what was before, M2 weighs each continuation without it
by how likely that was. A step tells a chance where Monte Carlo tells yes or no: they need fewer for an equal error.

Source: the estimators are those of SCOPE and REACH (arXiv 2602.03730), here of events in continuous time.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tawt.arrays import Bools, Floats, Ints
from tawt.batching.batch import PackedBatch
from tawt.chance import Salt, draw
from tawt.contracts.dataset import US_PER_HOUR
from tawt.models.decoder.drawn import Drawn
from tawt.models.decoder.heads import Step
from tawt.models.decoder.sample import Sampler
from tawt.risks.continuations import Continued, Keeper
from tawt.runs.load import LoadedDecoder

METHODS = ("M0", "M1", "M2")
QUICK = ("M0", "M1")
"""Those for which nothing is drawn in which the outcome is impossible."""
BEST = {True: "M1", False: "M0"}
"""Whether all that is asked is whether a code comes -> the estimator whose answer is told first."""
WIDTH = 128
"""Continuations that are drawn side by side."""


@dataclass(frozen=True)
class Simulation:
    """How records are continued."""

    n: int
    """Continuations of each record, of each kind."""
    seed: int = 0
    """Of the continuations: each is a function of it, of the record's subject, prediction time and its number."""
    most: int = 1000
    """Events after which a continuation is cut."""
    methods: tuple[str, ...] = METHODS
    """Of `METHODS`, all or `QUICK`."""


@dataclass(frozen=True)
class Question:
    """What is asked of records: does one of some data_types come, before what ends the window?"""

    watched: Tensor
    """`(v,)` bool, the data_types of the outcome."""
    until: Ints | None
    """`(d,)`, us since each record's origin, up to which it counts; None = to the record's end."""
    ends: Tensor | None = None
    """`(v,)` bool, the data_types that end the window: what comes at the moment of the first still counts."""


@dataclass(frozen=True)
class Simulated:
    """What `n` continuations of each of `d` records say, by method."""

    each: dict[str, Floats]
    """`(d, n)`, of each continuation; their mean is the estimate."""
    steps: dict[str, Ints]
    """`(d, n)`, events that were drawn for it."""
    complete: dict[str, Bools]
    """`(d, n)`, whether it was followed to horizon, end or outcome; else it was cut."""
    continued: Continued | None = None
    """The continuations themselves, where they were to be kept."""

    def chance(self, method: str) -> Floats:
        """Return the estimates, `(d,)`."""
        found: Floats = self.each[method].mean(1)
        return found

    def most(self, method: str) -> Floats:
        """Return `(d,)`, what the estimates would be had the outcome come in all that was cut: they are the least."""
        each, cut = self.each[method], ~self.complete[method]
        # of M1, what may still come has a chance of one at most, beside the chances that were heard
        found: Floats = (each + cut * (1 if method == "M1" else 1 - each)).mean(1)
        return found

    def cost(self, method: str) -> float:
        """Return variance times steps, a mean over records: what the square of an error costs, in steps."""
        return float((self.each[method].var(1, ddof=1) * self.steps[method].mean(1)).mean())


@torch.no_grad()
def simulate(
    decoder: LoadedDecoder, prompts: PackedBatch, question: Question, how: Simulation, keep: bool = False
) -> Simulated:
    """Continue records, with the outcome possible and without, and read off what each method says.

    Args:
        decoder: Who continues.
        prompts: What was known of `d` records at their prediction times.
        question: What is asked.
        how: They are continued.
        keep: Whether the continuations are kept, and so followed on behind the outcome.
    """
    d, n, most, methods = prompts.n_documents, how.n, how.most, how.methods
    begun, record, words = _begun(decoder, prompts, how, question.watched)
    each = {method: np.zeros(d * n) for method in methods}
    steps = {method: np.zeros(d * n, dtype=np.int64) for method in methods}
    complete = {method: np.ones(d * n, dtype=np.bool_) for method in methods}
    keeper = Keeper() if keep else None
    for start in range(0, d * n, WIDTH):
        part = slice(start, start + WIDTH)
        own = torch.from_numpy(record[part])
        until = question.until[record[part]] if question.until is not None else None
        free = begun.branched(own, draw(words[part], Salt.FREE))
        came, summed, made, whole = _followed(free, question, until, most, keeper)
        for method, found in (("M0", came), ("M1", summed)):
            each[method][part], steps[method][part], complete[method][part] = found, made, whole
        if "M2" in methods:
            bound = begun.branched(own, draw(words[part], Salt.BOUND), suppressed=True)
            each["M2"][part], steps["M2"][part], complete["M2"][part] = _survived(bound, question, until, most)
    return Simulated(
        {method: each[method].reshape(d, n) for method in methods},
        {method: steps[method].reshape(d, n) for method in methods},
        {method: complete[method].reshape(d, n) for method in methods},
        _kept(keeper, prompts, n) if keeper is not None else None,
    )


@torch.no_grad()
def continue_records(decoder: LoadedDecoder, prompts: PackedBatch, until: Ints | None, how: Simulation) -> Continued:
    """Continue records, and keep what comes: the same that `simulate` reads M0 and M1 off.

    Args:
        decoder: Who continues.
        prompts: What was known of `d` records at their prediction times.
        until: `(d,)`, us since each record's origin, up to which they are followed; None = to the record's end.
        how: They are continued.
    """
    begun, record, words = _begun(decoder, prompts, how, None)
    keeper = Keeper()
    for start in range(0, len(record), WIDTH):
        part = slice(start, start + WIDTH)
        free = begun.branched(torch.from_numpy(record[part]), draw(words[part], Salt.FREE))
        for _ in keeper.events(free, how.most, until[record[part]] if until is not None else None):
            pass
    return _kept(keeper, prompts, how.n)


def _begun(
    decoder: LoadedDecoder, prompts: PackedBatch, how: Simulation, watched: Tensor | None
) -> tuple[Sampler, Ints, NDArray[np.uint64]]:
    """Return what has read the records, and of each continuation its record and its random word."""
    d, n = prompts.n_documents, how.n
    of_record = draw(draw(prompts.subject_id.numpy(), how.seed) + prompts.end_time.numpy().astype(np.uint64))
    begun = Sampler(decoder.encoder, decoder.heads, decoder.vocabulary, prompts, of_record, watched=watched, asked=True)
    record = np.repeat(np.arange(d), n)
    return begun, record, of_record[record] + np.tile(np.arange(n), d).astype(np.uint64)


def _kept(keeper: Keeper, prompts: PackedBatch, n: int) -> Continued:
    asked = prompts.end_time.numpy()
    origin = asked - (prompts.end_hours.numpy() * US_PER_HOUR).round().astype(np.int64)
    return keeper.continued(prompts.subject_id.numpy(), origin, asked, n)


class _Window:
    """Which events of continuations lie within what is asked."""

    def __init__(self, sampler: Sampler, question: Question, until: Ints | None, keeps: bool = False) -> None:
        b = len(sampler.words)
        self.sampler, self.keeps = sampler, keeps
        self.ends = question.ends.numpy() if question.ends is not None else None
        self.over: Bools = np.zeros(b, dtype=np.bool_)
        """`(b,)`, what has come to its end: nothing more of it counts."""
        self.closes: Ints = until if until is not None else np.full(b, np.iinfo(np.int64).max)
        """`(b,)`, the moment up to which it counts: that of the first event that ends the window, where one does."""
        self.steps: Ints = np.zeros(b, dtype=np.int64)

    def within(self, drawn: Drawn) -> Bools:
        """Count a step, and return which events still count."""
        self.steps += ~self.over
        in_time = (drawn.step == Step.STATIC) | (drawn.time <= self.closes)
        here: Bools = ~self.over & (drawn.step != Step.END) & in_time
        self.over |= ~here
        if self.ends is not None:
            self.closes = np.where(here & self.ends[drawn.data_type], np.minimum(self.closes, drawn.time), self.closes)
        return here

    def stop(self, those: Bools) -> None:
        """Follow some no further, but where what comes is kept."""
        self.over |= those
        if not self.keeps:
            self.sampler.alive &= torch.from_numpy(~self.over)


def _followed(
    sampler: Sampler, question: Question, until: Ints | None, most: int, keeper: Keeper | None
) -> tuple[Floats, Floats, Ints, Bools]:
    """Follow continuations to the outcome: whether it came, the sum of its chances, steps, and whether that is all."""
    came, summed = np.zeros(len(sampler.words)), np.zeros(len(sampler.words))
    watched, window = sampler.watched.numpy(), _Window(sampler, question, until, keeper is not None)
    for drawn in sampler.events(most) if keeper is None else keeper.events(sampler, most, until):
        here = window.within(drawn)
        summed += np.where(here, drawn.watched, 0.0)
        now = here & watched[drawn.data_type]
        came += now
        window.stop(now)
    return came, summed, window.steps, window.over


def _survived(sampler: Sampler, question: Question, until: Ints | None, most: int) -> tuple[Floats, Ints, Bools]:
    """Follow continuations without the outcome: one minus the product of (1 - chance), steps, whether that is all."""
    log_none, window = np.zeros(len(sampler.words)), _Window(sampler, question, until)
    for drawn in sampler.events(most):
        here = window.within(drawn)
        log_none += np.where(here, np.log1p(-np.minimum(drawn.watched, 1 - 1e-12)), 0.0)
        window.stop(~here)
    found: Floats = -np.expm1(log_none)
    return found, window.steps, window.over
