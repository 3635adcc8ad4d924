"""A program whose memory a shell limits takes it sparingly, and is watched by a process that needs next to none.

A library that is refused memory may end the program without a word: by a signal, or by an exit of its own.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import NoReturn

from tawt.errors import RoomError
from tawt.machine import shell_limits
from tawt.room import bounds, memory_error

_RESERVE_BYTES = 48 << 20
"""Kept for the end, which has things to import and to print."""
_M_ARENA_MAX, _PR_SET_PDEATHSIG = -8, 1
_PASSED_ON = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2)
_WITHOUT_A_WORD = (signal.SIGSEGV, signal.SIGBUS, signal.SIGABRT, signal.SIGILL, signal.SIGFPE, signal.SIGTRAP)
"""How a library ends a program that it has no memory for."""

reserve: list[bytes] = []
"""Cleared where memory ran out, before anything is said."""


@contextmanager
def watched(command: str) -> Iterator[None]:
    """Do what is within; where memory is limited, in a child of this process, which tells an end without a word.

    Args:
        command: As a person typed it, for the message.

    Raises:
        RoomError: The child was ended by a library, or ended itself without having come to the end of this.
        SystemExit: It ended otherwise.
    """
    # a function that is called from a program of another's stays in it
    if not shell_limits() or sys.stdout is not sys.__stdout__:
        yield
        return
    _take_sparingly()
    end, told = os.pipe()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {*_PASSED_ON, signal.SIGTSTP, signal.SIGCHLD})
    if child := os.fork():
        os.close(told)
        _watch(child, end, command)
    os.close(end)
    os.setpgid(0, 0)  # a terminal's signals come once, from the one who watches
    _end_with_parent()
    signal.pthread_sigmask(signal.SIG_SETMASK, before)
    reserve.append(bytes(_RESERVE_BYTES))
    try:
        yield
    finally:
        os.write(told, b".")


def _watch(child: int, end: int, command: str) -> NoReturn:
    """Pass signals on to the child, and end as it ends."""
    while True:
        number = signal.sigwait({*_PASSED_ON, signal.SIGTSTP, signal.SIGCHLD})
        if number == signal.SIGTSTP:
            os.kill(child, signal.SIGSTOP)
            os.kill(os.getpid(), signal.SIGSTOP)
            os.kill(child, signal.SIGCONT)
        elif number != signal.SIGCHLD:
            os.kill(child, number)
        elif os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None:
            break
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    os.set_blocking(end, False)
    in_order = False
    with suppress(BlockingIOError):
        in_order = bool(os.read(end, 1))
    if -code in _WITHOUT_A_WORD or (code > 0 and code != 130 and not in_order):
        how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        said = f"was ended by a library ({how}), as they do that get no memory, expected to fit in {bounds()}"
        raise RoomError(command, said, memory_error(command).hint)
    if code < 0:
        with suppress(OSError):  # of SIGKILL, which nobody handles
            signal.signal(-code, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {-code})
        os.kill(os.getpid(), -code)
    raise SystemExit(code)


def _take_sparingly() -> None:
    """Keep libraries from reserving addresses by the GB, before they are imported."""
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    with suppress(AttributeError, OSError):  # another C library
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 2)


def _end_with_parent() -> None:
    """Be ended where the one who watches is, whatever ended it."""
    with suppress(AttributeError, OSError):  # another system
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
