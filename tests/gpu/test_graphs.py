"""Forward and backward replayed as CUDA graphs: the same numbers as without, whatever batch they were captured of."""

from __future__ import annotations

from itertools import pairwise

import parity
import pytest
import torch

from tawt.dataset.reader import open_dataset
from tawt.runs.training import make_trainer, ready
from tawt.training.distributed import World
from tawt.training.setup import set_up

OBJECTIVE = {"forecast": {"weight": 1.0, "n_types": 4}, "masked": {"variables": 0.2}}


def _trainer(workspace, precision, **sections):
    tree = parity.a_config(
        "rotary + decay",
        model={"dropout": 0.1, "pooling": "per_type", "readout": {"n_types": 4}},
        objective=OBJECTIVE,
        train={"precision": precision, "accumulate_tokens": 2048, "validate_every": 0, "threads": 1, **sections},
    )
    made = set_up(workspace, workspace / "runs" / precision, tree, open_dataset(workspace), "cuda", World())
    return make_trainer(ready(made))


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_a_replayed_graph_does_what_it_was_captured_of(workspace, precision):
    """Sums and gradients of batches that are replayed, dropout on, are those of the same batches run as they are."""
    trainer = _trainer(workspace, precision)
    stepper, replays = trainer.stepper, trainer.stepper._replays
    assert replays is not None, trainer.setup.replayed
    stepper._weights.fill_(0.01)
    stepper.spread.train()
    examples = [trainer._make(trainer.setup.train.batch(number), number) for number in range(6)]

    def results(example, run):
        stepper.optimizer.zero_grad(set_to_none=False)
        stepper._seed(example)
        sums = run(example).clone()
        gradients = [p.grad.flatten() for p in stepper.named.values() if p.grad is not None]
        return torch.cat([sums.float(), torch.cat(gradients)])

    plainly = [results(example, replays.plainly) for example in examples]
    for example in (*examples, *examples):  # the first of a shape runs as it is, the second is captured
        results(example, replays)
    assert any(captured is not None for captured in replays._captured.values())
    for example, before in zip(examples, plainly, strict=True):
        now = results(example, replays)
        assert float((now - before).norm() / before.norm()) < 1e-3
    assert any(float((a - b).norm()) > 0.1 * float(a.norm()) for a, b in pairwise(plainly))
