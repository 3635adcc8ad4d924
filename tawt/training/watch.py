"""Results of a step, read some steps later so that the host never waits for the device, and what they may forbid."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from tawt.errors import TrainingError

LAG = 2
"""Steps between a CUDA step and the reading of its results; a fixed number, so that all processes agree. 0 on CPU."""


class AllStop(TrainingError):
    """What every process finds at the same step, so that one of them speaks for all."""


@dataclass(frozen=True)
class Pending:
    """A step whose results are on their way."""

    results: Tensor
    """On the host, whole once `ready` has passed."""
    ready: Any
    """CUDA event, None on CPU."""
    about: dict[str, Any]
    """What the host knew of the step already."""


class Delayed:
    """A queue of results, oldest first.

    Args:
        device: Where they are made.
    """

    def __init__(self, device: torch.device) -> None:
        self._lag = LAG if device.type == "cuda" else 0
        self._queue: deque[Pending] = deque()

    def put(self, results: Tensor, about: dict[str, Any]) -> None:
        """Send a step's results, a vector, on their way to the host."""
        if results.device.type != "cuda":
            self._queue.append(Pending(results, None, about))
            return
        held = torch.empty(results.shape, dtype=results.dtype, pin_memory=True)
        held.copy_(results, non_blocking=True)
        ready = torch.cuda.Event()
        ready.record()
        self._queue.append(Pending(held, ready, about))

    def due(self, everything: bool = False) -> Iterator[tuple[list[float], dict[str, Any]]]:
        """Take the results whose turn it is, or all that there are."""
        while len(self._queue) > (0 if everything else self._lag):
            pending = self._queue.popleft()
            if pending.ready is not None:
                pending.ready.synchronize()
            yield pending.results.tolist(), pending.about


def not_finite(
    step: int, part: str | None, weight: str | None, batches: Sequence[int], source: Callable[[int], Any] | None
) -> AllStop:
    """Say which step, part or weight, and which rows are at fault.

    Args:
        step: Optimizer step, counted from 0.
        part: Part of the loss that is not finite; None = all are.
        weight: Name of a parameter whose gradient is not finite.
        batches: Numbers of the training batches at fault, or of all in the step.
        source: `PackedLoader.source`; None = unknown.
    """
    what = f"the loss part `{part}`" if part else f"the gradient of `{weight}`"
    return AllStop(
        f"step {step + 1}",
        f"{what} is not finite, expected a number{_places(batches, source)}; the weights were not changed",
        "look at those rows of the shard in the workspace's dataset/; if they are sound, lower train.lr or train.clip, "
        "and in half precision try `--set train.precision=fp32`",
    )


def first_bad(values: Sequence[float], names: Sequence[str]) -> str | None:
    """Return the name of the first value that is not finite."""
    return next((name for name, value in zip(names, values, strict=True) if not math.isfinite(value)), None)


def _places(batches: Sequence[int], source: Callable[[int], Any] | None, most: int = 3) -> str:
    said = []
    for number in list(batches)[:most]:
        rows = list(source(number)) if source is not None else []
        where = ", ".join(f"{shard} rows {first}-{last}" for shard, first, last in rows[:most])
        more = f" and {len(rows) - most} more runs of rows" if len(rows) > most else ""
        said.append(f"batch {number}" + (f" ({where}{more})" if where else ""))
    rest = f" and {len(batches) - most} more" if len(batches) > most else ""
    return f"; in {', '.join(said)}{rest}" if said else ""
