"""`per_type`: an embedding that says of each data_type what a table of summaries would, learned from there.

Of each (document, data_type), six softmax poolings over the visible numbers of that data_type alone. The weight of a
number is, with learned `recency` and `level` of each data_type and pooling,

    softmax( level * number  -  recency * log1p(age / tau) )

where `number` is normalized and `age` is its hours before the prediction time; a static, which has no time, has age 0.
At the start the six are the mean, the last, the largest, the smallest, the first, and a mean that favours late ones.
The number itself orders them, not its quantile rank, which is flat in the tails and missed the largest of 50 numbers by
2.5 to 6 times as much (`docs/concepts/model.md`).

A hidden value or data_type counts as not there, so nothing of it is given away.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from tawt.batching.batch import HIDDEN, PackedBatch
from tawt.batching.layout import Layout
from tawt.config.model import ModelConfig, ReadoutConfig
from tawt.contracts.value_status import HAS_NUMBER
from tawt.dataset.vocabulary import Vocabulary
from tawt.errors import ConfigError, nearest
from tawt.models.pooling import Queries
from tawt.models.segments import segment_max, segment_softmax, segment_sum, take

POOLINGS = {
    "mean": (0.0, 0.0),
    "last": (3.0, 0.0),
    "max": (0.0, 3.0),
    "min": (0.0, -3.0),
    "first": (-3.0, 0.0),
    "late": (1.0, 0.0),
}
"""Recency and level of each pooling at the start."""

MAX_VALUE = 10.0
"""Numbers are read out clipped to +- this, so that one outlier does not own an embedding."""

_OF_TYPE = 3
"""Numbers per (document, data_type) beside the pooled ones: log count, presence, log age of the last."""


def readout_types(config: ReadoutConfig, vocabulary: Vocabulary) -> NDArray[np.int64]:
    """Return the data_types that have poolings of their own: those named, else the most frequent with numbers.

    Raises:
        ConfigError: A named code is not in the vocabulary, is named twice or has no numbers; or no data_type has any.
    """
    with_numbers = vocabulary.n_bins > 0
    if not with_numbers.any():
        raise ConfigError(
            "model.pooling", "`per_type` finds no data_type with numbers in the vocabulary, expected at least one",
            "use `--set model.pooling=attention`",
        )  # fmt: skip
    if not config.types:
        by_rows = np.argsort(-vocabulary.n_rows, kind="stable")
        return by_rows[with_numbers[by_rows]][: config.n_types].astype(np.int64)
    where, index = "model.readout.types", {code: i for i, code in enumerate(vocabulary.codes)}
    for code in config.types:
        if code not in index:
            hint = nearest(code, vocabulary.codes)
            raise ConfigError(where, f"no data_type `{code}` in the vocabulary, expected codes of it", hint)
        if not with_numbers[index[code]]:
            raise ConfigError(where, f"`{code}` has no numbers, expected data_types with numbers", "take it out")
    if len(set(config.types)) < len(config.types):
        raise ConfigError(where, "a code is named twice, expected each once", "take one out")
    return np.array([index[code] for code in config.types], dtype=np.int64)


class PerTypeReadout(nn.Module):
    """Poolings per data_type, beside queries over the whole document."""

    column_of: Tensor
    has_number: Tensor
    rank_lines: Tensor

    def __init__(self, config: ModelConfig, vocabulary: Vocabulary) -> None:
        super().__init__()
        readout, d_model = config.readout, config.d_model
        types = readout_types(readout, vocabulary)
        self.types = tuple(types.tolist())
        self.n_types, self.tau_hours = len(types), readout.tau_hours
        self.d_embedding = self.n_types * readout.d_type + readout.n_queries * readout.d_query

        start = torch.tensor(list(POOLINGS.values())).T[:, None].expand(2, self.n_types, len(POOLINGS))
        # embeddings, because a table is what they are: looked up by data_type, and without weight decay
        self.recency = nn.Embedding.from_pretrained(start[0].clone(), freeze=False)
        self.level = nn.Embedding.from_pretrained(start[1].clone(), freeze=False)
        self.to_value = nn.Linear(d_model, readout.d_value, bias=False) if readout.d_value else None
        self.to_state = nn.Linear(d_model, readout.d_state, bias=False) if readout.d_state else None
        width = len(POOLINGS) * (2 + readout.d_value + readout.d_state) + _OF_TYPE
        bound = width**-0.5
        self.weight = nn.Parameter(torch.empty(self.n_types, width, readout.d_type).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(self.n_types * readout.d_type).uniform_(-bound, bound))

        # the first query sees the whole document alike, each further one fades faster
        fading = torch.linspace(0, 3, readout.n_queries)
        self.queries = Queries(d_model, fading, readout.tau_hours)
        self.to_query = nn.Linear(d_model, readout.n_queries * readout.d_query, bias=False)

        column_of = np.full(len(vocabulary), self.n_types, dtype=np.int64)
        column_of[types] = np.arange(self.n_types)
        self.register_buffer("column_of", torch.from_numpy(column_of), persistent=False)
        lines = torch.from_numpy(np.stack(vocabulary.rank_lines, -1))
        self.register_buffer("rank_lines", lines, persistent=False)
        has_number = torch.zeros(HIDDEN + 1, dtype=torch.bool)
        has_number[list(HAS_NUMBER)] = True
        self.register_buffer("has_number", has_number, persistent=False)

    def forward(self, tokens: Tensor, layout: Layout, values: Tensor, batch: PackedBatch) -> Tensor:
        """Read documents out.

        Args:
            tokens: `(t, d_model)` states.
            layout: Where they lie.
            values: `(n, d_model)`, the encoding of each triplet's value.
            batch: What is visible of the triplets.

        Returns:
            `(d, d_embedding)`: `d_type` numbers of each data_type, then `d_query` of each query.
        """
        by_type = self.of_types(tokens, layout, values, batch).flatten(1)
        return torch.cat((by_type, self.queries(tokens, self.to_query(tokens), layout)), -1)

    def of_types(self, tokens: Tensor, layout: Layout, values: Tensor, batch: PackedBatch) -> Tensor:
        """Return what each data_type adds, `(d, n_types, d_type)`; arguments as of `forward`."""
        summaries = self.summaries(tokens, layout, values, batch)
        bias = self.bias.view(self.n_types, 1, -1)
        return functional.gelu(torch.baddbmm(bias, summaries.transpose(0, 1), self.weight)).transpose(0, 1)

    def summaries(self, tokens: Tensor, layout: Layout, values: Tensor, batch: PackedBatch) -> Tensor:
        """Return the summaries of each (document, data_type), `(d, n_types, 6 * (2 + d_value + d_state) + 3)`.

        Per pooling the number, its quantile rank, and what value encoding and state give; then the log of the count,
        1 where there is a number, and the log age of the last. All 0 where there is none.
        """
        d, n_segments = layout.n_documents, layout.n_documents * self.n_types
        column = self.column_of[batch.data_type]
        counts = self.has_number[batch.value_status] & (column < self.n_types)
        document = layout.of_triplets(layout.document)
        # what does not count goes to one segment more, which is cut off: no wait for the device to say how many
        segment, order = torch.where(counts, document * self.n_types + column, n_segments).sort(stable=True)
        column = column[order].clamp_max(self.n_types - 1)
        age = torch.log1p(layout.of_triplets(layout.age_hours)[order] / self.tau_hours)[:, None]
        number = batch.value[order].clamp(-MAX_VALUE, MAX_VALUE)[:, None]
        rank = self._rank(batch.value_token[order], batch.data_type[order], batch.value[order])[:, None]

        features = [number, rank]
        if self.to_value is not None:
            features.append(take(self.to_value(values), order))
        if self.to_state is not None:
            token = order if layout.token_of is None else layout.token_of[order]
            features.append(take(self.to_state(tokens), token))
        scores = self.level(column) * number - self.recency(column) * age
        weights = segment_softmax(scores, segment, n_segments + 1)
        pooled = (weights[:, :, None] * torch.cat(features, -1)[:, None]).flatten(1)
        pooled = segment_sum(pooled, segment, n_segments + 1)[:-1]

        count = segment_sum(torch.ones_like(age), segment, n_segments + 1)[:-1]
        present = count > 0
        since = torch.where(present, -segment_max(-age, segment, n_segments + 1)[:-1], 0.0)
        return torch.cat((pooled, count.log1p(), present.to(pooled.dtype), since), -1).view(d, self.n_types, -1)

    def _rank(self, bin_: Tensor, data_type: Tensor, number: Tensor) -> Tensor:
        """Quantile rank of a number among those of its data_type, as `Vocabulary.ranks`: `(n,)`; 0 for none."""
        width = self.rank_lines.shape[1]
        at = data_type * width + bin_.clamp_max(width - 1)  # what has a category has no number, and is left out
        low, per_unit, base, step = self.rank_lines.view(-1, 4)[at].unbind(-1)
        return base + step * ((number - low) * per_unit).clamp(0, 1)
