"""Every command: help, what it imports, its last line, dry runs, formats and ways to end."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import typer.main

import tawt as package
from tawt.cli.app import app
from tawt.contracts.run import say_unfinished
from tawt.labels.leaks.catalogue import LEAKS

COMMANDS = tuple(typer.main.get_command(app).commands)
HEAVY = ("torch", "polars", "pyarrow", "duckdb", "numpy")

LOOK = """
import contextlib, io, json, sys
from tawt.cli.app import main
texts = {{}}
for command in {commands}:
    sys.argv = ["tawt", command, "--help"] if command else ["tawt", "--help"]
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.suppress(SystemExit):
        main()
    texts[command] = out.getvalue()
print(json.dumps([texts, [name for name in {heavy} if name in sys.modules]]))
"""


def _python(text: str, **environment: str) -> str:
    ended = subprocess.run(
        [sys.executable, "-c", text], capture_output=True, text=True, check=True, env=os.environ | environment
    )
    return ended.stdout


def test_help_imports_nothing_heavy_and_gives_an_example() -> None:
    """The help of each command has a line `Example: tawt COMMAND` and comes without torch, polars, pyarrow or duckdb."""
    texts, imported = json.loads(_python(LOOK.format(commands=("", *COMMANDS), heavy=HEAVY)))
    assert imported == []
    for command in COMMANDS:
        assert f"Example: tawt {command}" in texts[command], command
        assert command in texts[""]


@pytest.mark.parametrize(
    ("modules", "forbidden"),
    [
        (["tawt.commands.ingest", "tawt.commands.look", "tawt.quality.workspace", "tawt.quality.meds"], ["torch"]),
        (["tawt.hospital.invent"], ["torch", "duckdb", "polars"]),
        (["tawt.commands.pretrain", "tawt.commands.embed"], ["duckdb", "polars"]),
        (["tawt.heads.head", "tawt.heads.labels", "tawt.heads.probe", "tawt.runs.answer"], ["duckdb", "polars"]),
    ],
)
def test_the_two_worlds_do_not_import_one_another(modules: list[str], forbidden: list[str]) -> None:
    """Data code runs without torch, and training code without duckdb and polars."""
    text = f"import sys, {', '.join(modules)}; print([name for name in {forbidden} if name in sys.modules])"
    assert _python(text).strip() == "[]"


def test_the_version_is_that_of_the_package(tawt) -> None:
    """`tawt --version` prints one line on stdout."""
    ended = tawt("--version")
    assert ended.code == 0 and re.fullmatch(r"tawt \d+\.\d+\.\d+\S*\n", ended.out)


@pytest.mark.parametrize("name", package.__all__)
def test_each_public_name_can_be_imported_and_says_what_it_raises(name: str) -> None:
    """Each name in `tawt.__all__` is there, and each function documents its arguments' errors."""
    thing = getattr(package, name)
    assert thing.__doc__ and thing.__doc__.strip()
    if not isinstance(thing, type):
        assert "Raises:" in thing.__doc__


@pytest.mark.parametrize(
    "words",
    [
        (), ("ingst",), ("ingest",), ("ingest", "raw"), ("stages", "--format", "xml"), ("demo", "--subjects", "3"),
        ("ingest", "raw", "-p", "demo", "-w", "w", "--threads", "many"), ("show", "events", "-w", "w", "--limit", "0"),
    ],
)  # fmt: skip
def test_wrong_usage_ends_with_2(words: tuple[str, ...], tawt, tmp_path, monkeypatch) -> None:
    """What the command line cannot read is said on stderr and ends with 2."""
    monkeypatch.chdir(tmp_path)
    ended = tawt(*words)
    assert ended.code == 2
    if words:  # in the one form that all errors have, not in a box
        assert re.search(r"^error: .+\n\nhint: .+\n$", ended.err, re.DOTALL) and "Usage" not in ended.err, ended.err
    assert list(tmp_path.iterdir()) == []


READERS = {
    "stages": ("stages", "-w"),
    "show": ("show", "staging.labevents", "-w"),
    "show --quarantine": ("show", "staging.labevents", "--quarantine", "-w"),
    "query": ("query", "select code, count(*) as n from events group by all order by all", "-w"),
    "check": ("check", "-w"),
}


@pytest.mark.parametrize("name", READERS)
def test_stdout_holds_data_alone(name: str, tawt, finished: Path) -> None:
    """With `--format json|csv` stdout parses whole, both hold the same number of rows, and stderr ends in `next:`."""
    said = {}
    for form in ("json", "csv"):
        ended = tawt(*READERS[name], finished, "--format", form)
        assert ended.code == 0, ended.err
        assert ended.err.splitlines()[-1].startswith("next: tawt ")
        said[form] = ended.out
    assert len(list(csv.DictReader(io.StringIO(said["csv"])))) == len(json.loads(said["json"])) > 0


def test_ids_of_records_can_be_copied(tawt, finished: Path) -> None:
    """A table of quarantined records, and one of a query, shows ids as they are, one record per line, as many as asked for."""
    for words in (("show", "staging.labevents", "--quarantine"), ("query", "select subject_id from events limit 3")):
        rows = json.loads(tawt(*words, "-w", finished, "--format", "json").out)
        ids = [str(row["subject_id"]) for row in rows if row["subject_id"] is not None]
        assert max(map(len, ids)) > 3  # a grouped one would have a comma
        shown = tawt(*words, "-w", finished).out
        assert len(shown.splitlines()) == len(rows) + 1 and all(n in shown.split() for n in ids)
    few = tawt("show", "staging.labevents", "--quarantine", "--limit", 2, "-w", finished)
    assert len(few.out.splitlines()) == 3 and "2 quarantined records shown" in few.err
    none = tawt("show", "staging.patients", "--quarantine", "-w", finished)
    assert none.code == 0 and "nothing is quarantined" in none.err


def test_every_command_ends_with_what_to_do_next(tawt, finished: Path, hospital: Path, tmp_path: Path, tiny) -> None:
    """The last line on stderr is `next:` and a command, also where all is up to date."""
    work = Path(shutil.copytree(finished, tmp_path / "w"))
    for words in (
        ("ingest", hospital, "-p", "demo", "-w", work),
        ("build-vocab", "-w", work),
        ("run", "events", "-w", work),
        ("sql", "staging.labevents", "-w", work),
        ("show", "events", "-w", work),
        ("stages", "--pipeline", "mimic_iv"),
        ("check", "meds", work / "events"),
        ("pretrain", "-w", work, "--device", "cpu", "--out", tmp_path / "run", *tiny),
        ("embed", "-w", work, "--run", "tiny", "--device", "cpu"),
    ):
        ended = tawt(*words)
        assert ended.code == 0, ended.err
        assert re.fullmatch(r"next: (tawt|python) .+", ended.err.splitlines()[-1]), words


def test_what_learns_and_measures_is_told_in_the_form_that_was_asked_for(tawt, finished: Path, tmp_path: Path) -> None:
    """With `--format csv` an evaluation is a row a model and metric, an audit one a leak; both end with what to do next."""
    work = Path(shutil.copytree(finished, tmp_path / "w"))
    task, quick = "in_hospital_mortality_24h", ("--threads", "1", "--memory-limit", "500MB")
    assert tawt("label", task, "-w", work, "--meds", tmp_path / "meds", *quick).code == 0
    assert [path.name for path in (tmp_path / "meds").iterdir()] == [f"{task}.parquet"]
    learned = tawt("finetune", task, "-w", work, "--run", "tiny", "--mode", "probe", "--device", "cpu")
    assert learned.code == 0, learned.err
    run = f"tiny-{task}-probe"
    before = {path: path.stat().st_mtime_ns for path in work.rglob("*")}
    for words in (
        ("evaluate", task, "-w", work, "--run", run, "--baseline", "prevalence"),
        ("audit", task, "-w", work),
    ):
        dry = tawt(*words, "--dry-run")
        assert dry.code == 0, dry.err
        assert "would" in dry.out and str(work / f"{words[0].removesuffix('e')}") in dry.out.replace(
            "evaluations", "evaluat"
        )
        assert words[0] == "audit" or (run in dry.out and "prevalence" in dry.out and "held_out" in dry.out)
        assert dry.err.splitlines()[-1] == f"next: tawt {' '.join(map(str, words))}"
    assert {path: path.stat().st_mtime_ns for path in work.rglob("*")} == before
    measured = tawt(
        "evaluate", task, "-w", work, "--run", run, "--baseline", "prevalence", "--draws", 20, "--format", "csv"
    )
    rows = list(csv.DictReader(io.StringIO(measured.out)))
    told = json.loads((work / "evaluations" / task / "evaluation.json").read_text())["rows"]
    assert {(row["model"], row["metric"]) for row in rows} == {(one["name"], m) for one in told for m in one["metrics"]}
    of = {one["name"]: one["metrics"] for one in told}
    assert all(
        row["value"] == str(of[row["model"]][row["metric"]]["value"] or "") or float(row["value"]) == 0 for row in rows
    )
    assert f"next: tawt audit {task} -w {work} --run {run}" in measured.err.splitlines()[-1]
    looked = tawt("audit", task, "-w", work, "--run", run, "--format", "csv", *quick)
    assert len(list(csv.DictReader(io.StringIO(looked.out)))) == len(LEAKS) and looked.code in (0, 1)
    assert f"next: tawt compare {run} -w {work}" in looked.err  # it was evaluated already: no circle


DRY = {
    "ingest": ("ingest", "{raw}", "-p", "demo", "-w", "{w}", "--dry-run"),
    "ingest with another setting": ("ingest", "{raw}", "-p", "demo", "-w", "{w}", "--set", "shards=3", "--dry-run"),
    "build-vocab": ("build-vocab", "-w", "{w}", "--set", "vocabulary.n_bins=4", "--dry-run"),
    "run": ("run", "staging.labevents+", "-w", "{w}", "--force", "--dry-run"),
    "pretrain": ("pretrain", "-w", "{w}", "--device", "cpu", "--dry-run"),
    "pretrain of its own": (
        "pretrain",
        "-w",
        "{w}",
        "--device",
        "cpu",
        "--set",
        "train.max_steps=3",
        "--out",
        "{new}",
        "--dry-run",
    ),
    "embed": ("embed", "-w", "{w}", "--run", "tiny", "--device", "cpu", "--dry-run"),
    "label": ("label", "in_hospital_mortality_24h", "-w", "{w}", "--dry-run"),
    "plot": ("plot", "-w", "{w}", "tiny", "--dry-run"),
    "compare": ("compare", "-w", "{w}", "tiny", "twin", "--plot", "{new}.png", "--dry-run"),
    "demo": ("demo", "-w", "{new}", "--dry-run"),
    "ingest of a sample": ("ingest", "{raw}", "-p", "demo", "-w", "{new}", "--sample", "5", "--dry-run"),
    "ingest into a new workspace": ("ingest", "{raw}", "-p", "demo", "-w", "{new}", "--dry-run"),
}


LOOKS = "it prints, and writes nothing of its own accord"
WITHOUT = {
    **dict.fromkeys(("check", "diff", "query", "ratings", "show", "sql", "stages"), LOOKS),
    "test": "it runs invented rows in a place of its own, which goes",
    **dict.fromkeys(("pull", "push"), "what is there already does not move again, and the rest is told by its size"),
}
"""Commands without `--dry-run`, each with the reason."""


def test_every_command_that_writes_has_a_dry_run() -> None:
    """Of all commands of the app those have none that are named, with a reason."""
    commands = typer.main.get_command(app).commands
    lacking = {name for name, one in commands.items() if not any("--dry-run" in p.opts for p in one.params)}
    assert lacking == {*WITHOUT}


@pytest.mark.parametrize("name", DRY)
def test_a_dry_run_writes_nothing_and_says_why(name: str, tawt, finished: Path, hospital: Path, tmp_path, tree) -> None:
    """Not a byte of the workspace changes, no folder appears, and each thing that would run comes with its reason."""
    work = Path(shutil.copytree(finished, tmp_path / "w"))
    shutil.copytree(work / "runs" / "tiny", work / "runs" / "twin")
    for path in hospital.rglob("*.gz"):  # a changed time makes every hash stale
        os.utime(path)
    before = {str(p): p.stat().st_mtime_ns for p in tmp_path.rglob("*")}
    places = {"raw": hospital, "w": work, "new": tmp_path / "new"}
    ended = tawt(*(word.format(**places) for word in DRY[name]))
    assert ended.code == 0, ended.err
    assert {str(p): p.stat().st_mtime_ns for p in tmp_path.rglob("*")} == before
    said = ended.err + ended.out
    assert "would " in said or "why" in said
    assert ended.err.splitlines()[-1].startswith("next: tawt ")
    if name == "pretrain of its own":
        assert ended.err.splitlines()[-1].endswith(f"--device cpu --set train.max_steps=3 --out {tmp_path / 'new'}")
    if name == "ingest with another setting":
        assert re.search(r"event_parts\.labs +would run: parameter n_shards", ended.err)
        assert re.search(r"staging\.labevents +would skip: up to date", ended.err)


def _interrupt(words: tuple[object, ...], seen: str, **environment: str) -> tuple[int, str]:
    """Start a command, wait until its stderr shows `seen`, interrupt it and return how it ended."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tawt", *map(str, words)],
        stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, env=os.environ | environment,
        # where the tests run in the background, a shell has set Ctrl-C to be ignored
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )  # fmt: skip
    said = ""
    assert process.stderr is not None
    for line in process.stderr:
        said += line
        if seen in line:
            break
    process.send_signal(signal.SIGINT)
    said += process.stderr.read()
    return process.wait(30), said


def test_an_interrupted_ingest_ends_with_130_and_can_go_on(
    hospital: Path, tmp_path: Path, tawt, finished, tree
) -> None:
    """Ctrl-C leaves finished stages only, and the next ingest makes the same bytes as one that was left alone."""
    work = tmp_path / "w"
    words = ("ingest", hospital, "-p", "demo", "-w", work, "--threads", 1)
    code, said = _interrupt(words, "staging.admissions")
    assert code == 130, said
    assert "Traceback" not in said and "interrupted" in said
    assert not (work / "manifests" / "events.json").is_file()
    assert tawt(*words).code == 0
    assert tree(work / "events") == tree(finished / "events")


def test_one_interrupt_ends_a_query_that_the_engine_does_not_look_up_from(finished: Path) -> None:
    """A list that is made while the engine plans, in many seconds, does not keep a command from ending at one Ctrl-C."""
    code = f"""
import signal, sys, threading
from tawt.cli import app
from tawt.database import connect
def interrupted(connection, work, real=connect.interruptible):
    threading.Timer(0.1, signal.raise_signal, [signal.SIGINT]).start()
    return real(connection, work)
connect.interruptible = interrupted
app._SECONDS_TO_END = 0.3
signal.signal(signal.SIGINT, signal.default_int_handler)
long = "select len(range(timestamp '2000-01-01', timestamp '2020-01-01', interval 1 microsecond))"
sys.argv = ["tawt", "query", long, "-w", {str(finished)!r}]
app.main()
"""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=40)
    assert (ended.returncode, ended.stderr.strip()) == (130, "interrupted")


def test_an_interrupted_pretraining_ends_with_130_and_says_how_to_go_on(finished: Path, tmp_path: Path, tiny) -> None:
    """Ctrl-C in a run saves a checkpoint and names the command that resumes it."""
    settings = [word.replace("train.max_steps=4", "train.max_steps=100000") for word in tiny]
    words = ("pretrain", "-w", finished, "--device", "cpu", "--out", tmp_path / "run", *settings)
    code, said = _interrupt(words, "tuning after step", OMP_NUM_THREADS="1")
    assert code == 130, said
    assert "Traceback" not in said and "--resume" in said
    assert any((tmp_path / "run" / "checkpoints").glob("step-*/state.json"))


def test_a_reader_that_goes_away_is_no_error(finished: Path) -> None:
    """`tawt query ... | head -1` prints its line and no traceback."""
    command = f"{sys.executable} -m tawt query 'from events' -w {finished} --format csv | head -1"
    ended = subprocess.run(command, shell=True, capture_output=True, text=True, check=True)
    assert ended.stdout.startswith("subject_id,") and "Traceback" not in ended.stderr


def test_without_colour_and_progress_there_are_no_control_characters(on_terminal, hospital: Path, tmp_path) -> None:
    """On a terminal, NO_COLOR and TAWT_NO_PROGRESS leave plain text."""
    words = ["ingest", str(hospital), "-p", "demo", "-w", str(tmp_path / "w"), "--threads", "1", "--sample", "3"]
    words += ["--set", "off=[staging.chartevents, event_parts.chart, event_parts.lab_specimens]"]
    said = on_terminal(["-m", "tawt", *words], TAWT_NO_PROGRESS="1", COLUMNS="80")
    assert not re.search(r"\x1b\[[0-9;]*3[0-7]m|\x1b\[\?25l|\x1b\[2K", said)
    assert "next: tawt build-vocab" in said


@pytest.mark.parametrize(
    "words", [(), ("meds",), ("meds", "events", "-w", "w"), ("events", "-w", "w"), ("med", "events")]
)
def test_a_check_of_nothing_is_wrong_usage(words: tuple[str, ...], tawt, tmp_path, monkeypatch) -> None:
    """Neither a workspace nor a MEDS dataset, or both at once: the two ways to say it are the hint."""
    monkeypatch.chdir(tmp_path)
    ended = tawt("check", *words)
    assert ended.code == 2 and "expected `-w W` or `meds PATH`" in ended.err and "tawt check meds PATH" in ended.err


def test_a_run_goes_on_with_its_own_config(tawt, finished: Path, tmp_path: Path, tiny) -> None:
    """`--out RUN --resume` takes the config of that run, not the one that comes with tawt, which a new run takes."""
    run = Path(shutil.copytree(finished / "runs" / "tiny", tmp_path / "run"))
    words = ("pretrain", "-w", finished, "--device", "cpu", "--dry-run", "--format", "json")
    told = []
    for more in (("--out", run, "--resume"), ("--out", tmp_path / "new")):
        ended = tawt(*words, *more)
        assert ended.code == 0, ended.err
        told.append({row["what"]: row["value"] for row in json.loads(ended.out)})
    own, new = [int(row["parameters"].replace(",", "")) for row in told]
    assert own < new and told[0]["steps"] == "4 -> 4" and told[1]["steps"].startswith("0 -> ")


def test_a_run_that_was_broken_off_is_gone_on_with_and_is_told_where_it_is_used(tawt, finished: Path, tmp_path) -> None:
    """`--resume` alone means the only one, and asks which of several; `embed` says after which step it is read."""
    work = Path(shutil.copytree(finished, tmp_path / "work"))
    for run in (work / "runs" / "tiny", work / "runs" / "other"):
        if run.name == "other":
            shutil.copytree(finished / "runs" / "tiny", run)
        for name in ("files.json", "model.safetensors"):
            (run / name).unlink()
        say_unfinished(run, 4)
        ended = tawt("pretrain", "-w", work, "--resume", "--device", "cpu", "--dry-run", "--format", "json")
        if run.name == "tiny":
            assert "note: goes on with" in ended.err and {
                "what": "run folder",
                "value": str(run),
                "why": "",
            } in json.loads(ended.out)
    assert ended.code == 2 and "may mean other or tiny" in ended.error and "--out" in ended.error
    ended = tawt("embed", "-w", work, "--run", "tiny", "--device", "cpu", "--dry-run")
    assert ended.code == 0 and "tiny is not finished: it is read as it was after step 4 of 4" in ended.err
