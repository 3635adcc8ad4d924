"""Predictions from token states: which data_type, what number, which category, in which state."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from tawt.config.model import ModelConfig
from tawt.contracts.value_status import ValueStatus
from tawt.dataset.vocabulary import Vocabulary


class ReconstructionHeads(nn.Module):
    """Heads of masked reconstruction; classes are compared with the embeddings that the encoder reads them
    by."""

    category_offset: Tensor
    n_categories: Tensor

    def __init__(self, config: ModelConfig, vocabulary: Vocabulary) -> None:
        super().__init__()
        d_model = config.d_model
        self.to_type = nn.Linear(d_model, d_model)
        self.type_bias = nn.Parameter(torch.zeros(len(vocabulary)))
        self.to_number = nn.Linear(d_model, d_model)
        self.number = nn.Linear(d_model, 1)
        self.to_category = nn.Linear(d_model, d_model)
        self.category_bias = nn.Parameter(torch.zeros(vocabulary.n_category_rows))
        self.status = nn.Linear(d_model, len(ValueStatus), bias=False)
        self.status_bias = nn.Embedding(len(vocabulary), len(ValueStatus))
        # every head starts at zero, so that the biases alone speak until something is learned (see `start_at`)
        for last in (self.to_type, self.to_category, self.number):
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)
        nn.init.zeros_(self.status.weight)
        nn.init.zeros_(self.status_bias.weight)
        self.register_buffer("category_offset", torch.from_numpy(vocabulary.category_offset), persistent=False)
        n_categories = torch.from_numpy(np.maximum(vocabulary.n_categories, 1))
        self.register_buffer("n_categories", n_categories, persistent=False)

    @torch.no_grad()
    def start_at(self, log_type: Tensor, log_category: Tensor, log_status: Tensor) -> None:
        """Start from the shares counted on train, so that no step is spent on learning them.

        Args:
            log_type: `(v,)`.
            log_category: `(n_category_rows,)`.
            log_status: `(v, 10)`.
        """
        self.type_bias.copy_(log_type)
        self.category_bias.copy_(log_category)
        self.status_bias.weight.copy_(log_status)

    def types(self, states: Tensor, table: Tensor) -> Tensor:
        """Logits over all data_types, `(m, d_model)` -> `(m, v)`; `table` is the `(v, d_model)` embedding."""
        return functional.linear(functional.gelu(self.to_type(states)), table, self.type_bias)

    def numbers(self, states: Tensor) -> Tensor:
        """The normalized number, `(m, d_model)` -> `(m,)`."""
        return self.number(functional.gelu(self.to_number(states)))[:, 0]

    def statuses(self, states: Tensor, data_type: Tensor) -> Tensor:
        """Logits over `ValueStatus`, `(m, d_model)` and the visible data_types `(m,)` -> `(m, 10)`."""
        return self.status(states) + self.status_bias(data_type)

    def categories(self, states: Tensor, data_type: Tensor, table: Tensor) -> tuple[Tensor, Tensor]:
        """Logits over the data_type's own categories, ragged.

        Args:
            states: `(m, d_model)`.
            data_type: `(m,)`, which must be visible at these positions.
            table: `(n_category_rows, d_model)`, the flat category table.

        Returns:
            Logits `(r,)`, the categories of the first position, then of the next, and `(r,)` the position
            of each.
        """
        counts = self.n_categories[data_type]
        position = torch.repeat_interleave(torch.arange(len(counts), device=counts.device), counts)
        first = torch.cumsum(counts, 0) - counts
        rank = torch.arange(len(position), device=counts.device) - first[position]
        row = self.category_offset[data_type][position] + rank
        wanted = functional.gelu(self.to_category(states))
        # gathered as embeddings are, whose gradient sums repeated rows in a fixed order at any thread count
        logits = (functional.embedding(position, wanted) * functional.embedding(row, table)).sum(-1)
        return logits + functional.embedding(row, self.category_bias[:, None])[:, 0], position
