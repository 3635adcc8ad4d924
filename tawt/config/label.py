"""What a run learns from labels: how its head is made, and what else of the encoder learns with it."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, PositiveFloat

from tawt.config.base import Section


class SelfTrainingConfig(Section):
    """Prediction times without a label, answered by a teacher that learned from those with one."""

    weight: float = Field(0.0, ge=0, le=100)
    """How much a prediction time without a label counts, beside one with; 0 = they are left out."""
    of_labels: float = Field(0.0, ge=0, le=1)
    """Share of the teacher in the truth where there is a label: it smooths what is learned."""
    with_baselines: tuple[str, ...] = ()
    """Baselines of `tawt evaluate` that teach beside a linear probe of the run; the mean of their outputs counts."""


class LabelConfig(Section):
    """A task's labels, predicted from the embedding at each prediction time."""

    weight: float = Field(0.0, ge=0, le=1e6)
    """Weight of the objective; 0 = off. `tawt finetune` sets it; a run of `tawt pretrain` has no labels."""
    trains: Literal["head", "last", "lora", "full"] = "full"
    """What learns: the head alone; it, the readout and the last blocks; it, the readout and low-rank updates of all
    blocks; or everything."""
    last_blocks: int = Field(1, ge=0, le=1000)
    """`last`: how many blocks learn, counted from the end."""
    lora_rank: int = Field(8, ge=1, le=1024)
    """`lora`: rank of the update of each linear map of the blocks."""
    encoder_rate: float = Field(0.3, ge=0, le=100)
    """Learning rate of what was pretrained, as a share of `train.lr`, which the head has."""
    start: Literal["probe", "prior"] = "probe"
    """Where the head starts: at the best linear probe of the embeddings as they are, or at the rates of the labels."""
    hidden: int = Field(0, ge=0, le=65_536)
    """Width of a hidden layer beside the linear map; 0 = none. It starts by adding nothing."""
    dropout: float = Field(0.0, ge=0, lt=1)
    """Dropout of the embedding before the head."""
    statics: bool = False
    """Tell the head beside the embedding what is known of a subject without a time (age, sex, ...), each with a flag
    where it is known; what 10 subjects of train or fewer have is left out."""
    class_weight: Literal["none", "balanced"] = "none"
    """`balanced` weighs each class by its rarity among the training labels; probabilities are then no frequencies."""
    number_loss: Literal["squared", "huber"] = "squared"
    """Loss of a number, in standard deviations of the training labels."""
    self_training: SelfTrainingConfig = SelfTrainingConfig()
    """What is learned where there is no label."""
    n_bins: int = Field(20, ge=2, le=1000)
    """Time to an event: intervals of equal numbers of events, in each of which there is a hazard; at most one for ten
    events."""
    horizons: tuple[PositiveFloat, ...] = Field((), max_length=100)
    """Time to an event: hours at which an interval ends too, so that `tawt evaluate --horizon` can ask about them."""
