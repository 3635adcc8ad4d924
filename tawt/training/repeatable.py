"""Equal runs end in equal bits."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch


@contextmanager
def repeatable(device: torch.device) -> Iterator[None]:
    """On CPU, let no operator add in the order in which its threads happen to finish.

    Two threads otherwise sum the gradient of a gathered row by atomic additions, and equal runs end a bit apart.
    """
    if device.type != "cpu":
        yield
        return
    flags: Any = torch.utils.deterministic
    before = torch.are_deterministic_algorithms_enabled(), flags.fill_uninitialized_memory
    torch.use_deterministic_algorithms(True)
    flags.fill_uninitialized_memory = False  # a check of its own, which costs time
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before[0])
        flags.fill_uninitialized_memory = before[1]
