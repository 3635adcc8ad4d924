"""A head: an embedding -> the outputs of a task."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from tawt.config.label import LabelConfig
from tawt.heads.kinds import answers
from tawt.heads.task import TaskSpec


class TaskHead(nn.Module):
    """A linear map, with a hidden layer beside it if there is to be one: at first it answers as the labels' rates do.

    Args:
        d_embedding: Width of the embedding.
        spec: The task.
        config: How the head is made.
    """

    def __init__(self, d_embedding: int, spec: TaskSpec, config: LabelConfig) -> None:
        super().__init__()
        k = len(spec.outputs)
        self.answers = answers(spec, config)
        self.dropout = nn.Dropout(config.dropout)
        self.linear = nn.Linear(d_embedding, k)
        self.inner = nn.Linear(d_embedding, config.hidden) if config.hidden else None
        self.outer = nn.Linear(config.hidden, k, bias=False) if config.hidden else None
        self.start_at(torch.zeros(k, d_embedding), self.answers.start())
        if self.outer is not None:
            nn.init.zeros_(self.outer.weight)

    @torch.no_grad()
    def start_at(self, weight: Tensor, bias: Tensor) -> None:
        """Start the linear map from weights `(k, d_embedding)` and biases `(k,)`."""
        self.linear.weight.copy_(weight)
        self.linear.bias.copy_(bias)

    def forward(self, embedding: Tensor) -> Tensor:
        """`(d, d_embedding)` -> outputs `(d, k)` float32."""
        x = self.dropout(embedding)
        out: Tensor = self.linear(x).float()
        if self.inner is not None and self.outer is not None:
            out = out + self.outer(functional.gelu(self.inner(x))).float()
        return out

    def loss_sum(self, embedding: Tensor, truth: Tensor, weight: Tensor) -> Tensor:
        """Return the loss of documents, summed: a float32 scalar. See `Answers.losses`."""
        return self.answers.losses(self(embedding), truth, weight).sum()
