"""Token states of packed documents -> one vector per document, without padding."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tawt.config.model import ModelConfig, Pooling


def segment_mean(states: Tensor, document: Tensor, n_documents: int) -> Tensor:
    """Mean over each document: `(n, d)` -> `(n_documents, d)`."""
    return segment_sum(states, document, n_documents) / _lengths(states, document, n_documents)[:, None]


def segment_sum(states: Tensor, document: Tensor, n_documents: int) -> Tensor:
    """Sum over each document: `(n, ...)` -> `(n_documents, ...)`."""
    return states.new_zeros(n_documents, *states.shape[1:]).index_add(0, document, states)


def segment_max(states: Tensor, document: Tensor, n_documents: int) -> Tensor:
    """Largest number of each column over each document: `(n, d)` -> `(n_documents, d)`."""
    index = document[:, None].expand_as(states)
    empty = states.new_full((n_documents, states.shape[1]), -torch.inf)
    return empty.scatter_reduce(0, index, states, "amax", include_self=False)


def segment_softmax(scores: Tensor, document: Tensor, n_documents: int) -> Tensor:
    """Weights of each column that sum to 1 over each document: `(n, h)` -> `(n, h)`."""
    top = segment_max(scores.detach(), document, n_documents)
    weights = (scores - top[document]).exp()
    return weights / segment_sum(weights, document, n_documents).index_select(0, document)


def _lengths(states: Tensor, document: Tensor, n_documents: int) -> Tensor:
    return torch.bincount(document, minlength=n_documents).to(states.dtype)


class DocumentPooling(nn.Module):
    """The readout: `mean`, `max`, `cls` (the state of the document's [CLS] token) or `attention`.

    `attention` gives each head its own softmax over the document's tokens; its scores start at zero, where
    it is the mean.
    """

    def __init__(self, config: ModelConfig, how: Pooling) -> None:
        super().__init__()
        self.how = how
        self.score: nn.Linear | None = None
        if how == "attention":
            self.score = nn.Linear(config.d_model, config.n_heads, bias=False)
            nn.init.zeros_(self.score.weight)

    def forward(self, states: Tensor, document: Tensor, n_documents: int, cls: Tensor | None = None) -> Tensor:
        """Pool.

        Args:
            states: `(n, d_model)`.
            document: `(n,)`, the document of each token.
            n_documents: Number of documents, none of them empty.
            cls: `(n_documents, d_model)`, states of the [CLS] tokens, for `cls`.

        Returns:
            `(n_documents, d_model)`.
        """
        if self.how == "mean":
            return segment_mean(states, document, n_documents)
        if self.how == "max":
            return segment_max(states, document, n_documents)
        if self.how == "cls":
            assert cls is not None
            return cls
        assert self.score is not None
        weights = segment_softmax(self.score(states), document, n_documents)
        n_heads = weights.shape[1]
        parts = weights[:, :, None] * states.view(len(states), n_heads, -1)
        return segment_sum(parts, document, n_documents).view(n_documents, -1)
