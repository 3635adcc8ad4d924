"""Paths as the engine takes them: every name of a file that it reads is a pattern to it."""

from __future__ import annotations

import re
from pathlib import Path

_SIGN = re.compile(r"[*?\[]")


def as_pattern(path: Path) -> str:
    """Return the pattern that means a path and no other, where `is_nameable`."""
    return _SIGN.sub(lambda sign: f"[{sign[0]}]", str(path))


def is_nameable(path: Path) -> bool:
    """Return whether the engine can be told of a path: a backslash ends a folder's name in a pattern."""
    return "\\" not in str(path) or _SIGN.search(str(path)) is None
