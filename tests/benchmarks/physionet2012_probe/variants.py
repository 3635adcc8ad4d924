"""The pretrainings that are compared: one model, and what it learns from."""

from __future__ import annotations

from typing import Any

from tawt.config.load import build, merge
from tawt.config.train import PretrainConfig

STAYS_PER_BATCH = 64
TRIPLETS_PER_STAY = 440

MODEL: dict[str, Any] = {
    "d_model": 64, "n_layers": 2, "n_heads": 4, "d_ffn": 128, "dropout": 0.1,
    "granularity": "timestamp", "pooling": "per_type", "attention": ["rotary", "decay"],
    "rotary": {"fraction": 0.5, "shortest_hours": 1.0, "longest_hours": 336.0}, "decay": {"learned": True},
    "time2vec": {"n_frequencies": 16, "shortest_hours": 4.0, "longest_hours": 96.0},
}  # fmt: skip
MASKED: dict[str, Any] = {
    "weight": 1.0, "value": 0.0, "data_type": 0.0, "event": 0.0, "spans": 2, "variables": 0.25, "value_loss": "huber",
    "status_weight": 0.0, "summary_weight": 1.0,
}  # fmt: skip
FORECAST: dict[str, Any] = {"weight": 1.0, "window_hours": 2.0, "earliest_hours": 4.0, "value_loss": "huber"}
OFF = {"weight": 0.0}

RANDOM = "random weights"
VARIANTS: dict[str, dict[str, Any]] = {
    # one step of no length: the weights stay those of the start
    RANDOM: {"train": {"max_steps": 1, "lr": 1e-12, "warmup_steps": 0}},
    "masked + forecast": {},
    "no attention layers": {"model": {"n_layers": 0}},
    "masked alone": {"objective": {"forecast": OFF}},
    "forecast alone": {"objective": {"masked": OFF}},
    "contrastive alone": {"objective": {"masked": OFF, "forecast": OFF, "contrastive": {"weight": 1.0}}},
}
"""What each pretraining changes of the common config."""


def config_of(variant: str, n_epochs: int, n_stays: int, seed: int, changes: dict[str, Any]) -> PretrainConfig:
    """Return the config of a pretraining: `n_epochs` passes over `n_stays` stays; `changes` are laid on for trials."""
    tree = {
        "model": MODEL,
        "batching": {"tokens_per_batch": STAYS_PER_BATCH * TRIPLETS_PER_STAY, "max_length": 2048},
        "augment": {"variable_dropout": 0.1},
        "objective": {"masked": MASKED, "forecast": FORECAST},
        "train": {
            "max_steps": n_epochs * n_stays // STAYS_PER_BATCH, "seed": seed, "lr": 1.5e-3, "weight_decay": 0.02,
            "warmup_steps": 60, "threads": 1, "validate_every": 0, "checkpoint_every": 250, "log_every": 10,
        },
    }  # fmt: skip
    return build(PretrainConfig, merge(merge(tree, changes), VARIANTS[variant]), "physionet2012_probe")
