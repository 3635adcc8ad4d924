"""Which tokens the encoder works on: one per triplet or one per moment, and where each document's lie."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any

from torch import Tensor


@dataclass(frozen=True)
class Layout:
    """`t` tokens of `d` documents, end to end. Made in the loader's thread; the model makes it where it is absent."""

    hours: Tensor
    """`(t,)` float64, hours since the subject's origin; 0 for a static."""
    is_static: Tensor
    """`(t,)` bool: no time, distance 0 to everything."""
    age_hours: Tensor
    """`(t,)` float32, hours before the document's prediction time (`end_hours`), at least 0; 0 for a static."""
    gap_hours: Tensor
    """`(t,)` float32, hours since the moment before; 0 for the first and for statics."""
    cu_seqlens: Tensor
    """`(d + 1,)` int32, where each document starts, and t."""
    bounds: tuple[int, ...]
    """The same on the host, so that nobody waits for the device to hear it."""
    document: Tensor
    """`(t,)` int64, the document of each token."""
    token_of: Tensor | None
    """`(n,)` int64, the token that each triplet is part of; None = its own, by position."""
    cls_at: Tensor | None
    """`(d,)` int64, the [CLS] token of each document; None = there is none."""
    blocks: Any = None
    """Block mask of FlexAttention over `static_length` tokens, made by `tawt.models.attention`; None elsewhere."""

    @property
    def n_tokens(self) -> int:
        """Number of tokens."""
        return self.hours.shape[0]

    @property
    def n_documents(self) -> int:
        """Number of documents."""
        return len(self.bounds) - 1

    @cached_property
    def spans(self) -> tuple[tuple[int, int], ...]:
        """First and one past the last token of each document that has one."""
        return tuple((a, b) for a, b in pairwise(self.bounds) if a < b)

    @property
    def max_seqlen(self) -> int:
        """Length of the longest document."""
        return max(b - a for a, b in self.spans)

    def of_triplets(self, tokens: Tensor) -> Tensor:
        """States of tokens `(t, ...)` -> states of triplets `(n, ...)`."""
        return tokens if self.token_of is None else tokens.index_select(0, self.token_of)
