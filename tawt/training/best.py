"""The best validations of a run: when to end early, which weights to keep, and what the final ones are.

All is decided from the tuning lines of `metrics.jsonl`, so a resumed run decides as one left alone.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tawt.config.train import MAX_STEPS, TrainConfig
from tawt.contracts.run import names_its_step
from tawt.errors import CheckpointError
from tawt.files import write_sealed
from tawt.heads.lora import merged
from tawt.seals import BLANK, changed_files, holds
from tawt.training.checkpoint import WEIGHTS, read_tensors, write_tensors

Lines = Sequence[Mapping[str, Any]]


def ends_early(tuning: Lines, patience: int) -> bool:
    """Return whether the last `patience` validations brought no better loss than those before them."""
    losses = [line["loss"] for line in tuning]
    return bool(patience) and len(losses) > patience and min(losses[-patience:]) >= min(losses[:-patience])


def counted(tuning: Lines, config: TrainConfig) -> Lines:
    """Return the validations that count: not that at the end of a run that has grown since, which one left alone has
    not."""
    every = config.validate_every or 1
    return [line for line in tuning if line["step"] % every == 0 or line["step"] == config.max_steps]


def is_over(step: int, tuning: Lines, config: TrainConfig) -> bool:
    """Return whether a run has nothing left to do after a step."""
    return step >= config.max_steps or ends_early(counted(tuning, config), config.patience)


def best_steps(tuning: Lines, keep: int) -> list[int]:
    """Return the steps of the `keep` lowest losses, the best first; of equal ones the earlier."""
    return [line["step"] for line in sorted(tuning, key=lambda line: (line["loss"], line["step"]))[:keep]]


def ending(tuning: Lines, config: TrainConfig) -> list[str]:
    """Say where a run ended, if early, and which weights are its own, if not the last."""
    said, lines = [], counted(tuning, config)
    if lines and lines[-1]["step"] < config.max_steps and ends_early(lines, config.patience):
        said.append(
            f"it ended after step {lines[-1]['step']:,} of {config.max_steps:,}: {config.patience} validations were no "
            "better than those before"
        )
    steps = best_steps(lines, config.keep_best)
    if steps and config.final != "last":
        least = min(line["loss"] for line in lines)
        one = config.final == "best" or len(steps) == 1
        of = f"step {steps[0]:,}" if one else f"steps {', '.join(f'{s:,}' for s in sorted(steps))}"
        what = "those" if one else "the mean of those"
        said.append(f"the weights are {what} after {of}; the least loss on tuning was {least:.4f}")
    return said


def best_file(run: Path, step: int) -> Path:
    """Return where the weights after a step are kept."""
    return run / "best" / f"step-{step:06d}.safetensors"


def keep_weights(run: Path, step: int, weights: dict[str, Tensor]) -> None:
    """Write the weights of one of the best validations so far; what it displaces stays for now.

    A file only goes with the next checkpoint: a run that is killed before it may need it again.
    """
    path = best_file(run, step)
    path.parent.mkdir(exist_ok=True)
    write_tensors(weights, path, {path.stem: BLANK})


def lost_best(run: Path, tuning: Lines, config: TrainConfig) -> list[int]:
    """Return the steps of the best validations whose weights are no longer kept, and stand in a checkpoint yet.

    They went as worse than others of later steps, before the run was taken up again from an earlier checkpoint.

    Raises:
        CheckpointError: Weights that are kept are broken, or the final ones need some that are nowhere.
    """
    lost = []
    for step in best_steps(counted(tuning, config), config.keep_best):
        if os.path.lexists(best_file(run, step)):
            _hold(best_file(run, step))
        elif changed_files(_checkpoint(run, step), (WEIGHTS,)) == []:
            lost.append(step)
        elif config.final != "last":
            _hold(best_file(run, step))
    return lost


def keep_again(run: Path, tuning: Lines, config: TrainConfig) -> None:
    """Take the best weights that are no longer kept from their checkpoints, before these go."""
    for step in lost_best(run, tuning, config):
        keep_weights(run, step, read_tensors(_checkpoint(run, step) / WEIGHTS))


def say_best(run: Path, tuning: Lines, config: TrainConfig) -> list[Path]:
    """Say in `best.json` which weights are the best, and return those that may then go.

    Those that are the best without a validation at the end alone stay too: a run that grows goes by them.
    """
    steps = best_steps(counted(tuning, config), config.keep_best)
    if not steps:
        return []
    loss = {line["step"]: line["loss"] for line in tuning}
    kept = [{"step": step, "loss": loss[step], "file": best_file(run, step).name} for step in steps]
    write_sealed(run / "best" / "best.json", {"by": "loss on tuning", "kept": kept})
    grown = config.model_copy(update={"max_steps": MAX_STEPS})
    wanted = {best_file(run, step) for step in (*steps, *best_steps(counted(tuning, grown), config.keep_best))}
    return [path for path in (run / "best").glob("step-*.safetensors") if path not in wanted]


def final_weights(run: Path, tuning: Lines, config: TrainConfig) -> dict[str, Tensor] | None:
    """Return the best weights, or the mean of the best ones; None where the last ones are wanted.

    Source: Izmailov et al., Averaging weights leads to wider optima, 2018.

    Raises:
        CheckpointError: A file of the best weights is absent or broken.
    """
    steps = best_steps(counted(tuning, config), 1 if config.final == "best" else config.keep_best)
    if config.final == "last" or not steps:
        return None
    total: dict[str, Tensor] = {}
    for step in sorted(steps):
        path = best_file(run, step)
        _hold(path)
        for name, tensor in merged(read_tensors(path)).items():
            total[name] = total.get(name, torch.zeros((), dtype=torch.float64)) + tensor.double()
    return {name: (tensor / len(steps)).float() for name, tensor in total.items()}


def _hold(path: Path) -> None:
    if not path.is_file() or not holds(path) or not names_its_step(path):
        what = "is not as it was written" if os.path.lexists(path) else "is not there"
        raise CheckpointError(
            str(path), f"{what}, expected the weights of one of the best validations",
            "take it from a copy, or move metrics.jsonl away: the best are then those that follow, or the last weights",
        )  # fmt: skip


def _checkpoint(run: Path, step: int) -> Path:
    return run / "checkpoints" / f"step-{step:06d}"
