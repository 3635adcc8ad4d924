"""AdamW over two groups of parameters, and the schedule of its learning rate."""

from __future__ import annotations

import math
from collections.abc import Collection

import torch
from torch import nn

from tawt.config.train import TrainConfig
from tawt.models.readout import PerTypeReadout

SHARE = "share"
"""Key of a group of parameters: its learning rate as a share of that of the step."""


def make_optimizer(
    model: nn.Module, config: TrainConfig, encoder_rate: float = 1.0, learned: Collection[str] = ()
) -> torch.optim.AdamW:
    """Return fused AdamW; weights of linear maps decay, and nothing else: no bias, norm or table, of whatever shape.

    Args:
        model: What is trained.
        config: Rates and decay.
        encoder_rate: Learning rate of what was learned before, as a share of the others'.
        learned: Names of that.

    Source: Loshchilov and Hutter, Decoupled weight decay regularization, 2019.
    """
    maps = {id(m.weight) for m in model.modules() if isinstance(m, nn.Linear | PerTypeReadout)}
    slow = {id(p) for name, p in model.named_parameters() if name in learned} if encoder_rate != 1 else set()
    groups = []
    for decays in (True, False):
        for share, was_learned in ((1.0, False), (encoder_rate, True)):
            params = [p for p in model.parameters() if (id(p) in maps, id(p) in slow) == (decays, was_learned)]
            if params:
                decay = config.weight_decay if decays else 0.0
                groups.append({"params": params, "weight_decay": decay, SHARE: share})
    return torch.optim.AdamW(groups, lr=config.lr, betas=config.betas, fused=True)


def warmup_steps(config: TrainConfig) -> int:
    """Return how many steps the warm-up takes: at most a tenth of all."""
    return min(config.warmup_steps, config.max_steps // 10)


def learning_rate(step: int, config: TrainConfig) -> float:
    """Return the rate of optimizer step `step`, counted from 0: a linear rise, then the schedule.

    `cosine` and `linear` fall to `min_lr` at the last step. `inverse_sqrt` falls as `1 / sqrt(step + 1)` from the
    end of the warm-up, down to `min_lr` at the lowest. `stable` stays at `lr` and falls to `min_lr` in a line over the
    last `decay_steps`, so what comes before does not depend on `max_steps`.

    Source of `stable`: Hu et al., MiniCPM, 2024 (warm-up, stable, decay).
    """
    warmup = warmup_steps(config)
    if step < warmup:
        return config.lr * (step + 1) / warmup
    low = config.min_lr * config.lr
    if config.schedule == "constant":
        return config.lr
    if config.schedule == "inverse_sqrt":
        return max(low, config.lr * math.sqrt(max(warmup, 1) / (step + 1)))
    if config.schedule == "stable":
        n_decay = min(config.decay_steps or max(1, config.max_steps // 10), config.max_steps - warmup)
        return config.lr + (low - config.lr) * max(0, step + 1 - config.max_steps + n_decay) / n_decay
    progress = (step - warmup) / max(1, config.max_steps - 1 - warmup)
    if config.schedule == "linear":
        return config.lr + (low - config.lr) * progress
    return low + (config.lr - low) * 0.5 * (1 + math.cos(math.pi * progress))


def drops(step: int, config: TrainConfig) -> bool:
    """Return whether optimizer step `step`, counted from 0, has dropout, where the model has some."""
    return step < round(config.dropout_until * config.max_steps)


def same_steps(was: TrainConfig, now: TrainConfig, steps: int) -> bool:
    """Return whether the first steps have equal rates under both, and dropout or none, so that a run of one can go on
    as the other."""
    how = (learning_rate, drops)
    return all(one(step, was) == one(step, now) for step in range(steps) for one in how)
