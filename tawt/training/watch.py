"""Results of a step, read some steps later so that the host never waits for the device, and what they may forbid."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tawt.batching.source import Source
from tawt.errors import TrainingError

LAG = 2
"""Steps between a CUDA step and the reading of its results; a fixed number, so that all processes agree. 0 on CPU."""


class AllStop(TrainingError):
    """What every process finds at the same step, so that one of them speaks for all."""


@dataclass(frozen=True)
class Pending:
    """A step whose results are on their way."""

    results: Tensor
    """On the host, whole once `end` has passed."""
    begin: Any
    """When the device came to it: a CUDA event, on CPU a time."""
    end: Any
    """When the device was done with it, likewise."""
    about: dict[str, Any]
    """What the host knew of the step already."""


class Delayed:
    """A queue of results, oldest first.

    Args:
        device: Where they are made.
    """

    def __init__(self, device: torch.device) -> None:
        self._lag = LAG if device.type == "cuda" else 0
        self._device = device
        self._queue: deque[Pending] = deque()
        self.begin()

    def begin(self) -> None:
        """What the device does from here on is the next step."""
        self._begun = self._moment()

    def put(self, results: Tensor, about: dict[str, Any]) -> None:
        """Send the results of the step that was begun last, a vector, on their way to the host."""
        held = results
        if self._device.type == "cuda":
            held = torch.empty(results.shape, dtype=results.dtype, pin_memory=True)
            held.copy_(results, non_blocking=True)
        self._queue.append(Pending(held, self._begun, self._moment(), about))

    def due(self, everything: bool = False) -> Iterator[tuple[list[float], float, dict[str, Any]]]:
        """Take the results whose turn it is, or all that there are, each with the step's seconds.

        They are the device's: the host runs ahead of it, sends some steps in a moment and waits long for another.
        """
        while len(self._queue) > (0 if everything else self._lag):
            pending = self._queue.popleft()
            if self._device.type == "cuda":
                pending.end.synchronize()
                seconds = pending.begin.elapsed_time(pending.end) / 1000
            else:
                seconds = pending.end - pending.begin
            yield pending.results.tolist(), seconds, pending.about

    def _moment(self) -> Any:
        if self._device.type != "cuda":
            return time.perf_counter()
        event = torch.cuda.Event(enable_timing=True)
        event.record(torch.cuda.current_stream(self._device))
        return event


def not_finite(
    step: int,
    what: str,
    batches: Sequence[int],
    source: Callable[[int], Source],
    kept: str = "the weights were not changed",
) -> AllStop:
    """Say which step, part or weight, and which rows are at fault.

    Args:
        step: Optimizer steps made, this one included.
        what: What is not finite: a part of the loss, or the gradient of a weight.
        batches: Numbers of the batches at fault, or of all in the step.
        source: Where a batch's rows lie.
        kept: What became of the weights.
    """
    return AllStop(
        f"step {step}",
        f"{what} is not finite, expected a number; in {_places(batches, source)}; {kept}",
        "look at those rows of the shard in the workspace's dataset/; if they are sound, lower train.lr or train.clip, "
        "and in half precision try `--set train.precision=fp32`",
    )


def not_finite_embedding(weights: Path, split: str, batch: int, rows: Source) -> TrainingError:
    """Say which batch of a split has no finite embedding, and where its rows lie."""
    return TrainingError(
        str(weights),
        f"gives an embedding that is not finite, expected numbers; in {split}, batch {batch} ({rows})",
        "look at those rows of the shard in the workspace's dataset/; if they are sound, take another run's weights",
    )  # fmt: skip


def first_bad(values: Sequence[float], names: Sequence[str]) -> str | None:
    """Return the name of the first value that is not finite."""
    return next((name for name, value in zip(names, values, strict=True) if not math.isfinite(value)), None)


def _places(batches: Sequence[int], source: Callable[[int], Source], most: int = 3) -> str:
    """Say the batches and their rows; those that hold what is not a number come first, and alone."""
    found = [(number, source(number)) for number in batches]
    found = [(number, rows) for number, rows in found if rows.broken] or found
    said = [f"batch {number} ({rows})" for number, rows in found[:most]]
    return ", ".join(said) + (f" and {len(found) - most} more" if len(found) > most else "")
