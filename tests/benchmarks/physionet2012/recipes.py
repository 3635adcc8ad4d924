"""What is compared: pretrainings, how a task is learned from them, and what stands beside."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from tawt.commands.finetune import Mode
from tawt.config.load import build, load, merge
from tawt.config.train import PretrainConfig
from tawt.project import asset_root

STAYS_PER_BATCH = 64
OFF = {"weight": 0.0}

ENCODERS: dict[str, dict[str, Any]] = {
    "masked + forecast": {},
    "no attention layers": {"model": {"n_layers": 0}},
    "masked alone": {"objective": {"forecast": OFF}},
    "forecast alone": {"objective": {"masked": OFF}},
    "contrastive alone": {"objective": {"masked": OFF, "forecast": OFF, "contrastive": {"weight": 1.0}}},
}
"""What each pretraining changes of the preset `pretrain_small`."""
FULL = "masked + forecast"


@dataclass(frozen=True)
class Recipe:
    """A way to learn the task from a pretrained encoder."""

    encoder: str = FULL
    mode: Mode = "probe"
    epochs: dict[int, float] = field(default_factory=dict)
    """Percent of the labels -> passes over them, and over what a teacher labels; percents that are not there are left out.
    None of a probe, which is solved at once."""
    settings: dict[int, tuple[str, ...]] = field(default_factory=dict)

    def at(self, percent: int) -> bool:
        """Whether it is tried with so many labels."""
        return not self.epochs or percent in self.epochs


_TEACHER = (
    "objective.label.self_training.weight=1.0", "objective.label.self_training.of_labels=0.5",
    "objective.label.self_training.with_baselines=[LightGBM,logistic regression]", "objective.label.encoder_rate=1.0",
    "augment.variable_dropout=0.3", "train.lr=5e-4",
)  # fmt: skip
RECIPES: dict[str, Recipe] = {
    "frozen": Recipe(),
    "fine-tuned": Recipe(
        mode="full",
        epochs={10: 8.0, 50: 6.0, 100: 6.0},
        settings={10: ("train.lr=2e-4",), 50: ("train.lr=3e-4",), 100: ("train.lr=3e-4",)},
    ),
    "self-trained": Recipe(mode="full", epochs={10: 3.0, 50: 3.0}, settings={10: _TEACHER, 50: _TEACHER}),
    "frozen, no attention layers": Recipe("no attention layers"),
    "frozen, masked alone": Recipe("masked alone"),
    "frozen, forecast alone": Recipe("forecast alone"),
    "frozen, contrastive alone": Recipe("contrastive alone"),
}
USUAL = ("frozen", "fine-tuned", "self-trained", "frozen, no attention layers")
BESIDE = ("missingness", "logistic regression", "LightGBM", "LightGBM, four statistics", "untrained encoder")
"""Baselines of `tawt evaluate`."""
TREES = "LightGBM"
WITH_TREES = ("frozen", "fine-tuned", "self-trained")
"""Whose logits are averaged with those of LightGBM, in a row of its own."""


@dataclass(frozen=True)
class Published:
    """A row from elsewhere."""

    name: str
    auroc: float
    ap: float
    source: str


PUBLISHED: dict[int, tuple[Published, ...]] = {
    50: (
        Published("STraTS", 0.839, 0.501, "Tipirneni and Reddy 2022, from memory; area by trapezoids"),
        Published("GRU-D", 0.833, 0.481, "the same paper, from memory; area by trapezoids"),
    )
}
"""Percent of the labels -> what is said elsewhere of set-a."""
PUBLISHED_EVENTS = (
    ("Citi and Barbieri", 0.5345, 17.88), ("Johnson et al.", 0.5353, 29.86), ("SAPS-I", 0.3125, float("nan"))
)  # fmt: skip
"""Event 1 and Event 2 on set-c in 2012, learned from set-a; source: the challenge's list of final scores."""


def pretraining(encoder: str, passes: int, n_stays: int, seed: int, changes: dict[str, Any]) -> PretrainConfig:
    """Return the config of a pretraining: `passes` over `n_stays` stays; `changes` are laid on for trials."""
    tree = load(PretrainConfig, asset_root() / "pipelines" / "pretrain_small.yaml").model_dump()
    run = {
        "max_steps": passes * n_stays // STAYS_PER_BATCH, "seed": seed, "threads": 1, "validate_every": 0,
        "log_every": 10,
    }  # fmt: skip
    tree = merge(tree, {"train": run})
    return build(PretrainConfig, merge(merge(tree, changes), ENCODERS[encoder]), "physionet2012")
