"""What a check of anything comes to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

_SHOWN = 5


@dataclass(frozen=True)
class Finding:
    """The outcome of one check."""

    check: str
    ok: bool
    detail: str
    """Counts and names of files and columns; never a cell."""
    mend: str = ""
    """The command that mends what is wrong; empty where none does."""


def finding_of(check: str, wrong: Sequence[str], good: str, mend: str = "") -> Finding:
    """Return the finding of a check that found so much wrong, the first few told, or nothing."""
    if not wrong:
        return Finding(check, True, good)
    more = f", and {len(wrong) - _SHOWN:,} more" if len(wrong) > _SHOWN else ""
    return Finding(check, False, "; ".join(wrong[:_SHOWN]) + more, mend)
