"""The root config of a pretraining run: model, batching, objective, training."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from tawt.config.base import Section
from tawt.config.batching import BatchingConfig
from tawt.config.model import ModelConfig


class MaskedConfig(Section):
    """Masked reconstruction: which tokens lose what, and how much each part weighs."""

    value: float = Field(0.15, ge=0, le=1)
    """Share of tokens whose value is hidden (value, token and status), the data_type stays."""
    data_type: float = Field(0.05, ge=0, le=1)
    """Share of tokens whose data_type is hidden, the normalized number stays."""
    event: float = Field(0.10, ge=0, le=1)
    """Share of tokens that lose both; only the time stays."""
    data_type_weight: float = Field(1.0, ge=0)
    """Weight of the cross-entropy of hidden data_types, nats per token."""
    value_weight: float = Field(1.0, ge=0)
    """Weight of the squared error of hidden numbers, in units of the normalized value."""
    category_weight: float = Field(1.0, ge=0)
    """Weight of the cross-entropy of hidden categories, nats."""
    status_weight: float = Field(0.2, ge=0)
    """Weight of the cross-entropy of hidden statuses, nats; small, since most are foreseen by the
    data_type."""
    max_value: float = Field(10.0, gt=0)
    """Numbers are clipped to +- this as targets, so that one outlier cannot own a step; the baseline is
    clipped alike."""

    @model_validator(mode="after")
    def _fits(self) -> MaskedConfig:
        if not 0 < self.value + self.data_type + self.event <= 1:
            raise ValueError("value + data_type + event must be above 0 and at most 1")
        return self


class TrainConfig(Section):
    """Optimizer, schedule, precision, validation and checkpoints."""

    max_steps: int = Field(1000, ge=1)
    """Optimizer steps; also the length of the cosine."""
    seed: int = Field(0, ge=0)
    """Seed of the weights, batches, masks and dropout."""
    lr: float = Field(1e-3, gt=0)
    """Highest learning rate."""
    min_lr: float = Field(0.1, ge=0, le=1)
    """Learning rate at the end, as a share of `lr`."""
    warmup_steps: int = Field(50, ge=0)
    """Steps of linear warm-up; cut to a tenth of `max_steps` where that is less."""
    betas: tuple[float, float] = (0.9, 0.98)
    """AdamW's decay rates; 0.98 forgets the large first gradients sooner than 0.999 in a short run."""
    weight_decay: float = Field(0.05, ge=0)
    """Decoupled decay of matrices; norms, biases and embeddings have none."""
    clip: float = Field(1.0, gt=0)
    """Largest gradient norm."""
    accumulate_tokens: int = Field(0, ge=0)
    """Tokens per optimizer step: as many packed batches as it takes; 0 = one batch."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """`auto` is bf16 autocast on a CUDA device that has it, and fp32 on CPU (bf16 gains only 15 % there)."""
    threads: int = Field(0, ge=0)
    """CPU threads of torch; 0 = by rule, which a run states. Bit-equal resume holds for one thread count."""
    log_every: int = Field(1, ge=1)
    """Steps between lines of `metrics.jsonl`."""
    validate_every: int = Field(200, ge=0)
    """Steps between validations on `tuning`; 0 = never. The last step is always validated unless 0."""
    validate_batches: int = Field(8, ge=1)
    """Batches of a validation: always the first ones, with the same masks."""
    checkpoint_every: int = Field(200, ge=1)
    """Steps between checkpoints; the last step always has one."""
    keep_checkpoints: int = Field(2, ge=1)
    """Newest checkpoints that are kept."""


class PretrainConfig(Section):
    """Everything that a pretraining run depends on, beside the dataset."""

    model: ModelConfig = ModelConfig()
    """The encoder."""
    batching: BatchingConfig = BatchingConfig()
    """Windows and packing."""
    objective: MaskedConfig = MaskedConfig()
    """What the encoder learns from."""
    train: TrainConfig = TrainConfig()
    """How it learns."""
