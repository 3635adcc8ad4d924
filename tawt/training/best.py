"""The best validations of a run: when to end early, which weights to keep, and what the final ones are.

All is decided from the tuning lines of `metrics.jsonl`, so a resumed run decides as one left alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tawt.config.train import TrainConfig
from tawt.errors import CheckpointError
from tawt.files import write_json
from tawt.seals import BLANK, holds
from tawt.training.checkpoint import read_tensors, write_tensors

Lines = Sequence[Mapping[str, Any]]


def ends_early(tuning: Lines, patience: int) -> bool:
    """Return whether the last `patience` validations brought no better loss than those before them."""
    losses = [line["loss"] for line in tuning]
    return bool(patience) and len(losses) > patience and min(losses[-patience:]) >= min(losses[:-patience])


def is_over(step: int, tuning: Lines, config: TrainConfig) -> bool:
    """Return whether a run has nothing left to do after a step."""
    return step == config.max_steps or ends_early(tuning, config.patience)


def best_steps(tuning: Lines, keep: int) -> list[int]:
    """Return the steps of the `keep` lowest losses, the best first; of equal ones the earlier."""
    return [line["step"] for line in sorted(tuning, key=lambda line: (line["loss"], line["step"]))[:keep]]


def best_file(run: Path, step: int) -> Path:
    """Return where the weights after a step are kept."""
    return run / "best" / f"step-{step:06d}.safetensors"


def keep_weights(run: Path, step: int, weights: dict[str, Tensor]) -> None:
    """Write the weights of one of the best validations so far; what it displaces stays for now.

    A file only goes with the next checkpoint (`prune`): a run that is killed before it may need it again.
    """
    path = best_file(run, step)
    path.parent.mkdir(exist_ok=True)
    write_tensors(weights, path, {"seal": BLANK})


def prune(run: Path, tuning: Lines, keep: int) -> None:
    """Remove all weights but the best, and say in `best.json` which those are."""
    steps = best_steps(tuning, keep)
    if not steps:
        return
    loss = {line["step"]: line["loss"] for line in tuning}
    kept = [{"step": step, "loss": loss[step], "file": best_file(run, step).name} for step in steps]
    write_json(run / "best" / "best.json", {"by": "loss on tuning", "kept": kept})
    wanted = {best_file(run, step) for step in steps}
    for path in (run / "best").glob("step-*.safetensors"):
        if path not in wanted:
            path.unlink()


def final_weights(run: Path, tuning: Lines, config: TrainConfig) -> dict[str, Tensor] | None:
    """Return the best weights, or the mean of the best ones; None where the last ones are wanted.

    Source: Izmailov et al., Averaging weights leads to wider optima, 2018.

    Raises:
        CheckpointError: A file of the best weights is absent or broken.
    """
    steps = best_steps(tuning, 1 if config.final == "best" else config.keep_best)
    if config.final == "last" or not steps:
        return None
    total: dict[str, Tensor] = {}
    for step in sorted(steps):
        path = best_file(run, step)
        if not path.is_file() or not holds(path):
            what = "is not as it was written" if path.exists() else "is not there"
            raise CheckpointError(
                str(path), f"{what}, expected the weights of one of the best validations",
                "start again with `--out DIR`, or take `train.final: last`",
            )  # fmt: skip
        for name, tensor in read_tensors(path).items():
            total[name] = total.get(name, torch.zeros((), dtype=torch.float64)) + tensor.double()
    return {name: (tensor / len(steps)).float() for name, tensor in total.items()}
