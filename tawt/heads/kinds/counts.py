"""How often something comes: a whole number from 0 on."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from tawt.config.label import LabelConfig
from tawt.errors import ConfigError
from tawt.heads.kinds import kind
from tawt.heads.kinds.binary import LEAST
from tawt.heads.kinds.kind import as_tuple, numbers_of
from tawt.heads.kinds.numbers import Numbers
from tawt.heads.label_set import LabelSet

_MOST = 20.0
"""Logarithm of a rate from which on the loss goes on as a line, so that no step of a search ends in infinity."""


class Counts(Numbers):
    """A count, by the logarithm of its rate: no answer is below 0, and what is rare weighs as it varies.

    The loss is half the deviance of Poisson's law, which is 0 where the rate is the count.

    Source: McCullagh and Nelder, Generalized linear models, 1989, chapter 6.
    """

    name, plural, family = "counts", "counts", "counts"
    reads, known_by = ("integer_value",), ""

    @classmethod
    def values(cls, table: pa.Table, column: str, where: str) -> tuple[kind.Numbers, tuple[str, ...]]:
        value = numbers_of(table[column])
        if n := int((value < 0).sum()):
            raise ConfigError(where, f"has {n:,} counts below 0, expected none", "give `--kind numbers`")
        if n := int((value > (most := math.floor(math.exp(_MOST)))).sum()):
            raise ConfigError(
                where, f"has {n:,} counts above {most:,}, expected none: no rate is told beyond that",
                "give `--kind numbers`, or leave them out if they stand for something else",
            )  # fmt: skip
        return value, ()

    @classmethod
    def described(cls, rows: LabelSet, config: LabelConfig) -> dict[str, Any]:
        if np.nanmin(rows.value) == np.nanmax(rows.value):
            raise ConfigError(rows.name, "has one count for all of train, expected several")
        return {"outputs": rows.asked, "prior": as_tuple(np.nanmean(rows.value, 0))}

    def targets(self, labels: LabelSet) -> tuple[kind.Numbers, kind.Numbers]:
        value = self.placed(labels)
        return np.nan_to_num(value), (~np.isnan(value)).astype(np.float64)

    def losses(self, outputs: Tensor, truth: Tensor, weight: Tensor) -> Tensor:
        rate = outputs.to(truth.dtype)
        beyond = (rate - _MOST).clamp_min(0)
        expected = (rate - beyond).exp() * (1 + beyond)
        return ((expected - truth - truth * rate + torch.xlogy(truth, truth)) * weight).sum(1)

    def predict(self, outputs: Tensor) -> Tensor:
        return outputs.clamp_max(_MOST).exp()

    def start(self) -> Tensor:
        return self.outputs(torch.tensor(self.spec.prior))

    def taught(self, outputs: Tensor) -> tuple[Tensor, Tensor]:
        return self.predict(outputs), torch.ones_like(outputs)

    def outputs(self, fitted: Tensor) -> Tensor:
        return fitted.clamp_min(LEAST).log()
