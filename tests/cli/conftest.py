"""A terminal to run programs on."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from collections.abc import Callable

import pytest


@pytest.fixture
def on_terminal() -> Callable[..., str]:
    """`on_terminal(["-m", "tawt", ...], NO_COLOR="1")`: what a Python that ends with 0 says on a terminal.

    With `stdout=subprocess.DEVNULL` stderr alone is read.
    """

    def run(words: list[str], stdout: int | None = None, **environment: str) -> str:
        leader, follower = pty.openpty()
        process = subprocess.Popen(
            [sys.executable, *words], stdout=follower if stdout is None else stdout, stderr=follower,
            env=os.environ | {"TERM": "xterm", "NO_COLOR": "1"} | environment,
        )  # fmt: skip
        os.close(follower)
        said = b""
        with os.fdopen(leader, "rb", buffering=0) as terminal:
            try:
                while block := terminal.read(1 << 16):
                    said += block
            except OSError:  # how Linux says that the other end is closed
                pass
        assert process.wait() == 0, said.decode()
        return said.decode()

    return run
