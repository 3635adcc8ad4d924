"""The labels of predictions, and which of them simple models learn from, stop by and answer."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from tawt.arrays import Bools, Floats, Ints
from tawt.chance import Salt, draw
from tawt.contracts.cells import few
from tawt.errors import ContractError
from tawt.evaluation.measure import numbers


@dataclass(frozen=True, eq=False)
class Rows:
    """The labels of `n` predictions; a row is of one of three parts."""

    subject_id: Ints
    """`(n,)`."""
    prediction_time: Ints
    """`(n,)`, us since 1970-01-01."""
    truth: Floats
    """`(n,)`, 1 or 0, the number of the class, or the number; nothing is learned of those of `test`."""
    fit: Bools
    """`(n,)`, what is learned from."""
    stop: Bools
    """`(n,)`, what decides when boosting stops; none = a usual number of trees."""
    test: Bools
    """`(n,)`, what is predicted; rows of `stop` may be asked about too, those of `fit` may not."""
    n_classes: int
    """How many classes there are, where the truths are numbers of classes."""

    def __init__(
        self, subject_id: ArrayLike, prediction_time: ArrayLike, truth: ArrayLike, fit: ArrayLike, stop: ArrayLike,
        test: ArrayLike,
    ) -> None:  # fmt: skip
        """Hold that what is learned from shares no subject with the rest.

        Raises:
            ContractError: They differ in length, a subject is in two parts, or there is nothing to learn from.
        """
        subject, told = np.asarray(subject_id, dtype=np.int64), numbers(truth, "truth")
        times = np.asarray(prediction_time, dtype=np.int64)
        parts = [np.asarray(part, dtype=bool) for part in (fit, stop, test)]
        if {len(subject), len(times), *map(len, parts)} != {len(told)}:
            raise ContractError("rows", f"have columns of several lengths, expected {len(told):,} each")
        if not parts[0].any():
            raise ContractError("rows", "hold none to learn from, expected some in `fit`")
        learned, *others = ({*subject[part].tolist()} for part in parts)
        if n := sum(len(learned & part) for part in others):
            what = f"have {few(n)} subjects who are learned from and asked about, expected none"
            raise ContractError("rows", what, "split by subject")
        names = ("subject_id", "prediction_time", "truth", "fit", "stop", "test")
        for name, value in zip(names, (subject, times, told, *parts), strict=True):
            object.__setattr__(self, name, value)
        object.__setattr__(self, "n_classes", int(told.max(initial=0)) + 1)

    def of(self, which: Bools) -> Rows:
        """Return some of the rows, of as many classes."""
        columns = (self.subject_id, self.prediction_time, self.truth, self.fit, self.stop, self.test)
        found = Rows(*(column[which] for column in columns))
        object.__setattr__(found, "n_classes", self.n_classes)
        return found


def thinned(row: Ints, kept: Bools, most: int, seed: int) -> Bools:
    """Return which rows are kept where there are more than are wanted: as many are drawn.

    Args:
        row: `(n,)`, what each is known by.
        kept: `(n,)`, what there is to draw from.
        most: How many are wanted.
        seed: Of the draw.
    """
    at = np.flatnonzero(kept)
    chosen = at[np.argsort(draw(row[at], Salt.THINNED, seed), kind="stable")[:most]]
    found: Bools = np.zeros_like(kept)
    found[chosen] = True
    return found
