"""What a person reads while a command works and when it ends: lines, counts and reasons."""

from __future__ import annotations

import io
import re
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

import pytest

from tawt.cli import output, progress, ran
from tawt.cli.output import Format, fact, print_rows
from tawt.cli.ran import stage_progress, tell_run
from tawt.contracts.account import Account, Route


def _step(step: int, **more: float) -> dict[str, object]:
    told = {
        "event": "step",
        "step": step,
        "max_steps": 40,
        "tokens_per_s": 12_345.0,
        "loss": 1.25,
        "baseline": 2.5,
        "lr": 3e-4,
    }
    return told | {"eta_s": 61.4} | more


def test_a_training_says_a_line_at_each_tenth(capsys: pytest.CaptureFixture[str]) -> None:
    """Of 40 steps every fourth, with loss, trivial loss, speed, learning rate and the time that is left."""
    with progress.training_progress() as report:
        for step in range(1, 41):
            report(_step(step))
    lines = capsys.readouterr().err.splitlines()
    assert [int(line.split()[1].partition("/")[0]) for line in lines] == list(range(4, 41, 4))
    assert lines[0] == "  step 4/40  loss 1.250 (trivial 2.500)  12.3k tokens/s  lr 3.0e-04  0:01:01 left"


def test_a_slow_training_says_a_line_before_its_first_tenth(capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    """After ten seconds, and where a minute went by since the last."""
    now = 0.0
    monkeypatch.setattr(progress, "monotonic", lambda: now)
    with progress.training_progress() as report:
        for now in (4.0, 11.0, 30.0, 70.0, 72.0, 140.0):
            report(_step(1, max_steps=400, tokens_per_s=now * 1000))
    assert [line.split()[6] for line in capsys.readouterr().err.splitlines()] == ["11.0k", "72.0k", "140.0k"]


def test_a_short_training_says_every_step(capsys: pytest.CaptureFixture[str]) -> None:
    """Of fewer than ten steps each is a line."""
    with progress.training_progress() as report:
        for step in (1, 2, 3):
            report(_step(step, max_steps=3))
    assert len(capsys.readouterr().err.splitlines()) == 3


def test_what_works_through_parts_says_how_long_the_rest_takes(capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    """By what the parts before took; nothing of the last one, or before there is any."""
    now = 100.0
    monkeypatch.setattr(progress, "monotonic", lambda: now)
    report = progress.told_by_part("of labels")
    report({"event": "note", "text": "few people"})
    for now, done in ((100.0, 0), (130.0, 10), (190.0, 30), (220.0, 40)):  # noqa: B007
        report({"event": "part", "n_done": done, "n_rows": 40})
    assert capsys.readouterr().err.splitlines() == [
        "note: few people", "  0% of labels", "  25% of labels, about 0:01:30 left", "  75% of labels, about 0:00:30 left",
        "  100% of labels",
    ]  # fmt: skip


def test_a_training_says_its_validations_notes_and_end(capsys: pytest.CaptureFixture[str]) -> None:
    """Each is one line, after what it runs on; of pairs it is told how many are found, beside a blind guess; a run that
    was stopped names the command that goes on with it."""
    with progress.training_progress() as report:
        report({"event": "begun", "means": {"device": ("cpu", "asked for"), "threads": ("2", "fastest")}})
        report({"event": "validation", "step": 7, "loss": 1.0, "baseline": 2.0})
        pairs = {"found_paired": 0.625, "found_by_chance": 0.03125}
        report({"event": "validation", "step": 8, "loss": 1.0, "baseline": 2.0, **pairs})
        report({"event": "note", "text": "[half] of it"})
        report({"event": "stopped", "step": 9, "resume": "tawt pretrain --resume"})
        report({"event": "something else"})
    assert capsys.readouterr().err.splitlines() == [
        "device cpu (asked for)  threads 2 (fastest)",
        "  tuning after step 7: loss 1.000 (trivial 2.000)",
        "  tuning after step 8: loss 1.000 (trivial 2.000)  pairs found 62.5% (by chance 3.1%)",
        "note: [half] of it",
        "stopped after step 9; a checkpoint is saved. Go on with: tawt pretrain --resume",
    ]


def test_a_training_that_cannot_go_on_says_what_begins_anew(capsys: pytest.CaptureFixture[str]) -> None:
    """The demo replaces what an earlier one made: no checkpoint is of use to it."""
    with progress.training_progress("tawt demo", anew=True) as report:
        report({"event": "stopped", "step": 9, "resume": "tawt pretrain --resume"})
    assert capsys.readouterr().err == "stopped after step 9; this begins anew: tawt demo\n"


TRAINING = """
from tawt.cli.progress import training_progress
with training_progress() as report:
    for step in (1, 2):
        report({"event": "step", "step": step, "max_steps": 400, "tokens_per_s": 1e3, "loss": 1.0, "baseline": 2.0, "lr": 0.1, "eta_s": 5})
"""
STAGES = """
from tawt.cli.ran import stage_progress
with stage_progress(DRY_RUN) as report:
    report({"event": "start", "stage": "events"})
    report({"event": "progress", "stage": "events", "done": 2, "total": 400})
"""


@pytest.mark.parametrize(
    ("script", "quiet", "bars"),
    [
        (TRAINING, "", True), (TRAINING, "1", False), (STAGES.replace("DRY_RUN", "False"), "", True),
        (STAGES.replace("DRY_RUN", "False"), "1", False), (STAGES.replace("DRY_RUN", "True"), "", False),
    ],
)  # fmt: skip
def test_a_terminal_gets_a_bar(script: str, quiet: str, bars: bool, on_terminal) -> None:
    """One bar that moves on, with all steps as its end; with `TAWT_NO_PROGRESS`, and in a dry run, a terminal gets none."""
    said = on_terminal(["-c", script], subprocess.DEVNULL, TAWT_NO_PROGRESS=quiet, COLUMNS="120")
    assert ("2/400" in said) == bars and "1/1" not in said


@dataclass
class Stage:
    """What `tell_run` looks at."""

    stage: str
    manifest: object = None


@dataclass
class Result:
    stages: list[Stage]
    n_run: int = 0
    skipped: dict[str, str] = field(default_factory=dict)
    dry_run: bool = False
    workspace: object = field(default_factory=lambda: SimpleNamespace(pipeline=SimpleNamespace(most_lost=0.1)))


READS = Account(
    driving="raw.x", n_records_in=1100, n_records_kept=1000, n_rows_out=1004,
    routes=(Route(kind="drop", reason="twice", n_records=70), Route(kind="quarantine", reason="t:missing", n_records=30)),
    n_rows_added={"not_measured": 4},
)  # fmt: skip


def test_a_ledger_says_where_every_record_went(capsys: pytest.CaptureFixture[str]) -> None:
    """Drops and quarantines are apart, each reason has its count, and what a rule added is said as such."""
    result = Result([Stage("staging.x", SimpleNamespace(accounts=(READS,), facts={})), Stage("events")])
    tell_run(result, Format.csv)  # type: ignore[arg-type]
    assert capsys.readouterr().out.splitlines() == [
        "stage,input,records in,kept,dropped,quarantined,rows out,by reason",
        'staging.x,raw.x,1100,1000,70,30,1004,"twice 70, t:missing 30; not_measured +4"',
    ]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_ledger_on_a_terminal_has_room_for_inputs_and_what_was_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """At 100 columns a stage of several inputs is named once; drops and quarantines stand with their reasons, folded."""
    parts = [READS.model_copy(update={"driving": f"event_parts.{name * 12}"}) for name in "ab"]
    result = Result([Stage("event_parts.measurements", SimpleNamespace(accounts=parts, facts={}))])
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setattr(sys, "stdout", terminal := Terminal())
    tell_run(result)  # type: ignore[arg-type]
    lines = re.sub(r"\x1b\[[0-9;]*m", "", terminal.getvalue()).splitlines()
    assert max(map(len, lines)) <= 100 and lines[0].split()[:5] == ["stage", "input", "records", "in", "kept"]
    told = " ".join(" ".join(lines).split())
    assert told.count("event_parts.measurements") == 1 and "event_parts.bbbbbbbbbbbb 1,100 1,000" in told
    assert "dropped: twice 70;" in told and "quarantined:" in told


def test_long_lines_break_on_a_terminal_but_not_within_a_command(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is to be typed stays whole; elsewhere a line is one line."""
    command = "`tawt run 'staging.a long name'+ -w work`"
    text = f"  note: {'word ' * 9}{command} {'word ' * 9}end"
    shown = output._wrapped(text, 60).splitlines()
    assert max(map(len, shown)) <= 60 and [line for line in shown if command in line] and shown[1][:4] == "    "
    assert output._wrapped(text[:50], 60) == text[:50]
    bare = "Go on with: tawt pretrain -w work --resume --threads 1"
    assert output._wrapped(f"{'word ' * 9}{bare}", 60).splitlines()[-1].endswith(bare.partition(": ")[2])


def test_a_stage_says_what_came_of_it(capsys: pytest.CaptureFixture[str]) -> None:
    """Rows in and out, what is gone, why it ran; a dry run says what it would do; an idle stage is up to date."""
    manifest = SimpleNamespace(accounts=(READS, READS), seconds=1.26)
    clean = SimpleNamespace(accounts=(READS.model_copy(update={"routes": ()}),), seconds=0.0)

    def told(reason: str | None, manifest: object, dry_run: bool) -> str:
        with stage_progress(dry_run) as report:
            report({"event": "start", "stage": "staging.x"})
            report({"event": "progress", "stage": "staging.x", "done": 1, "total": 2})
            report({"event": "done", "stage": "staging.x", "reason": reason, "manifest": manifest, "dry_run": dry_run})
        return re.sub(r" +", " ", capsys.readouterr().err.strip())

    assert (
        told("sql changed", manifest, False)
        == "staging.x 2,200 -> 2,008 rows, 200 dropped or quarantined (sql changed, 1.3 s)"
    )
    assert told("forced", clean, False) == "staging.x 1,100 -> 1,004 rows (forced, 0.0 s)"
    assert told(None, manifest, False) == "staging.x up to date"
    with stage_progress(True) as report:
        report({"event": "plan", "stages": ("staging.x", "staging." + "y" * 40)})
        for name in ("staging.x", "staging." + "y" * 40):
            report({"event": "done", "stage": name, "reason": "new", "manifest": None, "dry_run": True})
    assert len({line.index("would") for line in capsys.readouterr().err.splitlines()}) == 1
    assert told("sql changed", manifest, True) == "staging.x would run: sql changed"
    assert told(None, manifest, True) == "staging.x would skip: up to date"


@pytest.mark.parametrize(
    ("result", "said"),
    [
        (Result([Stage("a"), Stage("b"), Stage("c")], n_run=2), "ran 2 stages, 1 up to date"),
        (Result([Stage("a"), Stage("b")]), "ran nothing: all 2 stages are up to date"),
        (Result([Stage("a")], n_run=1, dry_run=True), "would run 1 stage, 0 up to date"),
        (Result([Stage("a")], n_run=1, skipped={"staging.y": "raw.y is absent"}), " staging.y skipped: raw.y is absent|ran 1 stage, 0 up to date"),
    ],
)  # fmt: skip
def test_a_command_sums_up_what_ran(result: Result, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    """How many stages ran, how many were up to date, and which were left out and why."""
    tell_run(result, Format.csv)  # type: ignore[arg-type]
    assert [re.sub(r" +", " ", line) for line in capsys.readouterr().err.splitlines()] == said.split("|")


def test_cells_are_written_for_a_reader(capsys: pytest.CaptureFixture[str]) -> None:
    """In a table whole numbers are grouped, others have six digits, truth is a word and nothing is empty; CSV and JSON keep values."""
    row = (1234567, 1234.56789, True, None, "a\nb")
    columns = ("whole", "part", "truth", "nothing", "text")
    print_rows(columns, [row], Format.table)
    assert capsys.readouterr().out.splitlines()[1].split() == ["1,234,567", "1234.57", "yes", "a", "b"]
    print_rows(columns, [row, (0, 0.5, False, None, "")], Format.csv)
    assert capsys.readouterr().out == 'whole,part,truth,nothing,text\n1234567,1234.56789,True,,"a\nb"\n0,0.5,False,,\n'
    print_rows(columns[:3], [row[:3]], Format.json)
    assert capsys.readouterr().out.split() == [
        "[",
        "{",
        '"whole":',
        "1234567,",
        '"part":',
        "1234.56789,",
        '"truth":',
        "true",
        "}",
        "]",
    ]


def test_numbers_stand_under_one_another(capsys: pytest.CaptureFixture[str]) -> None:
    """A column of numbers and gaps is set to the right, one of words to the left."""
    print_rows(("name", "n"), [("a", 5), ("long", 12345), ("b", None)], Format.table)
    assert capsys.readouterr().out.splitlines() == ["name       n", "a          5", "long  12,345", "b"]


def test_a_table_that_just_fits_is_left_whole(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Columns are spared from the first one of too little room on, not before."""

    for width, whole in ((25, True), (24, False)):  # 4 + 2 + 4 + 2 + 13
        monkeypatch.setenv("COLUMNS", str(width))
        monkeypatch.setattr(sys, "stdout", Terminal())
        print_rows(("name", "spar", "x" * 13), [("a", "b", "c")], Format.table, spare=("spar",))
        assert ("not shown: spar" not in capsys.readouterr().err) == whole


def test_facts_are_read_as_words() -> None:
    """Numbers are grouped, also within a list of them; other things are said as they are."""
    assert fact(1234567) == "1,234,567" and fact({"a": 1234, "b": 1}) == "a 1,234, b 1" and fact("birth") == "birth"


def test_what_is_said_is_not_read_as_markup(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Brackets of a path or a message stand as they are, in words, commands and tables."""
    output.say("see [bold]x[/bold]")
    output.next_command(f"tawt check -w {tmp_path}/[red]")
    print_rows(("[red]",), [("[bold]y",)], Format.table)
    said = capsys.readouterr()
    assert said.err.splitlines() == ["see [bold]x[/bold]", f"next: tawt check -w {tmp_path}/[red]"]
    assert said.out.splitlines()[-1] == "[bold]y"


def test_a_long_run_says_now_and_then_how_long_the_rest_takes(capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no terminal listens: after ten seconds and then a minute apart, no finer than it is known; nothing where it is not
    known, and nothing of a short run."""
    now = 0.0
    monkeypatch.setattr(ran, "monotonic", lambda: now)
    with stage_progress(False) as report:
        report({"event": "plan", "stages": ("events",)})
        report({"event": "start", "stage": "events", "reason": "new"})
        times = ((4.0, 100.0), (11.0, None), (12.0, 247.0), (30.0, 200.0), (73.0, 5_000.0), (140.0, 6_000.0))
        for now, left_s in times:  # noqa: B007
            report({"event": "progress", "stage": "events", "done": 1, "total": 4, "left_s": left_s})
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(None, 1)[1] for line in lines] == [
        f"25%, about {left} left in all" for left in ("4 min", "83 min", "1.7 h")
    ]
