"""Records continued event by event: drawn from the decoder, each number of chance a function of what it is for."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tawt.arrays import Ints
from tawt.batching.batch import PackedBatch
from tawt.batching.layout import Layout
from tawt.chance import draw, uniform
from tawt.contracts.dataset import SPECIAL_CODES, UNKNOWN, US_PER_HOUR
from tawt.contracts.value_status import HAS_NUMBER_OF, ValueStatus
from tawt.dataset.vocabulary import Vocabulary
from tawt.models.decoder.drawn import Drawn
from tawt.models.decoder.gaps import US_PER_MINUTE
from tawt.models.decoder.heads import NextHeads, Step
from tawt.models.decoder.mixtures import choose, draw_rank
from tawt.models.decoder.places import rank_as_last
from tawt.models.decoder.progress import Progress
from tawt.models.decoder.reading import Reading
from tawt.models.encoder import Encoder
from tawt.models.time_encoding import MINUTES

MOST_GAP = 200 * 8766 * US_PER_HOUR
"""us: no gap is longer than two centuries."""
_SPARE = 0.75  # where no more of the records go on, those that have ended are let go
_STEP, _GAP, _TYPE, _STATUS, _VALUE = range(5)
Snap = Callable[[Ints, NDArray[np.float32]], NDArray[np.float32]]
"""Data_types and normalized numbers, `(m,)` each -> the numbers that are told instead, `(m,)`."""


class Sampler:
    """Draws what comes of several records.

    Every draw is a function of the record's own word, the event's number and what it is for. The last bits of what is
    computed hang on how many are read side by side: whoever wants the same records again draws them in that company.

    Args:
        encoder: Causal, in evaluation.
        heads: Of the next event.
        vocabulary: Of the run.
        prompts: What is known of each record: documents, some of them empty.
        words: `(b,)` uint64, a random word of each record.
        watched: `(v,)` bool, data_types whose chance is told; None = none.
        possible: `(2, v)` bool, data_types that come with a time, and as static facts; None = each may be both.
        snap: To the numbers that are told; None = as they are drawn.
        asked: Whether each prompt holds all that was known at its document's end: what comes lies behind that.
        z: `(b, width)`, the latent of each record; None = that of none, which is all 0.
    """

    def __init__(
        self,
        encoder: Encoder,
        heads: NextHeads,
        vocabulary: Vocabulary,
        prompts: PackedBatch,
        words: NDArray[np.uint64],
        *,
        watched: Tensor | None = None,
        possible: Tensor | None = None,
        snap: Snap | None = None,
        asked: bool = False,
        z: Tensor | None = None,
    ) -> None:
        self.encoder, self.heads, self.vocabulary = encoder, heads, vocabulary
        self.words, self.suppressed, self.snap = words, False, snap
        v = len(vocabulary)
        self.watched = watched if watched is not None else torch.zeros(v, dtype=torch.bool)
        never = torch.zeros(v, dtype=torch.bool)
        never[: len(SPECIAL_CODES)] = True
        never[UNKNOWN] = False  # a code that train had and the vocabulary has not
        self._never = never | ~possible if possible is not None else never.expand(2, -1)
        """Data_types that never come with a time, and as static facts."""
        self._n_bins = torch.from_numpy(vocabulary.n_bins.astype(np.int64))
        self._resolution = max(1, round(float(heads.resolution) * US_PER_HOUR))
        self._has_number = torch.from_numpy(HAS_NUMBER_OF)
        with torch.no_grad():
            self.reading = Reading(encoder, prompts, None if z is None else heads.told(z))
        b = prompts.n_documents
        self.alive = torch.ones(b, dtype=torch.bool)
        """Of all records, also those that are let go."""
        self._row = torch.arange(b)
        """Which record each row is."""
        self.progress = Progress.known(prompts, heads.knots)
        self._asked = torch.full((b,), asked)
        self._end = (prompts.end_hours * US_PER_HOUR).round().long()

    def branched(self, records: Tensor, words: NDArray[np.uint64], *, suppressed: bool = False) -> Sampler:
        """Return one that goes on from where this one is: of some records, `(m,)`, each as often as it is named.

        Args:
            records: Numbers of this sampler's records.
            words: `(m,)`.
            suppressed: Whether what is watched never comes: its chance goes to the others.
        """
        other = copy.copy(self)
        other.reading = self.reading.of(records)
        other.words, other.suppressed = words, suppressed
        other.alive, other._row = self.alive[records].clone(), torch.arange(len(records))
        other._keep(records)
        return other

    @property
    def _table(self) -> Tensor:
        """`(v, d_model)`, embeddings of data_types."""
        return self.encoder.embedding.data_type.weight

    def _keep(self, rows: Tensor) -> None:
        self.progress = self.progress.of(rows)
        self._asked, self._end = self._asked[rows], self._end[rows]

    @torch.no_grad()
    def events(self, most: int) -> Iterator[Drawn]:
        """Draw event after event of all records until all have ended, at most `most`; once from where it is."""
        states, b = self.reading.last, len(self._row)
        for number in range(most):
            drawn = self._draw(states, number)
            yield drawn.among(self._row.numpy(), b)
            self.alive[self._row] &= torch.from_numpy(drawn.step != Step.END)
            rows = self.alive[self._row].nonzero()[:, 0]
            if not len(rows):
                return
            if len(rows) <= _SPARE * len(self._row):
                self.reading = self.reading.of(rows)
                self._row, self.words = self._row[rows], self.words[rows.numpy()]
                self._keep(rows)
                drawn = drawn.of(rows.numpy())
            states = self._read(drawn)

    def _draw(self, states: Tensor, number: int) -> Drawn:
        # what may come, and what it is told, is what `objectives.next_targets` learns: change both
        can = ~self._never & ~(self.watched & self.suppressed)
        last = torch.where(can.any(1), can.shape[1] - 1 - can.flip(1).int().argmax(1), -1)
        step, gap = self._when(states, number, last)
        time = torch.where(step == Step.STATIC, 0, self.progress.time + gap)
        minute = self.progress.at_clock(time) // US_PER_MINUTE % MINUTES
        after = self.heads.after(states, step, (gap / US_PER_HOUR).float(), minute)
        kind, watched = self._what(after, number, step, time, last)
        status, value, token = self._value(after, number, kind, time)
        return Drawn(*(x.numpy() for x in (step, time, kind, status, value, token, watched)))

    def _when(self, states: Tensor, number: int, last: Tensor) -> tuple[Tensor, Tensor]:
        """Draw steps and gaps, us, `(b,)` each; gaps are 0 but where the step is later.

        Args:
            states: `(b, d_model)`.
            number: Of the event.
            last: `(2,)`, the last data_types that can come with a time and as static facts; -1 where none can.
        """
        heads, so_far = self.heads, self.progress
        waited = self._waited() if number == 0 and self._asked.any() else None
        ages = so_far.ages(heads.told_types, so_far.time)
        gaps = heads.gaps(states, self._table, so_far.marks(), so_far.came_minute(heads.told_types), ages)
        logits = heads.steps(states, so_far.timed, self._table, so_far.kind * so_far.timed, ages)
        logits[so_far.kind >= last[1], Step.STATIC] = -torch.inf  # each comes once, in their order
        if last[0] < 0:  # nothing can come with a time
            logits[:, [Step.SAME, Step.LATER]] = -torch.inf
        if waited is not None:
            # by then all of that moment was known, and nothing had come since
            logits = logits.double()
            logits[self._asked, Step.SAME] = logits[self._asked, Step.STATIC] = -torch.inf
            logits[:, Step.LATER] += gaps.log_longer(waited, so_far.now, self._resolution)
        step = torch.where(self.alive[self._row], choose(logits, self._chance(number, _STEP)), Step.END)
        passed = torch.zeros_like(so_far.time) if waited is None else waited
        gap = gaps.draw(self._two(number, _GAP), passed, so_far.now, self._resolution)
        gap = gap.clamp_max(MOST_GAP // self._resolution * self._resolution)
        return step, torch.where(step == Step.LATER, gap, 0)

    def _what(self, after: Tensor, number: int, step: Tensor, time: Tensor, last: Tensor) -> tuple[Tensor, Tensor]:
        """Draw data_types, `(b,)`, and return the chance that it was to be one that is watched, `(b,)`; see `_when`."""
        still = (step == Step.STATIC).long()
        least = self.progress.least(step, last[still])
        ages = self.progress.ages(self.heads.told_types, time)
        logits = self.heads.types(after, self._table, least, ages).float()
        logits = logits.masked_fill(self._never[still], -torch.inf)
        watched = (logits.double().softmax(-1) * self.watched).sum(-1)
        if self.suppressed:
            logits = logits.masked_fill(self.watched, -torch.inf)
        return choose(logits, self._chance(number, _TYPE)), watched

    def _value(self, after: Tensor, number: int, kind: Tensor, time: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Draw statuses, numbers and tokens, `(b,)` each."""
        heads = self.heads
        token, age = self.progress.last(kind, time)
        state = self.reading.states[torch.arange(len(kind)), token.clamp_min(0)]
        typed = heads.typed(after, kind, self._table, state, age)
        status = choose(heads.what.statuses(typed, kind), self._chance(number, _STATUS))
        others = self.progress.others(heads.told_types)
        numbers = heads.numbers(typed, kind, status, self._table, *self.progress.numbers(kind), others)
        rank = draw_rank(numbers, self._two(number, _VALUE))
        has = self._has_number[status] & (self._n_bins[kind] > 0)
        told = heads.values(kind, rank).float()
        if self.snap is not None:
            told = torch.from_numpy(self.snap(kind.numpy(), told.numpy()))
        value = torch.where(has, told, 0.0)
        return status, value, self._tokens(typed, kind, status, value, has, number)

    def _tokens(self, typed: Tensor, kind: Tensor, status: Tensor, value: Tensor, has: Tensor, number: int) -> Tensor:
        bins = torch.from_numpy(self.vocabulary.bins(kind.numpy(), value.numpy()))
        token = torch.where(has, bins, 0)
        named = (status == ValueStatus.CATEGORY) & torch.from_numpy(self.vocabulary.n_categories[kind.numpy()] > 0)
        at = named.nonzero()[:, 0]
        if len(at):
            rows = self.encoder.embedding.value.category_rows
            logits, position = self.heads.what.categories(typed[at], kind[at], rows)
            counts = torch.bincount(position, minlength=len(at))
            wide = torch.full((len(at), int(counts.max())), -torch.inf)
            first = counts.cumsum(0) - counts
            wide[position, torch.arange(len(position)) - first[position]] = logits
            own = choose(wide, self._chance(number, _VALUE, 2)[at])
            token[at] = self._n_bins[kind[at]] + 1 + own
        return token

    def _read(self, drawn: Drawn) -> Tensor:
        step, time, kind = (torch.from_numpy(x) for x in (drawn.step, drawn.time, drawn.data_type))
        is_static, rows, b = step == Step.STATIC, torch.arange(len(step)), len(step)
        token, _ = self.progress.last(kind, time)
        was_static = self.reading.is_static[rows, token.clamp_min(0)]
        value, status = torch.from_numpy(drawn.value), torch.from_numpy(drawn.value_status)
        self.progress, gap, type_gap = self.progress.then(
            step, time, kind, self.reading.length, self.alive[self._row], was_static,
            rank_as_last(self.heads.knots, kind, value, status),
        )  # fmt: skip
        hours = torch.where(is_static, 0.0, time.double() / US_PER_HOUR)
        starts = torch.arange(b + 1, dtype=torch.int32)
        events = PackedBatch(
            data_type=kind, value=value, value_token=torch.from_numpy(drawn.value_token), value_status=status,
            hours=hours, is_static=is_static,
            gap_hours=(gap / US_PER_HOUR).float(), clock_hours=self.progress.clock,
            type_gap_hours=torch.where(type_gap < 0, -1.0, type_gap / US_PER_HOUR).float(),
            cu_seqlens=starts, max_seqlen=1, subject_id=rows, end_hours=hours, end_time=time, n_cut=0,
        )  # fmt: skip
        layout = Layout(
            hours, is_static, torch.zeros(b), events.gap_hours, starts, tuple(range(b + 1)), rows, None, None
        )
        return self.reading.read(events, layout)

    def _chance(self, number: int, what: int, more: int = 0) -> Tensor:
        """Return `(b,)` float64 in (0, 1), of each record's own word."""
        numbers = uniform(draw(self.words, number, what, more))
        return torch.from_numpy(np.maximum(numbers, 2.0**-54))

    def _waited(self) -> Tensor:
        """Us that had passed since the last event when records were asked about."""
        return torch.where(self._asked, (self._end - self.progress.time).clamp_min(0), 0)

    def _two(self, number: int, what: int) -> Tensor:
        return torch.stack([self._chance(number, what, i) for i in (0, 1)], 1)
