"""Tables as a person sees them: one line per row in a pipe, folded and thinned out on a narrow terminal."""

from __future__ import annotations

import io
import sys

import pytest

from tawt.cli.output import Format, print_rows

COLUMNS = ("stage", "rows", "inputs", "description")
ROWS = [("staging.x", 1234567, "raw.x, " * 30, "One row is one thing. " * 5), ("events", None, "a", "b\nc")]


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_in_a_pipe_each_row_is_one_line_without_padding(capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing wraps, however long it is, so that `grep` and `cut` work."""
    print_rows(COLUMNS, ROWS, Format.table, spare=("description", "inputs"))
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3 and all(line == line.rstrip() for line in lines)
    assert "1,234,567" in lines[1] and lines[1].count("raw.x,") == 30 and "b c" in lines[2]


def test_a_narrow_terminal_leaves_out_what_can_be_spared(monkeypatch, capsys) -> None:
    """At 80 columns the named columns go, one after the other, and what is missing is said on stderr."""
    monkeypatch.setenv("COLUMNS", "80")
    terminal = _Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    print_rows(COLUMNS, ROWS, Format.table, spare=("description", "inputs"))
    lines = terminal.getvalue().splitlines()
    assert len(lines) == 3 and max(map(len, lines)) <= 80
    assert "not shown: description, inputs" in capsys.readouterr().err


def test_ids_are_not_grouped(capsys: pytest.CaptureFixture[str]) -> None:
    """Where whole numbers are names, they can be copied."""
    print_rows(("subject_id",), [(10023456,)], Format.table, thousands=False)
    assert "10023456" in capsys.readouterr().out
