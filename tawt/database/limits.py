"""What a data command may use: threads, and memory of the whole program."""

from __future__ import annotations

import re
from dataclasses import dataclass

from tawt.errors import ConfigError, RoomError
from tawt.machine import available_bytes, usable_cpus
from tawt.room import size

_LEAST_MEGABYTES = 50
_LEAST_MOST_THREADS = 64
"""Threads that may be asked for on any machine; more may be where there are many cores."""
_PROGRAM_MEGABYTES = 250
"""What the program takes beside what the engine counts: Python, the libraries and the engine itself 220, and rows on
their way to a file."""
_PIECE_MEGABYTES = 250
"""What a piece of a shard takes while it is merged or encoded; 262 thousand rows took 200."""
_TIGHT_MEGABYTES = 1000


@dataclass(frozen=True)
class Limits:
    """What a data command may use."""

    threads: int
    memory_limit: str
    """As DuckDB writes it, `2GB`."""

    @classmethod
    def of(cls, threads: int | None = None, memory_limit: str | None = None) -> Limits:
        """Return the limits asked for, else all cores and 60 % of the memory of the machine or cgroup, or of what a
        limit of the shell leaves.

        Raises:
            ConfigError: A limit is not one.
        """
        most = max(_LEAST_MOST_THREADS, 8 * usable_cpus())
        if threads is not None and not 1 <= threads <= most:
            raise ConfigError("--threads", f"is {threads}, expected 1 to {most}", "leave it out for all cores")
        if memory_limit is not None and not _LEAST_MEGABYTES <= _megabytes(memory_limit) < 1e12:
            raise ConfigError(
                f"--memory-limit {memory_limit}", f"is not a size of at least {_LEAST_MEGABYTES}MB, with its unit, "
                "expected for example 2GB", "leave it out for 60 % of the memory",
            )  # fmt: skip
        most_megabytes = max(_LEAST_MEGABYTES, int(available_bytes() * 0.6) >> 20)
        return cls(threads or usable_cpus(), memory_limit or f"{most_megabytes}MiB")

    @property
    def megabytes(self) -> float:
        """The memory limit."""
        return _megabytes(self.memory_limit)

    @property
    def workers(self) -> int:
        """How many shards may be in memory at once: one per thread, as far as the memory limit goes."""
        return max(1, min(self.threads, self._pieces))

    @property
    def pieces_each(self) -> int:
        """How many pieces of a shard each of them may hold as one: two, where there is room, for a shard is seldom
        larger."""
        return max(1, min(2, self._pieces // self.workers))

    @property
    def _pieces(self) -> int:
        return int((self.megabytes - _PROGRAM_MEGABYTES) / _PIECE_MEGABYTES)

    @property
    def tight(self) -> bool:
        """Whether memory is dearer than time."""
        return self.megabytes < _TIGHT_MEGABYTES

    def hold_one(self, n_bytes: int, stage: str) -> None:
        """Hold what the rows of one subject take, whom nothing can cut.

        Raises:
            RoomError: It is more than the limit leaves.
        """
        needed = n_bytes + _PROGRAM_MEGABYTES * 1_000_000
        if needed > self.megabytes * 1e6:
            raise RoomError(
                stage, f"has a subject whose rows take {size(needed)} of memory at once, expected to fit in "
                f"--memory-limit {self.memory_limit}", "raise --memory-limit; so many rows are seldom of one person: "
                "look whether a number stands for all who are not known",
            )  # fmt: skip

    @property
    def engine(self) -> str:
        """What the engine may take of the limit, as it writes it."""
        return f"{int(max(_LEAST_MEGABYTES, 0.4 * self.megabytes, self.megabytes - _PROGRAM_MEGABYTES))}MB"


def _megabytes(size: str) -> float:
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)\s*([mMgGtT])i?[bB]", size)
    return float(match[1]) * 1000.0 ** "MGT".index(match[2].upper()) if match else 0.0
