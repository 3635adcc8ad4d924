"""A program under a limit of memory: however it ends, it ends with one line and as a program does."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

LIMITED = """
import os, resource, signal, sys, time
resource.setrlimit(resource.RLIMIT_AS, (int(sys.argv[1]),) * 2)
from tawt.cli.limited import watched
from tawt.errors import RoomError
with_ends = dict(line.split(": ", 1) for line in '''
signal: os.kill(os.getpid(), signal.SIGSEGV)
exit: os._exit(1)
code: sys.exit(3)
done: print("done")
killed: os.kill(os.getpid(), signal.SIGKILL)
pid: print(os.getpid(), flush=True), time.sleep(60)
'''.strip().splitlines())
try:
    with watched("tawt stages"):
        exec(with_ends[sys.argv[2]])
except RoomError as error:
    sys.exit(str(error))
"""
SMALL = 200_000_000


def _started(end: str) -> subprocess.Popen[str]:
    words = [sys.executable, "-c", LIMITED, str(SMALL), end]
    return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.parametrize(
    ("end", "code", "out", "said"),
    [
        ("signal", 1, "", "tawt stages: was ended by a library (SIGSEGV), as they do that get no memory, expected to fit in the 200 MB of `ulimit -v`\n"),
        ("exit", 1, "", "tawt stages: was ended by a library (exit code 1), as they do that get no memory, expected to fit in the 200 MB of `ulimit -v`\n"),
        ("code", 3, "", ""),
        ("done", 0, "done\n", ""),
        ("killed", -signal.SIGKILL, "", ""),
    ],
)  # fmt: skip
def test_under_a_limit_an_end_without_a_word_is_told_and_every_other_is_as_it_was(end, code, out, said):
    """A signal of a library, or its exit, is one line; an exit in order, and the kill of another, are the program's."""
    started = _started(end)
    assert (*started.communicate(timeout=30), started.returncode) == (out, said, code)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_under_a_limit_a_signal_reaches_the_one_who_works(number):
    """What is sent to the program ends its child too; a kill, which nothing can pass on, as well."""
    started = _started("pid")
    assert started.stdout is not None
    child = int(started.stdout.readline())
    assert child != started.pid
    started.send_signal(number)
    assert started.wait(timeout=30) == -number
    started.communicate(timeout=30)  # its outputs end with the child
    while Path(f"/proc/{child}").exists() and "Z" not in Path(f"/proc/{child}/stat").read_text().split(")")[1]:
        time.sleep(0.01)


def test_a_command_that_has_no_memory_to_begin_with_ends_in_one_line(finished, tree):
    """Where libraries cannot even be loaded, no file is called damaged, no bug is told, and nothing changes."""
    before = tree(finished)
    ended = subprocess.run(
        [sys.executable, "-m", "tawt", "check", "-w", str(finished)], capture_output=True, text=True,
        env={**os.environ, "COLUMNS": "300"}, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (300_000_000,) * 2),
    )  # fmt: skip
    assert ended.returncode == 1 and ended.stderr.count("error: ") == 1 and "`ulimit -v`" in ended.stderr, ended.stderr
    assert "1 GB of `ulimit -v`" in ended.stderr
    for word in ("Traceback", "damaged", "bug in"):
        assert word not in ended.stderr
    assert tree(finished) == before
