"""Forward and backward of a batch as one CUDA graph: a host launches a thousand small kernels slower than they run.

A graph is captured of each set of shapes that comes a second time. The first time a batch runs as it is, and what must
be compiled is compiled then. Examples are filled up to few shapes (`tawt.batching.fill`). All graphs share the memory
of what lies between, and add to gradients where these are.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from tawt.batching.batch import piece_of, shape_of, to_device
from tawt.batching.example import Example
from tawt.errors import TrainingError
from tawt.room import is_end_of_memory

MOST = 64
"""Graphs that are kept; batches of further shapes run as they are."""

Run = Callable[[Example, Tensor], Tensor]
"""Forward and backward of an example on the device, with the weight of each part of its loss; returns the sums."""


@dataclass(frozen=True)
class Captured:
    """A graph, and the memory that it reads and writes."""

    graph: Any
    piece: Tensor
    """The example, as bytes."""
    out: Tensor


class Replays:
    """Runs examples, by replaying a graph that was captured of others with the same shapes.

    Args:
        run: What is captured. Nothing in it may ask the device for a number, or bring one from the host.
        device: A CUDA device.
        weights: Of the parts of the loss: the tensor that `run` gets, changed in place from step to step.
    """

    def __init__(self, run: Run, device: torch.device, weights: Tensor) -> None:
        self._run, self._device, self._weights = run, device, weights
        self._captured: dict[Any, Captured | None] = {}
        self._pool: Any = None

    def __call__(self, example: Example) -> Tensor:
        """Run an example that lies in one piece on the host; return its sums, whole until the next one runs.

        Raises:
            TrainingError: It cannot be captured.
        """
        shape = shape_of(example)
        if shape not in self._captured:
            if len(self._captured) < MOST:
                self._captured[shape] = None
            return self.plainly(example)
        found = self._captured[shape]
        if found is None:
            found = self._captured[shape] = self._capture(example)
        found.piece.copy_(_piece(example), non_blocking=True)
        found.graph.replay()
        return found.out

    def plainly(self, example: Example) -> Tensor:
        """Run an example as it is."""
        return self._run(to_device(example, self._device, non_blocking=True), self._weights)

    def _capture(self, example: Example) -> Captured:
        held = to_device(example, self._device)
        graph = torch.cuda.CUDAGraph()
        try:
            # only this thread is watched: the loader's asks for page-locked memory meanwhile
            with torch.cuda.graph(graph, pool=self._pool, capture_error_mode="thread_local"):
                out = self._run(held, self._weights)
        except RuntimeError as error:
            if is_end_of_memory(error):
                raise
            raise TrainingError(
                "train.compile", f"a batch cannot be captured as a CUDA graph ({type(error).__name__}), expected that "
                "what was compiled can be", "use `--set train.compile=off`, which is slower",
            ) from error  # fmt: skip
        self._pool = graph.pool()
        return Captured(graph, _piece(held), out)


def _piece(example: Example) -> Tensor:
    piece = piece_of(example)
    assert piece is not None, "an example that is replayed lies in one piece"
    return piece
