"""Generators that are known to be bad, each in its own way: what any report of synthetic patients is calibrated by.

    copies       real records, each once before any comes again: all alike, nothing private
    marginals    lengths, gaps, data_types and values, each by itself: nothing goes with anything
    markov       a data_type follows from the one before, a number from the one before of its data_type; no more

Like `invent`, each draws a record as a function of its number and the seed, so any subset can be drawn again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tawt.arrays import Bools, Ints, Words
from tawt.chance import Salt, draw, shuffled, uniform
from tawt.contracts.synthetic import COPIES
from tawt.dataset.records import Cohort, Drawable, Records, in_order
from tawt.dataset.scales import Scale
from tawt.synthesis.markov import Markov
from tawt.synthesis.rollout import Invented, companies
from tawt.synthesis.shared import Shared
from tawt.synthesis.urns import Filling, gaps_of, row_words, values_of

Draw = Callable[[Ints], Iterator[Invented]]
"""Numbers, ascending, each once -> their records."""
CONTROLS = (COPIES, "marginals", "markov")
_LENGTH, _STATICS, _TYPE, _VALUE, _GAP = range(71, 76)
_MOST = 1 << 16
_MOST_OF_TYPE = 4096


def fitted(
    name: str,
    cohort: Drawable,
    shared: Callable[[], Shared],
    seed: int,
    most: int,
    origins: Callable[[Ints], Ints],
) -> Draw:
    """Fit a control to real records, and return what draws of it.

    Args:
        name: One of `CONTROLS`.
        cohort: The records.
        shared: Returns what many people share of them: all that is drawn, but for copies, which ask for nothing.
        seed: Of the set.
        most: Events after which a record is cut.
        origins: Numbers -> the moments that their times count from; a copy keeps its own.
    """
    if name == COPIES:
        return lambda numbers: copies(cohort, numbers, seed)
    of_many = shared()
    common, n_types = of_many.of(cohort), of_many.as_told.shape[1]
    model: Marginals | Markov = Marginals(common, n_types) if name == "marginals" else Markov(common, n_types)
    return lambda numbers: _in_companies(model, numbers, seed, most, origins)


def copies(cohort: Drawable, numbers: Ints, seed: int) -> Iterator[Invented]:
    """Give real records under other ids: in a random order, and when all have come, in another."""
    order = lru_cache(2)(lambda again: shuffled(cohort.n_subjects, Salt.COPIES, seed, again))
    for members in companies(numbers):
        again, place = np.divmod(members, cohort.n_subjects)
        chosen = np.empty(len(members), dtype=np.int64)
        for one in np.unique(again):
            chosen[again == one] = order(int(one))[place[again == one]]
        held = cohort.take(chosen)
        columns = {name: getattr(held, name) for name in held.__dataclass_fields__ if name != "subject_id"}
        yield Invented(Records(subject_id=members, **columns), np.ones(len(members), dtype=np.bool_))


class Marginals:
    """Lengths, first moments, gaps, data_types and values of records, each by itself.

    Args:
        cohort: What it is fitted to.
        n_types: Data_types of the vocabulary.
    """

    def __init__(self, cohort: Cohort, n_types: int) -> None:
        gaps, values = Filling(_MOST), Filling(_MOST_OF_TYPE)
        counts = np.zeros((2, n_types), dtype=np.int64)
        timed, statics = [], []
        for part in cohort.parts():
            words, still = row_words(part), part.is_static
            statics.append(np.bincount(part.subject[still], minlength=part.n_subjects))
            timed.append(part.lengths - statics[-1])
            counts[1] += np.bincount(part.data_type[still], minlength=n_types)
            counts[0] += np.bincount(part.data_type[~still], minlength=n_types)
            values.add(part.data_type + n_types * still, words, **values_of(part))
            first, gap = gaps_of(part)
            gaps.add(np.where(first, 0, 1)[~still], words[~still], gap=gap[~still])
        self.n_types = n_types
        self.sizes = tuple(_Sizes.of(np.sort(np.concatenate(one))) for one in (timed, statics))
        self.share = np.cumsum(counts, 1) / np.maximum(counts.sum(1, keepdims=True), 1)
        self.gaps, self.values = gaps.done(), values.done()

    def records(self, words: Words, most: int) -> tuple[dict[str, NDArray[Any]], Bools]:
        """Draw records of random words, `(b,)`: the columns of their triplets, and which are whole."""
        timed, statics = (of.drawn(draw(words, what)) for of, what in zip(self.sizes, (_LENGTH, _STATICS), strict=True))
        timed, whole = np.minimum(timed, most), timed <= most
        subject = np.repeat(np.arange(len(words)), statics + timed)
        place = np.arange(len(subject)) - np.repeat(np.cumsum(statics + timed) - statics - timed, statics + timed)
        is_static = place < statics[subject]
        own = draw(words[subject] + place.astype(np.uint64), Salt.ROWS)
        kind, pick, wait = (uniform(draw(own, what)) for what in (_TYPE, _VALUE, _GAP))
        data_type = np.where(is_static, *(np.searchsorted(self.share[i], kind, side="right") for i in (1, 0)))
        rows = self.values.rows(data_type + self.n_types * is_static, pick)
        gap = np.zeros(len(subject), dtype=np.int64)
        begins = place == statics[subject]
        late = ~is_static
        gap[late] = self.gaps.columns["gap"][self.gaps.rows(np.where(begins, 0, 1)[late], wait[late])]
        total = np.cumsum(gap)
        time = np.where(is_static, 0, total - (total - gap)[np.searchsorted(subject, subject)])
        columns = {"subject": subject, "is_static": is_static, "time": time, "data_type": data_type}
        return columns | {name: column[rows] for name, column in self.values.columns.items()}, whole


@dataclass(frozen=True, eq=False)
class _Sizes:
    """How many triplets people have; a number that few people share becomes another one nearby."""

    real: Ints
    """`(s,)`."""
    scale: Scale

    @classmethod
    def of(cls, real: Ints) -> _Sizes:
        return cls(real, Scale.of(real, np.arange(len(real))))

    def drawn(self, words: Words) -> Ints:
        """Return one for each of some random words, `(b,)`."""
        chosen = self.real[(uniform(draw(words, 0)) * len(self.real)).astype(np.int64)]
        return np.round(self.scale.anew(chosen.astype(np.float64), uniform(draw(words, 1)))).astype(np.int64)


def _in_companies(
    model: Any, numbers: Ints, seed: int, most: int, origins: Callable[[Ints], Ints]
) -> Iterator[Invented]:
    for members in companies(numbers):
        columns, whole = model.records(draw(members, Salt.ROWS, seed), most)
        order = in_order(*(columns[name] for name in ("subject", "is_static", "time", "data_type")))
        lengths = np.bincount(columns.pop("subject"), minlength=len(members))
        columns = {name: column[order] for name, column in columns.items()}
        columns["data_type"] = columns["data_type"].astype(np.int32)
        bounds = np.concatenate([[0], np.cumsum(lengths)])
        yield Invented(Records(subject_id=members, origin=origins(members), bounds=bounds, **columns), whole)
