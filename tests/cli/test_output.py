"""Tables as a person sees them: one line per row in a pipe, folded and thinned out on a narrow terminal."""

from __future__ import annotations

import io
import sys
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace

import pytest
from rich.table import Table

from tawt.cli.demo_images import tell_images
from tawt.cli.further import tell_found
from tawt.cli.output import Format, print_rows
from tawt.commands.carry_coverage import CarryResult, Drift
from tawt.evaluation.printed import printed

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


def test_what_lies_farthest_is_shown_and_the_rest_is_counted(capsys: pytest.CaptureFixture[str]) -> None:
    """Of thousands of data_types a person reads the first twenty; csv and json have all."""
    drift = tuple(Drift(f"CODE//{i}", f"CODE//{i}", "code", "mg/dL", 100, 0.5, 1.0, 0.1) for i in range(2900))
    found = CarryResult(Path("w"), "x", (), drift, (), None, (), ("NEW",), (), (60, 60), True)
    printed = {form: (tell_found(found, form), capsys.readouterr())[1] for form in Format}
    assert printed[Format.table].out.count("CODE//") == 2 * 20 and "and 2,880 more" in printed[Format.table].err
    assert printed[Format.csv].out.count("\nCODE//") == printed[Format.json].out.count('"code": "CODE//') == 2900


def test_ids_are_not_grouped(capsys: pytest.CaptureFixture[str]) -> None:
    """Where whole numbers are names, they can be copied."""
    print_rows(("subject_id",), [(10023456,)], Format.table, thousands=False)
    assert "10023456" in capsys.readouterr().out


def test_a_package_that_is_missing_is_named(monkeypatch, capsys) -> None:
    """Where a command needs a package that is not installed, as on a machine that only trains, the error names it."""
    from tawt.cli import app

    def absent(**_: object) -> None:
        raise ModuleNotFoundError("No module named 'duckdb'", name="duckdb")

    monkeypatch.delenv("TAWT_TRACEBACK", raising=False)
    monkeypatch.setattr(app, "app", absent)
    with pytest.raises(SystemExit) as left:
        app.main()
    said = capsys.readouterr().err
    assert left.value.code == 1 and "duckdb: is not installed" in said and "pip install duckdb" in said


def test_what_a_demo_found_is_printed_where_no_terminal_listens(capsys: pytest.CaptureFixture[str]) -> None:
    """Into a file or a pipe, too, tables that are as wide as a terminal else have a width."""

    def fewer(width: int) -> str:
        def table_of(names: Mapping[str, str]) -> Table:
            table = Table("model", "AUROC")
            for name in names.values():
                table.add_row(name, "0.855")
            return table

        return printed(["whole", "half lost"], table_of, width)

    result = SimpleNamespace(
        evaluation=SimpleNamespace(notes=(), fewer=SimpleNamespace(text=fewer)), n_asked=2014, seconds=1.0,
        rows=lambda: [("both", "0.855", "0.861", "0.868", "-0.006", "")], workspace=Path("w"),
    )  # fmt: skip
    tell_images(result)
    out = capsys.readouterr().out
    assert "where images are lost" in out and "half lost" in out and "0.861" in out
