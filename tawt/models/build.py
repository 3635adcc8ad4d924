"""Config and vocabulary -> a model, the same weights for the same seed."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from tawt.config.model import ModelConfig
from tawt.dataset.vocabulary import Vocabulary
from tawt.models.encoder import Encoder
from tawt.models.heads import ReconstructionHeads


class PretrainModel(nn.Module):
    """The encoder and the heads that it is pretrained with; weights are named `encoder.*` and `heads.*`."""

    def __init__(self, config: ModelConfig, vocabulary: Vocabulary) -> None:
        super().__init__()
        self.encoder = Encoder(config, vocabulary)
        self.heads = ReconstructionHeads(config, vocabulary)


def build_model(config: ModelConfig, vocabulary: Vocabulary, seed: int) -> PretrainModel:
    """Return a model whose weights only config, vocabulary and seed decide; torch's own random state is
    left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return PretrainModel(config, vocabulary)


@dataclass(frozen=True)
class ParameterCounts:
    """Where a model's parameters are."""

    tables: int
    """Embedding tables, which grow with the vocabulary."""
    encoder: int
    """The rest of the encoder."""
    heads: int
    """Heads of pretraining."""

    @property
    def total(self) -> int:
        """All of them."""
        return self.tables + self.encoder + self.heads


def count_parameters(model: PretrainModel) -> ParameterCounts:
    """Count parameters by place."""
    embeddings = [m for m in model.encoder.modules() if isinstance(m, nn.Embedding)]
    tables = sum(p.numel() for embedding in embeddings for p in embedding.parameters())
    encoder = sum(p.numel() for p in model.encoder.parameters()) - tables
    return ParameterCounts(tables, encoder, sum(p.numel() for p in model.heads.parameters()))
