"""Yes or no, of one thing or several."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from tawt.config.label import LabelConfig
from tawt.evaluation.families import Family
from tawt.heads.kinds.kind import Kind, Numbers, Said, as_tuple, hold_each
from tawt.heads.label_set import LabelSet

LEAST = 1e-6
"""The smallest chance whose logarithm is taken."""


class Labels(Kind):
    """Yes or no, of several things: independent chances."""

    name, plural, alone = "labels", "answers", "binary"
    family: ClassVar[Family] = "labels"
    reads, words = ("boolean_value",), ("no", "yes")

    @classmethod
    def described(cls, rows: LabelSet, config: LabelConfig) -> dict[str, Any]:
        yes, known = np.nansum(rows.value, 0), (~np.isnan(rows.value)).sum(0)
        called = rows.named(rows.asked).values()
        for name, a, b in zip(called, yes.tolist(), known.tolist(), strict=True):
            hold_each(rows, {f"{name}: yes": int(a), f"{name}: no": int(b - a)})
        weight = np.concatenate([known / (2 * (known - yes)), known / (2 * yes)])
        chosen = as_tuple(weight) if config.class_weight == "balanced" else ()
        return {"outputs": rows.asked, "prior": as_tuple(yes / known), "class_weight": chosen}

    def targets(self, labels: LabelSet) -> tuple[Numbers, Numbers]:
        value = self.placed(labels)
        known = ~np.isnan(value)
        truth, weight = np.where(known, value, 0.0), known.astype(np.float64)
        if self.spec.class_weight:
            of_no, of_yes = np.array(self.spec.class_weight).reshape(2, -1)
            weight *= np.where(truth > 0, of_yes, of_no)
        return truth, weight

    def losses(self, outputs: Tensor, truth: Tensor, weight: Tensor) -> Tensor:
        each = functional.binary_cross_entropy_with_logits(outputs.to(truth.dtype), truth, reduction="none")
        return (each * weight).sum(1)

    def predict(self, outputs: Tensor) -> Tensor:
        return outputs.sigmoid()

    def start(self) -> Tensor:
        logit = torch.tensor(self.spec.prior).clamp(LEAST, 1 - LEAST).logit()
        if not self.spec.class_weight:
            return logit
        of_no, of_yes = torch.tensor(self.spec.class_weight).reshape(2, -1)
        return logit + (of_yes / of_no).log()  # the least loss of one answer for all, as classes are weighed

    def taught(self, outputs: Tensor) -> tuple[Tensor, Tensor]:
        return outputs.sigmoid(), torch.ones_like(outputs)

    def outputs(self, fitted: Tensor) -> Tensor:
        return fitted.clamp(LEAST, 1 - LEAST).logit()

    def said(self, labels: LabelSet, said: Numbers, horizons: Sequence[float] = ()) -> Said:
        truth = [[None if np.isnan(x) else x for x in row] for row in self.placed(labels).tolist()]
        columns = {"multilabel_value": truth, "predicted_multilabel_probabilities": said.tolist()}
        return Said(columns, self.spec.outputs)


class Binary(Labels):
    """Yes or no, of one thing."""

    name, alone, several, known_by = "binary", "", "labels", "boolean_value"
    family = "binary"

    def said(self, labels: LabelSet, said: Numbers, horizons: Sequence[float] = ()) -> Said:
        return Said({"boolean_value": labels.value[:, 0] > 0, "predicted_boolean_probability": said[:, 0]})
