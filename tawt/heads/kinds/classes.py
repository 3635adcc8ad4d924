"""One of several classes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from torch import Tensor
from torch.nn import functional

from tawt.config.label import LabelConfig
from tawt.contracts.label_columns import in_order
from tawt.heads.kinds.binary import LEAST
from tawt.heads.kinds.kind import Kind, Numbers, Said, as_tuple, hold_each, numbers_of
from tawt.heads.label_set import LabelSet


class Classes(Kind):
    """One of `k` classes."""

    name, plural, family = "classes", "classes", "classes"
    reads, known_by = ("categorical_value", "integer_value"), "categorical_value"

    @classmethod
    def values(cls, table: pa.Table, column: str, where: str) -> tuple[Numbers, tuple[str, ...]]:
        texts = table[column].cast(pa.string())
        classes = in_order(pc.unique(texts.drop_null()).to_pylist())
        return numbers_of(pc.index_in(texts, pa.array(classes))), tuple(classes)

    @classmethod
    def described(cls, rows: LabelSet, config: LabelConfig) -> dict[str, Any]:
        counts = np.bincount(rows.value[:, 0].astype(int), minlength=len(rows.classes))
        hold_each(rows, dict(zip(rows.named(rows.classes).values(), counts.tolist(), strict=True)))
        weight = counts.sum() / (len(counts) * counts)
        chosen = as_tuple(weight) if config.class_weight == "balanced" else ()
        return {"outputs": rows.classes, "prior": as_tuple(counts / counts.sum()), "class_weight": chosen}

    def targets(self, labels: LabelSet) -> tuple[Numbers, Numbers]:
        place = np.array([self.place(labels, name) for name in labels.classes])
        own, known = labels.value[:, 0], np.flatnonzero(~labels.without)
        truth = np.zeros((len(labels), len(self.spec.outputs)))
        truth[known, place[own[known].astype(int)]] = 1.0
        weight = np.repeat((~labels.without).astype(np.float64)[:, None], truth.shape[1], 1)
        if self.spec.class_weight:
            weight *= (truth * np.array(self.spec.class_weight)).sum(1, keepdims=True)
        return truth, weight

    def losses(self, outputs: Tensor, truth: Tensor, weight: Tensor) -> Tensor:
        return -(functional.log_softmax(outputs.to(truth.dtype), 1) * truth * weight).sum(1)

    def predict(self, outputs: Tensor) -> Tensor:
        return outputs.softmax(1)

    def start(self) -> Tensor:
        weight = torch.tensor(self.spec.class_weight) if self.spec.class_weight else torch.ones(())
        return (torch.tensor(self.spec.prior).clamp_min(LEAST) * weight).log()

    def taught(self, outputs: Tensor) -> tuple[Tensor, Tensor]:
        return outputs.softmax(1), torch.ones_like(outputs)

    def outputs(self, fitted: Tensor) -> Tensor:
        return fitted.clamp_min(LEAST).log()

    def said(self, labels: LabelSet, said: Numbers, horizons: Sequence[float] = ()) -> Said:
        truth = [labels.classes[int(i)] for i in labels.value[:, 0]]
        columns = {"categorical_value": truth, "predicted_categorical_probabilities": said.tolist()}
        return Said(columns, self.spec.outputs)
