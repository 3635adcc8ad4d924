"""What a head answers, for each kind of task: a loss, and a prediction. A new kind is one small class here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional

from tawt.config.label import LabelConfig
from tawt.heads.task import TaskSpec


class Answers(Protocol):
    """A kind of task. All take `outputs`, `(d, k)` of any float type, of a head."""

    def losses(self, outputs: Tensor, truth: Tensor, weight: Tensor) -> Tensor:
        """Return the loss of each document, `(d,)` in the type of `truth`.

        Args:
            outputs: `(d, k)`.
            truth: `(d, k)`; see `tawt.heads.targets`.
            weight: `(d, k)`, 0 where nothing is known.
        """

    def predict(self, outputs: Tensor) -> Tensor:
        """Return the answers, `(d, k)`: probabilities, numbers in their own unit, or chances of no event so far."""

    def start(self) -> Tensor:
        """Return the outputs `(k,)` of a head that knows the training labels alone."""

    def taught(self, outputs: Tensor) -> tuple[Tensor, Tensor]:
        """Return outputs `(d, k)` of a teacher as truth and weight, `(d, k)` each, that a head can learn from."""


class Binary:
    """Yes or no, of one thing or several: independent chances."""

    def __init__(self, spec: TaskSpec, config: LabelConfig) -> None:
        self.spec = spec

    def losses(self, outputs: Tensor, truth: Tensor, weight: Tensor) -> Tensor:
        each = functional.binary_cross_entropy_with_logits(outputs.to(truth.dtype), truth, reduction="none")
        return (each * weight).sum(1)

    def predict(self, outputs: Tensor) -> Tensor:
        return outputs.sigmoid()

    def start(self) -> Tensor:
        logit = torch.tensor(self.spec.prior).clamp(1e-6, 1 - 1e-6).logit()
        if not self.spec.class_weight:
            return logit
        of_no, of_yes = torch.tensor(self.spec.class_weight).reshape(2, -1)
        return logit + (of_yes / of_no).log()  # the least loss of one answer for all, as classes are weighed

    def taught(self, outputs: Tensor) -> tuple[Tensor, Tensor]:
        return outputs.sigmoid(), torch.ones_like(outputs)


class TimeToEvent(Binary):
    """The time to an event by the hazard in each of `k` intervals; whoever is censored counts up to then.

    Source: Gensheimer and Narasimhan, A scalable discrete-time survival model for neural networks, 2019.
    """

    def predict(self, outputs: Tensor) -> Tensor:
        # log of 1 - sigmoid, summed: the chance that nothing came up to the end of each interval
        return functional.logsigmoid(-outputs).cumsum(1).exp()

    def taught(self, outputs: Tensor) -> tuple[Tensor, Tensor]:
        # an interval counts as far as somebody is still there to watch
        return outputs.sigmoid(), torch.cat([torch.ones_like(outputs[:, :1]), self.predict(outputs)[:, :-1]], 1)


class Classes:
    """One of `k` classes."""

    def __init__(self, spec: TaskSpec, config: LabelConfig) -> None:
        self.spec = spec

    def losses(self, outputs: Tensor, truth: Tensor, weight: Tensor) -> Tensor:
        return -(functional.log_softmax(outputs.to(truth.dtype), 1) * truth * weight).sum(1)

    def predict(self, outputs: Tensor) -> Tensor:
        return outputs.softmax(1)

    def start(self) -> Tensor:
        weight = torch.tensor(self.spec.class_weight) if self.spec.class_weight else torch.ones(())
        return (torch.tensor(self.spec.prior).clamp_min(1e-6) * weight).log()

    def taught(self, outputs: Tensor) -> tuple[Tensor, Tensor]:
        return outputs.softmax(1), torch.ones_like(outputs)


class Numbers:
    """`k` numbers, in standard deviations around their mean."""

    def __init__(self, spec: TaskSpec, config: LabelConfig) -> None:
        self.spec, self.how = spec, config.number_loss

    def losses(self, outputs: Tensor, truth: Tensor, weight: Tensor) -> Tensor:
        loss = functional.mse_loss if self.how == "squared" else functional.huber_loss
        return (loss(outputs.to(truth.dtype), truth, reduction="none") * weight).sum(1)

    def predict(self, outputs: Tensor) -> Tensor:
        mean, scale = (outputs.new_tensor(x) for x in (self.spec.mean, self.spec.scale))
        return outputs * scale + mean

    def start(self) -> Tensor:
        return torch.zeros(len(self.spec.outputs))

    def taught(self, outputs: Tensor) -> tuple[Tensor, Tensor]:
        return outputs, torch.ones_like(outputs)


_OF: dict[str, Callable[[TaskSpec, LabelConfig], Answers]] = {
    "binary": Binary,
    "labels": Binary,
    "classes": Classes,
    "numbers": Numbers,
    "time": TimeToEvent,
}


def answers(spec: TaskSpec, config: LabelConfig) -> Answers:
    """Return how a task is answered."""
    return _OF[spec.kind](spec, config)
