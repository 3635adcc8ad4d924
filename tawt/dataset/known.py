"""What was known at a time: the one rule of everything that looks at a record before its end."""

from __future__ import annotations

from tawt.arrays import Bools, Ints


def was_known(is_static: Bools, time: Ints, available: Ints, then: Ints | int) -> Bools:
    """Return `(n,)`, which rows had happened, or are static, and could be read: all on one clock, us.

    A static has the time 0, which may lie behind the end of a record that begins before its origin.
    """
    return (is_static | (time <= then)) & (available <= then)
