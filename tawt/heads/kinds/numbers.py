"""A number, in standard deviations around its mean."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from tawt.config.label import LabelConfig
from tawt.errors import ConfigError
from tawt.evaluation.families import Family
from tawt.heads.kinds import kind
from tawt.heads.kinds.kind import Kind, Said, as_tuple
from tawt.heads.label_set import LabelSet


class Numbers(Kind):
    """A number."""

    name, plural = "numbers", "numbers"
    family: ClassVar[Family] = "numbers"
    reads: ClassVar[tuple[str, ...]] = ("float_value", "integer_value")
    known_by = "float_value"

    @classmethod
    def described(cls, rows: LabelSet, config: LabelConfig) -> dict[str, Any]:
        mean, scale = np.nanmean(rows.value, 0), np.nanstd(rows.value, 0)
        if not (scale > 0).all():
            raise ConfigError(rows.name, "has one number for all of train, expected several")
        zero = (0.0,) * len(rows.asked)
        return {"outputs": rows.asked, "prior": zero, "mean": as_tuple(mean), "scale": as_tuple(scale)}

    def targets(self, labels: LabelSet) -> tuple[kind.Numbers, kind.Numbers]:
        value = (self.placed(labels) - np.array(self.spec.mean)) / np.array(self.spec.scale)
        return np.nan_to_num(value), (~np.isnan(value)).astype(np.float64)

    def losses(self, outputs: Tensor, truth: Tensor, weight: Tensor) -> Tensor:
        loss = functional.mse_loss if self.config.number_loss == "squared" else functional.huber_loss
        return (loss(outputs.to(truth.dtype), truth, reduction="none") * weight).sum(1)

    def predict(self, outputs: Tensor) -> Tensor:
        mean, scale = (outputs.new_tensor(x) for x in (self.spec.mean, self.spec.scale))
        return outputs * scale + mean

    def start(self) -> Tensor:
        return torch.zeros(len(self.spec.outputs))

    def taught(self, outputs: Tensor) -> tuple[Tensor, Tensor]:
        return outputs, torch.ones_like(outputs)

    def outputs(self, fitted: Tensor) -> Tensor:
        return fitted

    def said(self, labels: LabelSet, said: kind.Numbers, horizons: Sequence[float] = ()) -> Said:
        return Said({"float_value": labels.value[:, 0], "predicted_float_value": said[:, 0]})
