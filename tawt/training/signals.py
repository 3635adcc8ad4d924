"""SIGINT and SIGTERM: as a request that the loop looks at between steps, and outside of it as an interrupt."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn


@contextmanager
def stop_requested() -> Iterator[threading.Event]:
    """Turn the first SIGINT or SIGTERM into an event; a second one ends at once."""
    stop = threading.Event()

    def note(number: int, frame: FrameType | None) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()

    with _handled(note, signal.SIGINT, signal.SIGTERM):
        yield stop


@contextmanager
def terminate_interrupts() -> Iterator[None]:
    """Let SIGTERM end what is within as Ctrl-C does: with its `finally` and a word, not in silence."""

    def interrupt(number: int, frame: FrameType | None) -> NoReturn:
        raise KeyboardInterrupt

    with _handled(interrupt, signal.SIGTERM):
        yield


@contextmanager
def _handled(handler: Callable[[int, FrameType | None], None], *numbers: signal.Signals) -> Iterator[None]:
    """Handle signals so; only the main thread may, and elsewhere nothing changes."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, handler) for number in numbers}
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)
