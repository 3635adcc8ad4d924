"""The root config of a pretraining run: model, batching, augmentation, objectives, training."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from tawt.config.augment import AugmentConfig
from tawt.config.base import Conflict, Section
from tawt.config.batching import BatchingConfig
from tawt.config.modalities import ModalitiesConfig
from tawt.config.model import ModelConfig
from tawt.config.objective import ObjectiveConfig

MAX_STEPS = 10**9
Beta = Annotated[float, Field(ge=0, lt=1)]
Logger = Literal["tensorboard", "trackio", "wandb"]


class TrainConfig(Section):
    """Optimizer, schedule, precision, validation and checkpoints."""

    max_steps: int = Field(1000, ge=0, le=MAX_STEPS)
    """Optimizer steps; also the length of the schedule; 0 only with a head that starts at a probe. May grow in a
    resumed run where the steps made have the same rates under both."""
    seed: int = Field(0, ge=0, lt=2**63)
    """Seed of the weights, batches, masks, augmentations and dropout."""
    lr: float = Field(1e-3, gt=0, le=1e38)
    """Highest learning rate."""
    min_lr: float = Field(0.1, ge=0, le=1)
    """Learning rate at the end, as a share of `lr`; `inverse_sqrt` stops falling there."""
    schedule: Literal["cosine", "linear", "inverse_sqrt", "stable", "constant"] = "cosine"
    """What the learning rate does after the warm-up. Under `stable`, which falls over the last `decay_steps` alone,
    `inverse_sqrt` and `constant`, a run may be resumed with more `max_steps`."""
    decay_steps: int = Field(0, ge=0, le=MAX_STEPS)
    """`stable`: steps over which the rate falls at the end; 0 = a tenth of `max_steps`."""
    dropout_until: float = Field(1.0, gt=0, le=1)
    """Share of the steps with dropout; nothing is dropped in those behind, for what a model says without dropout, as
    in use, is not quite what it learned to say with it."""
    warmup_steps: int = Field(50, ge=0, le=MAX_STEPS)
    """Steps of linear warm-up; cut to a tenth of `max_steps` where that is less."""
    betas: tuple[Beta, Beta] = (0.9, 0.98)
    """AdamW's decay rates; 0.98 forgets the large first gradients sooner than 0.999 in a short run."""
    weight_decay: float = Field(0.05, ge=0, le=1e3)
    """Decoupled decay of the weights of linear maps; norms, biases and tables have none."""
    clip: float = Field(1.0, gt=0, le=1e38)
    """Largest gradient norm."""
    accumulate_tokens: int = Field(0, ge=0, le=1 << 30)
    """Tokens per optimizer step, over all processes: as many packed batches as it takes, which are held in memory
    together; 0 = one batch per process."""
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    """`auto` is bf16 autocast on a CUDA device that has it, fp16 with a loss scaler on one that has not, and fp32 on
    CPU (bf16 gains only 15 % there)."""
    compile: Literal["auto", "on", "off"] = "auto"
    """`torch.compile` of the blocks, and with the kernel `fused` a step's passes replayed as CUDA graphs. `auto` is
    on for CUDA and off with the tile kernel, as on CPU, whose loops follow each batch's documents; there `on` is
    refused."""
    activation_checkpointing: bool = False
    """Whether blocks are computed again in the backward pass instead of kept: a third more time, a fraction of the
    memory."""
    parallel: Literal["ddp", "fsdp"] = "ddp"
    """With several processes: every one holds the whole model (`ddp`), or a share of it (`fsdp`)."""
    threads: int = Field(0, ge=0, le=1024)
    """CPU threads of torch; 0 = measured once per workspace. Bit-equal resume holds for one thread count."""
    log_every: int = Field(1, ge=1, le=MAX_STEPS)
    """Steps between lines of `metrics.jsonl`."""
    validate_every: int = Field(200, ge=0, le=MAX_STEPS)
    """Steps between validations on `tuning`; 0 = never. The last step is always validated unless 0."""
    validate_batches: int = Field(8, ge=1, le=1_000_000)
    """Batches of a validation: always the first ones, with the same masks."""
    patience: int = Field(0, ge=0, le=MAX_STEPS)
    """Validations without a better loss after which the run ends early; 0 = never."""
    checkpoint_every: int = Field(200, ge=1, le=MAX_STEPS)
    """Steps between checkpoints; the last step always has one."""
    keep_checkpoints: int = Field(2, ge=1, le=1_000_000)
    """Newest checkpoints that are kept."""
    keep_best: int = Field(0, ge=0, le=1_000_000)
    """Weights of the validations with the lowest loss that are kept beside them."""
    final: Literal["last", "best", "average"] = "last"
    """What `model.safetensors` is: the last weights, the best, or the mean of the `keep_best` best."""
    health_every: int = Field(0, ge=0, le=MAX_STEPS)
    """Steps between looks at the embeddings of `tuning` (rank, uniformity, probes of age and sex); 0 = at the end."""
    loggers: tuple[Logger, ...] = ()
    """Where metrics go beside `metrics.jsonl`; each is an extra: `pip install "tawt[tensorboard]"`."""

    @model_validator(mode="after")
    def _fits(self) -> TrainConfig:
        if self.final != "last" and not self.keep_best:
            raise Conflict(f"final: {self.final} needs keep_best above 0", "final", "keep_best")
        if (self.keep_best or self.patience) and not self.validate_every:
            keys = ("keep_best", "patience", "validate_every")
            raise Conflict("keep_best and patience need validate_every above 0", *keys)
        return self


class PretrainConfig(Section):
    """Everything that a pretraining run depends on, beside the dataset."""

    model: ModelConfig = ModelConfig()
    """The encoder."""
    batching: BatchingConfig = BatchingConfig()
    """Windows and packing."""
    augment: AugmentConfig = AugmentConfig()
    """What happens to every training document before anything else is done with it."""
    modalities: ModalitiesConfig = ModalitiesConfig()
    """What is looked at beside the triplets: images, waveforms."""
    objective: ObjectiveConfig = ObjectiveConfig()
    """What the encoder learns from."""
    train: TrainConfig = TrainConfig()
    """How it learns."""

    @model_validator(mode="after")
    def _has_something_to_do(self) -> PretrainConfig:
        label, model = self.objective.label, self.model
        if self.objective.next.weight and not (model.causal and model.granularity == "triplet"):
            needs = ("objective.next.weight", "model.causal", "model.granularity")
            raise Conflict("objective.next needs model.causal, and a token per triplet", *needs)
        if self.objective.latent.is_on and self.train.parallel == "fsdp":
            said = "a model with a latent is not shared out: each process holds all of it"
            raise Conflict(said, "objective.latent.encoder", "train.parallel")
        if model.causal and self.batching.order != "by_type":
            said = "with model.causal, triplets of one moment may not lie as chance has it: batching.order by_type"
            raise Conflict(said, "model.causal", "batching.order")
        if self.objective.paired.weight and not self.modalities.is_on:
            said = "objective.paired asks which image belongs to a record, and modalities names nothing to look at"
            raise Conflict(said, "objective.paired.weight", "modalities.image", "modalities.waveform")
        if not self.train.max_steps and not (label.weight and label.start == "probe"):
            keys = ("train.max_steps", "objective.label.start")
            raise Conflict("max_steps is 0, and nothing else would be done", *keys)
        return self
