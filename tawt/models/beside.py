"""The place for what lies beside records: images, waveforms, anything that no triplet holds."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from tawt.models.embeddings import Added


class BesideRecords(nn.Module):
    """What lies beside records, and where it joins them; any of the three may leave things as they are.

    `found` is `PackedBatch.beside`.
    """

    def added(self, found: Any) -> Added | None:
        """Return what is added to values of triplets, before the blocks."""
        raise NotImplementedError

    def embedding(self, embedding: Tensor, found: Any) -> Tensor:
        """`(d, d_embedding)` of documents -> the same with what lies beside them."""
        raise NotImplementedError

    def outputs(self, outputs: Tensor, found: Any) -> Tensor:
        """`(d, n_outputs)` of a task's head -> the same with what lies beside the documents."""
        raise NotImplementedError
