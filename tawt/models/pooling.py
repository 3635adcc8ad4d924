"""Token states of packed documents -> one vector per document, without padding."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tawt.batching.layout import Layout
from tawt.config.model import ModelConfig
from tawt.models.segments import segment_max, segment_mean, segment_softmax, segment_sum


class Queries(nn.Module):
    """Queries over a document's tokens; each pools its own share of the columns.

    The weight of a token is the softmax over its document of `state . query - recency * log1p(age / tau)`, with its
    age at the prediction time. The queries start at zero: what is pooled first is a mean, faded by `recency`.

    Args:
        d_model: Width of a state.
        recency: `(n_queries,)`, how fast each query fades at the start.
        tau_hours: Age at which the fading sets in, hours.
    """

    def __init__(self, d_model: int, recency: Tensor, tau_hours: float) -> None:
        super().__init__()
        self.tau_hours = tau_hours
        self.query = nn.Linear(d_model, len(recency), bias=False)
        nn.init.zeros_(self.query.weight)
        self.recency = nn.Parameter(recency)

    def forward(self, states: Tensor, values: Tensor, layout: Layout) -> Tensor:
        """Pool.

        Args:
            states: `(t, d_model)`, what queries are matched with.
            values: `(t, n_queries * c)`, what is pooled.
            layout: Where documents and the prediction times lie.

        Returns:
            `(d, n_queries * c)`.
        """
        fading = torch.log1p(layout.age_hours / self.tau_hours)
        scores = self.query(states) - self.recency * fading[:, None]
        weights = segment_softmax(scores, layout.document, layout.n_documents)
        parts = weights[:, :, None] * values.view(len(values), weights.shape[1], -1)
        return segment_sum(parts.flatten(1), layout.document, layout.n_documents)


class DocumentPooling(nn.Module):
    """`mean`, `max`, `cls` (the state of the document's [CLS] token) or `attention` (a query for each head's share of
    the columns, started as the mean)."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.how = config.pooling
        self.queries: Queries | None = None
        if self.how == "attention":
            self.queries = Queries(config.d_model, torch.zeros(config.n_heads), config.readout.tau_hours)

    def forward(self, tokens: Tensor, layout: Layout) -> Tensor:
        """`(t, d_model)` -> `(d, d_model)`."""
        if self.how == "mean":
            return segment_mean(tokens, layout.document, layout.n_documents)
        if self.how == "max":
            most = segment_max(tokens, layout.document, layout.n_documents)
            return most.masked_fill(most == -torch.inf, 0.0)  # of a document without a token, which fills a batch up
        if self.how == "cls":
            assert layout.cls_at is not None, "a layout for cls pooling has a [CLS] token per document"
            return tokens[layout.cls_at]
        assert self.queries is not None
        return self.queries(tokens, tokens, layout)
