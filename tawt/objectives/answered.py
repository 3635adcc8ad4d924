"""What a task's head says of a batch's documents, with what lies beside them."""

from __future__ import annotations

from torch import Tensor

from tawt.batching.batch import PackedBatch
from tawt.heads.head import TaskHead, beside
from tawt.models.encoder import Encoder


def answered(encoder: Encoder, head: TaskHead, embedding: Tensor, facts: Tensor, batch: PackedBatch) -> Tensor:
    """Return a head's outputs `(d, k)` for the embeddings of a batch's documents, `(d, d_embedding)`, and facts."""
    outputs: Tensor = head(beside(embedding, facts))
    if encoder.beside is None or batch.beside is None:
        return outputs
    return encoder.beside.outputs(outputs, batch.beside)
