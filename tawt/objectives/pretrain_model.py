"""The encoder and the heads that it is pretrained with: an example in, sums of losses out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from tawt.batching.example import Example
from tawt.batching.layout import Layout
from tawt.config.label import LabelConfig
from tawt.config.latent import KL
from tawt.config.train import PretrainConfig
from tawt.dataset.vocabulary import Vocabulary
from tawt.heads.head import TaskHead
from tawt.heads.lora import add_low_rank
from tawt.heads.task import TaskSpec
from tawt.modalities.fusion.fused import Fused
from tawt.modalities.fusion.looking import joins_below, with_beside
from tawt.models.decoder.heads import NextHeads
from tawt.models.decoder.latent import Latent
from tawt.models.encoder import Encoded, Encoder
from tawt.models.heads import EmbeddingHeads, PairHeads, ReconstructionHeads
from tawt.objectives import forecast, masked, next_event
from tawt.objectives.answered import answered
from tawt.objectives.baselines import Baselines, forecast_types
from tawt.objectives.parts import CONTRASTIVE, LABEL, ON_EMBEDDING, weights

_BELOW_READOUT = ("embedding", "dropout", "blocks", "norm")
"""Children of the encoder that make token states; the others make the embedding."""


@dataclass(frozen=True)
class Outputs:
    """What a forward pass gives."""

    sums: dict[str, Tensor]
    """Loss of each part that is on, except `contrastive` and `paired`, summed over its positions: float32 scalars."""
    projection: Tensor | None
    """`(d, d_projection)` float32, each of length 1, for `contrastive`; `(k, 2 d_projection)`, a record and its content
    side by side, for `paired`. None = both are off."""


class Heads(nn.Module):
    """All heads of a run: `tokens` on token states, `documents` on embeddings."""

    def __init__(self, config: PretrainConfig, vocabulary: Vocabulary, d_embedding: int, task: TaskSpec | None) -> None:
        super().__init__()
        parts, objective = weights(config.objective), config.objective
        columns = forecast_types(vocabulary, objective.forecast.n_types)
        self.tokens = ReconstructionHeads(config.model, vocabulary, parts)
        self.documents = EmbeddingHeads(
            d_embedding, columns, len(vocabulary), objective.contrastive.d_projection, parts
        )
        self.next = (
            NextHeads(config.model, objective.next, vocabulary, objective.latent.width)
            if objective.next.weight
            else None
        )
        pairs, d_content = objective.paired, config.modalities.fusion.d_content
        self.pairs = PairHeads(d_embedding, d_content, pairs.d_projection) if pairs.weight else None
        self.label = None if task is None else TaskHead(d_embedding, task, objective.label)
        self.register_buffer("columns", torch.from_numpy(columns), persistent=False)


class PretrainModel(nn.Module):
    """What a step trains. Weights are named `encoder.*`, `heads.*` and `latent.*`.

    Only parts that are on have heads. Where nothing is predicted from the embedding, the readout's own parameters
    cannot learn: they keep their start and take no gradient. With a task, `objective.label.trains` says what learns.
    """

    def __init__(self, config: PretrainConfig, vocabulary: Vocabulary, task: TaskSpec | None = None) -> None:
        super().__init__()
        self.config = config
        self.parts = weights(config.objective)
        self.encoder = Encoder(config.model, vocabulary)
        self.heads = Heads(config, vocabulary, self.encoder.d_embedding, task)
        self.latent = Latent(config.objective.latent, vocabulary) if config.objective.latent.is_on else None
        self._after: Callable[..., Outputs] = _after
        self.reads_out = bool(self.parts.keys() & set(ON_EMBEDDING))
        with_beside(self.encoder, config, 0 if task is None else len(task.outputs))
        for name, parameter in self.encoder.named_parameters():
            if not self.reads_out and name.split(".")[0] not in (*_BELOW_READOUT, *joins_below(config)):
                parameter.requires_grad_(False)
        self.frozen = LABEL in self.parts and config.objective.label.trains == "head"
        if LABEL in self.parts:
            _hold_still(self.encoder, config.objective.label)

    def train(self, mode: bool = True) -> PretrainModel:
        """Set whether it trains; an encoder of which nothing learns computes as it will be used."""
        super().train(mode)
        if self.frozen:
            self.encoder.eval()
        return self

    def start_at(self, baselines: Baselines) -> None:
        """Start the heads from what was counted on train: the first loss is that of the trivial guess."""
        b, documents = baselines, self.heads.documents
        self.heads.tokens.start_at(b.log_type, b.log_category, b.log_status, b.log_bin, b.mean)
        columns = self.heads.get_buffer("columns").cpu()
        documents.start_at(b.mean[columns], b.forecast_mean[columns], b.presence)
        if self.heads.next is not None:
            assert b.next is not None
            self.heads.next.start_at(b.next)

    def kept(self, baselines: Baselines) -> Baselines:
        """Return what was counted, told in what the heads tell; see `NextHeads.kept`."""
        if self.heads.next is None or baselines.next is None:
            return baselines
        return replace(baselines, next=self.heads.next.kept(baselines.next))

    def prepare(self, device: torch.device, dtype: torch.dtype, **how: Any) -> dict[str, str]:
        """Set how it computes; see `Encoder.prepare`. What lies behind the blocks is compiled as the embedding is."""
        self._after = torch.compile(_after) if how.get("compiled") and how.get("filled") else _after
        if self.latent is not None:
            self.latent.encoder.prepare(device, dtype)
        return self.encoder.prepare(device, dtype, **how)

    def forward(self, example: Example) -> Outputs:
        """Return the sums of losses of an example, and the projections of its documents."""
        sums, told = {}, None
        if self.latent is not None:
            assert example.latent is not None and self.heads.next is not None
            posterior = self.latent(example.latent.whole)
            sums[KL] = posterior.divergence().clamp_min(self.config.objective.latent.free_bits).sum()
            told = self.heads.next.told(posterior.drawn(example.latent.noise))
        through = self.encoder.opened(example.batch, told)
        out = (self._after if self.training else _after)(self, through, example)
        return replace(out, sums=out.sums | sums)

    def sums(self, encoded: Encoded, example: Example) -> Outputs:
        """Return the same from the states of an example's tokens."""
        sums: dict[str, Tensor] = {}
        if example.masked is not None:
            tables = self.encoder.embedding.data_type.weight, self.encoder.embedding.value.category_rows
            how = self.config.objective.masked.value_loss
            sums |= masked.token_sums(self.heads.tokens, tables, encoded.tokens, encoded.layout, example.masked, how)
        if example.next is not None:
            assert self.heads.next is not None
            tables = self.encoder.embedding.data_type.weight, self.encoder.embedding.value.category_rows
            sums |= next_event.loss_sums(self.heads.next, tables, encoded.tokens, example.next, self.parts)
        if not self.reads_out:
            return Outputs(sums, None)
        more, projection = self._of_documents(self.encoder.readout(encoded, example.batch), example)
        return Outputs(sums | more, projection)

    def _of_documents(self, embedding: Tensor, example: Example) -> tuple[dict[str, Tensor], Tensor | None]:
        """Return what is predicted from embeddings `(d, d_embedding)`."""
        heads, objective, heads_of_task = self.heads.documents, self.config.objective, self.heads.label
        sums: dict[str, Tensor] = {}
        if example.masked is not None and "summary" in self.parts:
            sums["summary"] = masked.summary_sum(heads, embedding, example.masked, objective.masked.value_loss)
        if example.label is not None:
            assert heads_of_task is not None
            outputs = answered(self.encoder, heads_of_task, embedding, example.label.facts, example.batch)
            sums[LABEL] = heads_of_task.answers.losses(outputs, example.label.truth, example.label.weight).sum()
        if example.forecast is not None:
            sums |= forecast.loss_sums(heads, embedding, example.forecast, objective.forecast)
        if self.heads.pairs is not None:
            assert isinstance(self.encoder.beside, Fused) and example.pairs is not None
            record = embedding.index_select(0, example.pairs.document)
            return sums, self.heads.pairs(record, self.encoder.beside.contents(example.pairs))
        return sums, heads.project(embedding) if CONTRASTIVE in self.parts else None


def _after(model: PretrainModel, through: tuple[Tensor, Tensor | None, Layout, Tensor], example: Example) -> Outputs:
    """What lies behind the blocks."""
    return model.sums(model.encoder.closed(*through), example)


def _hold_still(encoder: Encoder, config: LabelConfig) -> None:
    """Let of an encoder learn what is to learn with a task's head."""
    blocks = list(encoder.blocks)
    if config.trains == "full":
        return
    encoder.requires_grad_(False)
    if encoder.beside is not None:
        encoder.beside.requires_grad_(True)
    if config.trains == "lora":
        add_low_rank(encoder.blocks, config.lora_rank)
    for part in () if config.trains == "head" else (encoder.pooling, encoder.norm):
        part.requires_grad_(True)
    if config.trains == "last":
        for block in blocks[len(blocks) - min(config.last_blocks, len(blocks)) :]:
            block.requires_grad_(True)


def build_model(
    config: PretrainConfig, vocabulary: Vocabulary, seed: int, task: TaskSpec | None = None
) -> PretrainModel:
    """Return a model whose weights only config, vocabulary, task and seed decide; torch's own random state is
    left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return PretrainModel(config, vocabulary, task)


@dataclass(frozen=True)
class ParameterCounts:
    """Where a model's parameters are."""

    tables: int
    """Embedding tables, which grow with the vocabulary."""
    encoder: int
    """The rest of the encoder."""
    heads: int
    """Heads of pretraining."""
    latent: int = 0
    """What reads a latent, with tables of its own."""

    @property
    def total(self) -> int:
        """All of them."""
        return self.tables + self.encoder + self.heads + self.latent


def count_parameters(model: PretrainModel) -> ParameterCounts:
    """Count parameters by place."""
    embeddings = [m for m in model.encoder.modules() if isinstance(m, nn.Embedding)]
    tables = sum(p.numel() for embedding in embeddings for p in embedding.parameters())
    encoder = sum(p.numel() for p in model.encoder.parameters()) - tables
    heads, latent = (sum(p.numel() for p in part.parameters()) if part else 0 for part in (model.heads, model.latent))
    return ParameterCounts(tables, encoder, heads, latent)
