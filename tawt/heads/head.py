"""A head: an embedding -> the outputs of a task."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from tawt.config.label import LabelConfig
from tawt.heads.kinds import answers
from tawt.heads.task import TaskSpec


def beside(embedding: Tensor, facts: Tensor) -> Tensor:
    """Return what a head reads: embeddings `(d, d_embedding)`, with facts `(d, f)` beside them, if there are any."""
    return torch.cat((embedding, facts), 1) if facts.shape[1] else embedding


class TaskHead(nn.Module):
    """A linear map, with a hidden layer beside it if there is to be one: at first it answers as the labels' rates do.

    Args:
        d_embedding: Width of the embedding.
        spec: The task.
        config: How the head is made.
    """

    def __init__(self, d_embedding: int, spec: TaskSpec, config: LabelConfig) -> None:
        super().__init__()
        k, width = len(spec.outputs), d_embedding + len(spec.statics)
        self.answers = answers(spec, config)
        self.dropout = nn.Dropout(config.dropout)
        self.linear = nn.Linear(width, k)
        self.inner = nn.Linear(width, config.hidden) if config.hidden else None
        self.outer = nn.Linear(config.hidden, k, bias=False) if config.hidden else None
        self.start_at(torch.zeros(k, width), self.answers.start())
        if self.outer is not None:
            nn.init.zeros_(self.outer.weight)

    @torch.no_grad()
    def start_at(self, weight: Tensor, bias: Tensor) -> None:
        """Start the linear map from weights `(k, width)` and biases `(k,)`."""
        self.linear.weight.copy_(weight)
        self.linear.bias.copy_(bias)

    def forward(self, embedding: Tensor) -> Tensor:
        """`(d, width)`, as of `beside` -> outputs `(d, k)` float32."""
        x = self.dropout(embedding)
        out: Tensor = self.linear(x).float()
        if self.inner is not None and self.outer is not None:
            out = out + self.outer(functional.gelu(self.inner(x))).float()
        return out
