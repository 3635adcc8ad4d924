"""In which step of the clock times are told: days, hours, minutes, seconds."""

from __future__ import annotations

from tawt.arrays import Ints

_SECONDS = (86_400, 43_200, 21_600, 3600, 1800, 900, 600, 300, 60, 30, 15, 10, 5, 1)
STEPS = (*(seconds * 1_000_000 for seconds in _SECONDS), 1000, 1)
"""us, the coarsest first; each whole minutes, or a part of one."""
_NEARLY_ALL = 0.95


def coarsest_step(multiples: Ints, n: int, apart: int) -> int:
    """Return the coarsest step that nearly all times keep to, us: few that are told more finely do not make it theirs.

    Args:
        multiples: `(len(STEPS),)`, how many of the times are multiples of each step.
        n: How many times there are.
        apart: What all of them are multiples of, us; 0 = there are none.
    """
    pairs = zip(STEPS, multiples.tolist(), strict=True)
    fits = [step for step, own in pairs if own >= _NEARLY_ALL * n and step % max(apart, 1) == 0]
    return max([max(apart, 1), *fits]) if n else 1
