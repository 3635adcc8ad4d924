"""Triplets to the tokens that the encoder works on: data_type, value, status and time, summed or side by side."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from tawt.batching.batch import HIDDEN, PackedBatch
from tawt.batching.layout import Layout
from tawt.config.model import ModelConfig
from tawt.contracts.dataset import SPECIAL_CODES
from tawt.contracts.value_status import HAS_NUMBER
from tawt.dataset.vocabulary import Vocabulary
from tawt.models.segments import segment_sum
from tawt.models.time_encoding import ScalarNetwork, TimeEncoding

CLS = SPECIAL_CODES.index("[CLS]")
"""The data_type of the token that `cls` pooling reads."""


TYPE_NORM = 4.0
"""Length of a data_type's vector at the start; times, bins and categories have about 1.

What a token is outweighs the rest at first, so that attention can tell from the first step which tokens are of
the same data_type: a masked value follows from them before it follows from anything else (`docs/log.md`).
"""
VALUE_NORM = 4.0
"""Length of a large number's vector: a number that hardly shows is hardly ever looked at."""
STATUS_NORM = 0.3


@dataclass(frozen=True)
class Added:
    """Values of some triplets that the batch itself does not hold, or not all of."""

    triplet: Tensor
    """`(a,)` int64, which triplets of the batch; one that is named twice gets the sum."""
    value: Tensor
    """`(a, d_model)`, what is added to the encoding of the value."""


class ValueEncoding(nn.Module):
    """A value as a number (shared network, scale and shift per data_type) and as its bin; a category as
    its own row.

    A token without a number, bin or category gets zero: its status says why.
    """

    n_bins: Tensor
    category_offset: Tensor
    has_number: Tensor

    def __init__(self, config: ModelConfig, vocabulary: Vocabulary) -> None:
        super().__init__()
        d_model, n_types = config.d_model, len(vocabulary)
        self.network: ScalarNetwork | None = None
        if config.value in ("continuous", "both"):
            self.network = ScalarNetwork(d_model, norm=VALUE_NORM)
            self.scale = nn.Embedding(n_types, self.network.d_hidden)
            self.shift = nn.Embedding(n_types, self.network.d_hidden)
            nn.init.zeros_(self.scale.weight)
            nn.init.zeros_(self.shift.weight)
        self.bins = None
        if config.value in ("tokens", "both"):
            self.bins = _embedding(vocabulary.max_bins + 1, d_model, padding=True)
        self.categories = _embedding(vocabulary.n_category_rows + 1, d_model, padding=True)
        self.register_buffer("n_bins", torch.from_numpy(vocabulary.n_bins.astype(np.int64)), persistent=False)
        self.register_buffer("category_offset", torch.from_numpy(vocabulary.category_offset), persistent=False)
        has_number = torch.zeros(HIDDEN + 1, dtype=torch.bool)
        has_number[list(HAS_NUMBER)] = True
        self.register_buffer("has_number", has_number, persistent=False)

    def forward(self, batch: PackedBatch) -> Tensor:
        """Return `(n, d_model)`."""
        token, n_bins = batch.value_token, self.n_bins[batch.data_type]
        is_category = token > n_bins
        # row 0 of both tables is the zero vector, so row i of the flat category table stands at i + 1
        row = self.category_offset[batch.data_type] + token - n_bins
        out: Tensor = self.categories(torch.where(is_category, row, 0))
        if self.bins is not None:
            out = out + self.bins(token.masked_fill(is_category, 0))
        if self.network is not None:
            number = self.network(batch.value, self.scale(batch.data_type), self.shift(batch.data_type))
            out = out + number * self.has_number[batch.value_status][:, None]
        return out

    @property
    def category_rows(self) -> Tensor:
        """`(n_category_rows, d_model)`, the flat category table without its zero row."""
        return self.categories.weight[1:]


class TokenEmbedding(nn.Module):
    """What a token is, how much, in which state and when.

    A token of several triplets is the sum of them, with its time once. `concat` lays the four parts side by side and
    projects them; the projection starts as their sum, so both start as the same model.
    """

    def __init__(self, config: ModelConfig, vocabulary: Vocabulary) -> None:
        super().__init__()
        d_model = config.d_model
        self.data_type = _embedding(len(vocabulary), d_model, norm=TYPE_NORM)
        self.value = ValueEncoding(config, vocabulary)
        self.status = _embedding(HIDDEN + 1, d_model, norm=STATUS_NORM)
        self.time = TimeEncoding(config)
        self.project: nn.Linear | None = None
        if config.combine == "concat":
            self.project = nn.Linear(4 * d_model, d_model, bias=False)
            with torch.no_grad():
                self.project.weight.copy_(torch.eye(d_model).repeat(1, 4))

    def forward(self, batch: PackedBatch, layout: Layout, added: Added | None = None) -> tuple[Tensor, Tensor]:
        """Return tokens `(t, d_model)`, and the value's part of each triplet `(n, d_model)`."""
        values: Tensor = self.value(batch)
        if added is not None:
            values = values.index_add(0, added.triplet, added.value.to(values.dtype))
        parts = [self.data_type(batch.data_type), values, self.status(batch.value_status)]
        type_gap = self.time.of_triplets(batch.type_gap_hours, batch.is_static)
        if type_gap is not None:
            parts.append(type_gap)
        elif self.project is not None:
            parts.append(torch.zeros_like(values))
        x = torch.cat(parts, -1) if self.project is not None else sum(parts[1:], parts[0])
        if layout.token_of is not None:
            x = segment_sum(x, layout.token_of, layout.n_tokens)
        if layout.cls_at is not None:
            cls = functional.pad(self.data_type.weight[CLS], (0, x.shape[1] - self.data_type.embedding_dim))
            x = x.index_copy(0, layout.cls_at, cls.to(x.dtype).expand(layout.n_documents, -1))
        clock = batch.clock_hours.index_select(0, layout.document)
        when = self.time.of_tokens(layout.hours, layout.gap_hours, layout.is_static, clock)
        if self.project is None:
            return x + when, values
        # the token's time has the last columns: projected by itself, it need not be laid beside the rest
        columns = self.project.weight[:, -when.shape[1] :]
        return self.project(x) + functional.linear(when, columns), values


def _embedding(n: int, d_model: int, padding: bool = False, norm: float = 1.0) -> nn.Embedding:
    table = nn.Embedding(n, d_model, padding_idx=0 if padding else None)
    nn.init.normal_(table.weight, std=norm * d_model**-0.5)
    if padding:
        nn.init.zeros_(table.weight[0])
    return table
