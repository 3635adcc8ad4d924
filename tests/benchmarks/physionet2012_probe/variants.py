"""The pretrainings that are compared: the preset `pretrain_small`, and what each changes of it."""

from __future__ import annotations

from typing import Any

from tawt.config.load import build, load, merge
from tawt.config.train import PretrainConfig
from tawt.project import asset_root

STAYS_PER_BATCH = 64

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
    tree = load(PretrainConfig, asset_root() / "pipelines" / "pretrain_small.yaml").model_dump()
    run = {
        "max_steps": n_epochs * n_stays // STAYS_PER_BATCH, "seed": seed, "threads": 1, "validate_every": 0,
        "log_every": 10,
    }  # fmt: skip
    tree = merge(tree, {"train": run})
    return build(PretrainConfig, merge(merge(tree, changes), VARIANTS[variant]), "physionet2012_probe")
