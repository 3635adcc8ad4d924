"""How many graphs torch keeps of one compiled function."""

from __future__ import annotations

from typing import Any

import torch

GRAPHS = 64
"""Of one function, over all lengths, modes and models of a process. torch's own limit of 8 is soon reached, and what
comes after runs uncompiled without a word: FlexAttention then makes all scores at once."""


def allow_graphs() -> None:
    """Let torch keep so many graphs of one function, if it would keep fewer."""
    config: Any = torch._dynamo.config
    config.recompile_limit = max(config.recompile_limit, GRAPHS)
