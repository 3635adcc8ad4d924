"""At which minutes of the hour a record was measured, and what that says of the minutes to come.

Who is measured each hour, or each quarter, will be so again. A decoder could find that out by attention; told of it, a
few weights do (docs/log.md).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tawt.models.time_encoding import MINUTES

AGO = (60, 120, 30, 15)
"""Minutes before a minute to come, at which there may have been a moment."""
N_MARKS = 1 + len(AGO)
_NEVER = -(1 << 60)
_RARE = 0.003
_FAR = 1 << 40


@dataclass(frozen=True)
class Schedule:
    """Of `m` records up to a moment, by minute of the hour; minutes are counted by the clock."""

    last: Tensor
    """`(m, 60)`, minute of the last moment at each; `_NEVER` = there is none."""
    before: Tensor
    """`(m, 60)`, of the one before it."""
    count: Tensor
    """`(m, 60)`, moments at each."""

    @classmethod
    def none(cls, m: int) -> Schedule:
        """Of records without a moment."""
        never = torch.full((m, MINUTES), _NEVER)
        return cls(never, never.clone(), torch.zeros(m, MINUTES, dtype=torch.int64))

    @classmethod
    def known(cls, n: int, document: NDArray[np.int64], minute: NDArray[np.int64]) -> Schedule:
        """Return that of `n` documents, some of which may have no moment; arguments as in `of_moments`."""
        found, made = cls.of_moments(document, minute), cls.none(n)
        last = np.flatnonzero(np.diff(document, append=n))
        for mine, those in zip(made._parts, found._parts, strict=True):
            mine[document[last]] = those[last]
        return made

    @classmethod
    def of_moments(cls, document: NDArray[np.int64], minute: NDArray[np.int64]) -> Schedule:
        """Return that of each moment, itself among them.

        Args:
            document: `(m,)`, ascending.
            minute: `(m,)`, ascending within a document.
        """
        m, rows = len(minute), np.arange(len(minute))
        first = np.searchsorted(document, document)
        at = minute % MINUTES
        floor = document * (2 * _FAR)  # each document lies above those before it, so a maximum so far is of its own

        def latest(values: NDArray[np.int64]) -> NDArray[np.int64]:
            laid = np.full((m, MINUTES), np.iinfo(np.int64).min)
            laid[rows, at] = np.where(values == _NEVER, laid[rows, at], values + floor + _FAR)
            found = np.maximum.accumulate(laid, axis=0)
            return np.where(found >= floor[:, None], found - floor[:, None] - _FAR, _NEVER)

        last = latest(minute)
        there = rows > first
        own = np.where(there, last[rows - 1, at], _NEVER)
        n = np.zeros((m + 1, MINUTES), dtype=np.int64)
        n[rows + 1, at] = 1
        n = n.cumsum(0)
        return cls(*(torch.from_numpy(x) for x in (last, latest(own), n[1:] - n[first])))

    @property
    def _parts(self) -> tuple[Tensor, Tensor, Tensor]:
        return self.last, self.before, self.count

    def of(self, rows: Tensor) -> Schedule:
        """Return that of some records."""
        return Schedule(self.last[rows], self.before[rows], self.count[rows])

    def then(self, minute: Tensor, there: Tensor) -> Schedule:
        """Return what it is after a moment at `minute`, `(m,)`, of those for which there is one, `(m,)` bool."""
        at = torch.nn.functional.one_hot(minute % MINUTES, MINUTES).bool() & there[:, None]
        return Schedule(
            torch.where(at, minute[:, None], self.last), torch.where(at, self.last, self.before), self.count + at
        )

    def marks(self, now: Tensor) -> Tensor:
        """Return what is told of each minute of the hour, `(m, 60, N_MARKS)` float32.

        It is the log share of moments at it, and whether there was one so long before the next time that it comes.

        Args:
            now: `(m,)`, minutes.
        """
        minute = torch.arange(MINUTES, device=now.device)
        ahead = now[:, None] + (minute - now[:, None] - 1) % MINUTES + 1
        share = self.count / self.count.sum(1, keepdim=True).clamp_min(1)
        told = [(share.float() / _RARE + 1).log()]
        for ago in AGO:
            turned = (minute - ago) % MINUTES
            told.append(((self.last[:, turned] == ahead - ago) | (self.before[:, turned] == ahead - ago)).float())
        return torch.stack(told, 2)
