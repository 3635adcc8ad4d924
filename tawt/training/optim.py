"""AdamW over two groups of parameters, and the schedule of its learning rate."""

from __future__ import annotations

import math

import torch
from torch import nn

from tawt.config.train import TrainConfig


def make_optimizer(model: nn.Module, config: TrainConfig) -> torch.optim.AdamW:
    """Return fused AdamW; matrices decay, norms, biases, single vectors and embedding tables do not.

    Source: Loshchilov and Hutter, Decoupled weight decay regularization, 2019.
    """
    tables = {id(p) for m in model.modules() if isinstance(m, nn.Embedding) for p in m.parameters()}
    decay: list[nn.Parameter] = []
    keep: list[nn.Parameter] = []
    for parameter in model.parameters():
        (decay if parameter.dim() > 1 and id(parameter) not in tables else keep).append(parameter)
    groups = [{"params": decay, "weight_decay": config.weight_decay}, {"params": keep, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=config.lr, betas=config.betas, fused=True)


def warmup_steps(config: TrainConfig) -> int:
    """Return how many steps the warm-up takes: at most a tenth of all."""
    return min(config.warmup_steps, config.max_steps // 10)


def learning_rate(step: int, config: TrainConfig) -> float:
    """Return the rate of optimizer step `step`, counted from 0: a linear rise, then the schedule.

    `cosine` and `linear` fall to `min_lr` at the last step. `inverse_sqrt` falls as `1 / sqrt(step + 1)` from the
    end of the warm-up, down to `min_lr` at the lowest.
    """
    warmup = warmup_steps(config)
    if step < warmup:
        return config.lr * (step + 1) / warmup
    low = config.min_lr * config.lr
    if config.schedule == "constant":
        return config.lr
    if config.schedule == "inverse_sqrt":
        return max(low, config.lr * math.sqrt(max(warmup, 1) / (step + 1)))
    progress = (step - warmup) / max(1, config.max_steps - 1 - warmup)
    if config.schedule == "linear":
        return config.lr + (low - config.lr) * progress
    return low + (config.lr - low) * 0.5 * (1 + math.cos(math.pi * progress))
