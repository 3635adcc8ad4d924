"""An error that is none of tawt's own ends a command with its kind and place: its text can quote cells."""

from __future__ import annotations

import errno
import re

import pyarrow as pa
import pytest

from tawt.commands import look as inspect

CELL = "SECRET-4711"
FORM = re.compile(r"\Aerror: .+: .+, expected .+\n\nhint: .+\n\Z")
INSIDE = re.compile(r"\Aerror: tawt failed inside \(.+\), expected to finish: .+\n\nhint: .+\n\Z")


@pytest.mark.parametrize("error", [ValueError(CELL), pa.ArrowInvalid(CELL), KeyError(CELL), OSError(CELL)])
def test_the_text_of_a_foreign_error_is_not_printed(error: Exception, tawt, monkeypatch: pytest.MonkeyPatch) -> None:
    """Kind and place are told, that it is tawt's fault and not the data's, and how all of it can be seen."""

    def fails(*_: object, **__: object) -> pa.Table:
        raise error

    monkeypatch.delenv("TAWT_TRACEBACK", raising=False)
    monkeypatch.setattr(inspect, "stages", fails)
    ended = tawt("stages", "--pipeline", "demo")
    assert ended.code == 1 and CELL not in ended.err + ended.out
    assert INSIDE.match(ended.error) and type(error).__name__ in ended.error
    assert re.search(r" at inspect\.py:\d+", ended.error) and "not in your data" in ended.error
    assert "TAWT_TRACEBACK=1" in ended.error
    monkeypatch.setenv("TAWT_TRACEBACK", "1")
    with pytest.raises(type(error), match=CELL):
        tawt("stages", "--pipeline", "demo")


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(errno.ENOSPC, CELL, "/mnt/w/file"), "/mnt/w/file: its disk is full ("),
        (OSError(errno.EACCES, CELL, "/mnt/w/file"), "/mnt/w/file: Permission denied, expected to read or write it"),
        (OSError(errno.ENAMETOOLONG, CELL, "/mnt/w/file"), "hint: give a shorter name"),
        (MemoryError(CELL), "memory ran out"),
    ],
)
def test_what_the_system_refuses_is_said_with_the_file(
    error: Exception, said: str, tawt, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk, a right that is missing and the end of memory are no fault of tawt's, and are told by number."""

    def fails(*_: object, **__: object) -> pa.Table:
        raise error

    monkeypatch.setattr(inspect, "stages", fails)
    ended = tawt("stages", "--pipeline", "demo")
    assert ended.code == 1 and FORM.match(ended.error) and said in ended.error and CELL not in ended.err


def test_an_interrupt_is_no_error(tawt, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C in the middle of a command ends it with 130 and one word."""

    def interrupted(*_: object, **__: object) -> pa.Table:
        raise KeyboardInterrupt

    monkeypatch.setattr(inspect, "stages", interrupted)
    ended = tawt("stages", "--pipeline", "demo")
    assert (ended.code, ended.err) == (130, "interrupted\n")
