"""A latent for the whole record, which a decoder is told at every event."""

from __future__ import annotations

from pydantic import Field, model_validator

from tawt.config.base import Conflict, Section
from tawt.config.model import ModelConfig

KL = "kl"
"""The part of the loss that holds what is told of a record to its prior."""


class LatentConfig(Section):
    """A pretrained encoder reads the record, queries pool its states into `n_queries` times `d_latent` numbers, and the
    decoder is told these at every token; off by default. Needs `objective.next`.

    Source: Kingma and Welling, Auto-encoding variational Bayes, 2014; Kingma et al., 2016 (free bits).
    """

    encoder: str = ""
    """A run, or a shared model, of the same vocabulary, whose encoder reads the record. It is copied into the new run;
    empty = there is no latent, or with `model` one whose encoder starts anew."""
    model: ModelConfig | None = None
    """Shape of that encoder; null = as the run has it. Says so in the config of a run that has begun."""
    trains_encoder: bool = False
    """Whether it learns on; else it stays as it was, and costs no backward pass."""
    n_queries: int = Field(8, ge=1, le=1024)
    """Queries that pool the states of a record."""
    d_latent: int = Field(8, ge=1, le=4096)
    """Numbers of each."""
    beta: float = Field(1.0, gt=0, le=1e6)
    """Weight of the divergence from the prior; 1 is the bound of the likelihood."""
    free_bits: float = Field(0.05, ge=0, le=1e3)
    """Nats of each number of each record that cost nothing, so that it may say something from the start."""
    warmup_steps: int = Field(200, ge=0, le=10**9)
    """Steps over which `beta` rises from 0."""
    event_dropout: float = Field(0.3, ge=0, lt=1)
    """Share of a record's events that are hidden from the decoder in training: what it is to tell then hangs more on
    the latent. What is asked of it stays."""

    @property
    def is_on(self) -> bool:
        """Whether there is one."""
        return bool(self.encoder) or self.model is not None

    @property
    def width(self) -> int:
        """Numbers in all."""
        return self.n_queries * self.d_latent if self.is_on else 0

    @model_validator(mode="after")
    def _fits(self) -> LatentConfig:
        if self.model is not None and self.model.causal:
            said = "the encoder of a latent sees the whole record: its model may not be causal"
            raise Conflict(said, "model.causal")
        if self.model is not None and not self.encoder and not self.trains_encoder:
            raise Conflict("an encoder that starts anew must learn: trains_encoder", "model", "trains_encoder")
        return self
