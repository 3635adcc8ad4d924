"""What is predicted: from a token's state, what was hidden of a triplet; from the embedding, what comes next.

Every head starts at zero and its biases at what was counted on train (`start_at`), so a fresh model costs exactly
what the trivial guess costs, and no step is spent on learning shares.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from tawt.config.model import ModelConfig
from tawt.contracts.value_status import ValueStatus
from tawt.dataset.vocabulary import Vocabulary

Module = TypeVar("Module", bound=nn.Module)


class ReconstructionHeads(nn.Module):
    """Heads of masked reconstruction; classes are compared with the embeddings that the encoder reads them by.

    Number, bin, category and status are predicted where the data_type is visible. Several triplets may share one
    token, so the state alone does not say which of them is asked for: the data_type's embedding is added to it,
    through a map that starts at zero.

    Args:
        config: Widths.
        vocabulary: Its data_types.
        parts: Which of `data_type`, `value`, `token`, `category` and `status` are predicted; others have no
            parameters.
    """

    category_offset: Tensor
    n_categories: Tensor
    n_bins: Tensor

    def __init__(self, config: ModelConfig, vocabulary: Vocabulary, parts: Collection[str]) -> None:
        super().__init__()
        d_model, v = config.d_model, len(vocabulary)
        self.parts = frozenset(parts)
        if "data_type" in parts:
            self.to_type = zeroed(nn.Linear(d_model, d_model))
            self.type_bias = nn.Parameter(torch.zeros(v))
        if self.parts & {"value", "token", "category", "status"}:
            self.of_type = zeroed(nn.Linear(d_model, d_model, bias=False))
        if self.parts & {"value", "token", "status"}:
            self.to_value = nn.Linear(d_model, d_model)
        if "value" in parts:
            self.number = zeroed(nn.Linear(d_model, 1, bias=False))
            self.number_bias = zeroed(nn.Embedding(v, 1))
        if "token" in parts:
            self.bin = zeroed(nn.Linear(d_model, max(1, vocabulary.max_bins), bias=False))
            self.bin_bias = zeroed(nn.Embedding(v, max(1, vocabulary.max_bins)))
        if "category" in parts:
            self.to_category = zeroed(nn.Linear(d_model, d_model))
            self.category_bias = nn.Parameter(torch.zeros(vocabulary.n_category_rows))
        if "status" in parts:
            self.status = zeroed(nn.Linear(d_model, len(ValueStatus), bias=False))
            self.status_bias = zeroed(nn.Embedding(v, len(ValueStatus)))
        self._keep("category_offset", vocabulary.category_offset)
        self._keep("n_categories", np.maximum(vocabulary.n_categories, 1))
        self._keep("n_bins", vocabulary.n_bins.astype(np.int64))

    def _keep(self, name: str, array: NDArray[np.int64]) -> None:
        self.register_buffer(name, torch.from_numpy(array), persistent=False)

    @torch.no_grad()
    def start_at(
        self, log_type: Tensor, log_category: Tensor, log_status: Tensor, log_bin: Tensor, mean: Tensor
    ) -> None:
        """Start from what was counted on train.

        Args:
            log_type: `(v,)`, log share of each data_type.
            log_category: `(n_category_rows,)`, of each category within its data_type.
            log_status: `(v, 10)`, of each status within the data_type.
            log_bin: `(v, max_bins)`, of each quantile bin within the data_type.
            mean: `(v,)`, of the data_type's numbers.
        """
        if "data_type" in self.parts:
            self.type_bias.copy_(log_type)
        if "value" in self.parts:
            self.number_bias.weight.copy_(mean[:, None])
        if "token" in self.parts:
            self.bin_bias.weight.copy_(log_bin)
        if "category" in self.parts:
            self.category_bias.copy_(log_category)
        if "status" in self.parts:
            self.status_bias.weight.copy_(log_status)

    def types(self, states: Tensor, table: Tensor) -> Tensor:
        """Logits over all data_types, `(m, d_model)` -> `(m, v)`; `table` is the `(v, d_model)` embedding."""
        return functional.linear(functional.gelu(self.to_type(states)), table, self.type_bias)

    def typed(self, states: Tensor, data_type: Tensor, table: Tensor) -> Tensor:
        """States that know which data_type is asked for: `(m, d_model)`, `(m,)` and the table -> `(m, d_model)`."""
        return states + self.of_type(functional.embedding(data_type, table))

    def numbers(self, typed: Tensor, data_type: Tensor) -> Tensor:
        """The normalized number, `(m, d_model)` and `(m,)` -> `(m,)` float32."""
        return (self.number(self._value(typed)).float() + self.number_bias(data_type).float())[:, 0]

    def bins(self, typed: Tensor, data_type: Tensor) -> Tensor:
        """Logits over the quantile bins, `(m, d_model)` and `(m,)` -> `(m, max_bins)` float32, -inf beyond the
        data_type's own."""
        logits = self.bin(self._value(typed)).float() + self.bin_bias(data_type).float()
        beyond = torch.arange(logits.shape[1], device=logits.device) >= self.n_bins[data_type][:, None]
        return logits.masked_fill(beyond, -torch.inf)

    def statuses(self, typed: Tensor, data_type: Tensor) -> Tensor:
        """Logits over `ValueStatus`, `(m, d_model)` and `(m,)` -> `(m, 10)` float32."""
        return self.status(self._value(typed)).float() + self.status_bias(data_type).float()

    def categories(
        self, typed: Tensor, data_type: Tensor, table: Tensor, n_logits: int | None = None
    ) -> tuple[Tensor, Tensor]:
        """Logits over the data_type's own categories, ragged.

        Args:
            typed: `(m, d_model)`.
            data_type: `(m,)`.
            table: `(n_category_rows, d_model)`, the flat category table.
            n_logits: `r`; None asks the device, and waits for it.

        Returns:
            Logits `(r,)` float32, the categories of the first position, then of the next, and `(r,)` the position
            of each.
        """
        counts = self.n_categories[data_type]
        ends = torch.cumsum(counts, 0)
        place = torch.arange(int(counts.sum()) if n_logits is None else n_logits, device=counts.device)
        # more logits than there are categories, which fill a batch up, are the last position's last one again
        position = torch.searchsorted(ends, place, right=True).clamp_max(len(counts) - 1)
        rank = (place - (ends - counts)[position]).minimum(counts[position] - 1)
        row = self.category_offset[data_type][position] + rank
        wanted = functional.gelu(self.to_category(typed))
        # gathered as embeddings are, whose gradient sums repeated rows in a fixed order at any thread count
        logits = (functional.embedding(position, wanted) * functional.embedding(row, table)).sum(-1)
        return logits.float() + functional.embedding(row, self.category_bias[:, None])[:, 0].float(), position

    def _value(self, typed: Tensor) -> Tensor:
        return functional.gelu(self.to_value(typed))


class EmbeddingHeads(nn.Module):
    """Heads on a document's embedding: numbers of `f` data_types that were hidden whole or come next, whether they
    come, and the projection in which views are compared.

    Args:
        d_embedding: Width of the embedding.
        columns: `(f,)`, the data_types that are predicted.
        n_types: Size of the vocabulary.
        d_projection: Width of the projection.
        parts: Which of `summary`, `forecast_value`, `forecast_presence` and `contrastive` are on.
    """

    column_of: Tensor

    def __init__(
        self, d_embedding: int, columns: NDArray[np.int64], n_types: int, d_projection: int, parts: Collection[str]
    ) -> None:
        super().__init__()
        self.summary = self._linear("summary", d_embedding, len(columns), parts)
        self.forecast_value = self._linear("forecast_value", d_embedding, len(columns), parts)
        self.forecast_presence = self._linear("forecast_presence", d_embedding, len(columns), parts)
        self.projection: nn.Sequential | None = None
        if "contrastive" in parts:
            self.projection = _projection(d_embedding, d_projection)
        column_of = np.full(n_types, -1, dtype=np.int64)
        column_of[columns] = np.arange(len(columns))
        self.register_buffer("column_of", torch.from_numpy(column_of), persistent=False)

    @torch.no_grad()
    def start_at(self, mean: Tensor, forecast_mean: Tensor, presence: Tensor) -> None:
        """Start from what was counted on train: `(f,)`, means of the numbers as either objective predicts them, and
        shares of windows in which they come."""
        starts = (mean, forecast_mean, presence.logit())
        for head, start in zip((self.summary, self.forecast_value, self.forecast_presence), starts, strict=True):
            if head is not None:
                head.bias.copy_(start)

    def project(self, embedding: Tensor) -> Tensor:
        """`(d, d_embedding)` -> `(d, d_projection)` float32, each of length 1."""
        assert self.projection is not None
        return functional.normalize(self.projection(embedding).float(), dim=-1)

    @staticmethod
    def _linear(part: str, d_embedding: int, f: int, parts: Collection[str]) -> nn.Linear | None:
        return zeroed(nn.Linear(d_embedding, f)) if part in parts else None


class PairHeads(nn.Module):
    """Projections in which records and their contents are compared.

    Args:
        d_embedding: Width of a record's embedding.
        d_content: Width of a content's.
        d_projection: Width of both projections.
    """

    def __init__(self, d_embedding: int, d_content: int, d_projection: int) -> None:
        super().__init__()
        self.record = _projection(d_embedding, d_projection)
        self.content = _projection(d_content, d_projection)

    def forward(self, embedding: Tensor, contents: Tensor) -> Tensor:
        """`(k, d_embedding)` and `(k, d_content)` -> `(k, 2 d_projection)` float32, both of length 1 side by side."""
        sides = self.record(embedding), self.content(contents)
        return torch.cat([functional.normalize(side.float(), dim=-1) for side in sides], 1)


def _projection(width: int, d_projection: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(width, 2 * d_projection), nn.GELU(), nn.Linear(2 * d_projection, d_projection))


def zeroed(module: Module) -> Module:
    """Return a module with all its parameters 0."""
    for parameter in module.parameters():
        nn.init.zeros_(parameter)
    return module
