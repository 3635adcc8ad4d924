"""What a command tells a person to type can be pasted: quoted, with the same workspace and every option kept."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
import typer.main

from tawt.cli.app import app
from tawt.shell import command

COMMANDS = typer.main.get_command(app).commands


@pytest.fixture(scope="module")
def odd(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace whose path has blanks, quotes and a dollar."""
    return Path(shutil.copytree(finished, tmp_path_factory.mktemp("odd") / """it's "my" $HOME work"""))


def pasted(line: str, work: object) -> list[str]:
    """The words of a printed command, held to be one that its command takes, of this workspace."""
    words = shlex.split(line)
    assert words[0] == "tawt" and words[1] in COMMANDS, line
    parsed = COMMANDS[words[1]].make_context(words[1], words[2:])  # what it does not know raises
    assert str(parsed.params["workspace"]) == str(work), line
    return words


FOLLOWED = {
    "ingest": ("ingest", "{raw}", "-p", "demo", "-w", "{w}", "--threads", "1", "--memory-limit", "1GB"),
    "build-vocab": ("build-vocab", "-w", "{w}", "--threads", "1", "--format", "json"),
    "run": ("run", "events", "-w", "{w}", "--format", "csv"),
    "stages": ("stages", "-w", "{w}", "--format", "json"),
    "show": ("show", "staging.labevents", "-w", "{w}", "--format", "csv"),
    "show of code": ("show", "events", "-w", "{w}"),
    "show --quarantine": ("show", "staging.labevents", "--quarantine", "--limit", "2", "-w", "{w}"),
    "show --quarantine of code": ("show", "events", "--quarantine", "-w", "{w}"),
    "show --dropped": ("show", "events", "--dropped", "--limit", "2", "-w", "{w}"),
    "show --lineage": ("show", "event_parts.labs", "--lineage", "-w", "{w}", "--format", "json"),
    "sql": ("sql", "staging.labevents", "-w", "{w}"),
    "sql --limit": ("sql", "event_parts.labs", "--limit", "2", "-w", "{w}"),
    "diff": ("diff", "event_parts.labs", "-w", "{w}", "--format", "json"),
    "query": ("query", "select 1 as x", "-w", "{w}"),
    "check": ("check", "-w", "{w}", "--format", "json"),
    "plot": ("plot", "-w", "{w}", "tiny"),
    "label": ("label", "in_hospital_mortality_24h", "-w", "{w}", "--threads", "1", "--format", "csv"),
}
"""Each command, done; where a format is asked for, what follows is asked in it too."""


ELSEWHERE = {
    "demo", "init", "test", "pretrain", "embed", "finetune", "evaluate", "audit", "carry", "extend", "compare", "sweep",
    "risk", "generate", "assess", "review", "ratings", "export", "forget", "fetch", "pull", "push",
}  # fmt: skip
"""Commands that need a run, a project or a store of their own, or minutes: tests of theirs hold what follows them."""


def test_each_command_is_followed_here_or_elsewhere():
    """A new command has to be put among those that are looked at, or among those that are named as exceptions."""
    assert {name.split()[0] for name in FOLLOWED} | ELSEWHERE == {*COMMANDS}
    assert not {name.split()[0] for name in FOLLOWED} & ELSEWHERE


@pytest.mark.parametrize("name", FOLLOWED)
def test_what_follows_can_be_pasted(name: str, tawt, odd: Path, hospital: Path) -> None:
    """The printed command names a command of ours, the workspace as it is, and the choices that it takes as well."""
    if name == "plot":
        pytest.importorskip("matplotlib")
    ended = tawt(*(word.format(raw=hospital, w=odd) for word in FOLLOWED[name]))
    assert ended.code == 0, ended.err
    words = pasted(ended.err.splitlines()[-1].removeprefix("next: "), odd)
    given = FOLLOWED[name]
    for option in ("--format", "--threads", "--memory-limit"):
        kept = option in given and any(option in p.opts for p in COMMANDS[words[1]].params)
        assert (option in words) == kept and (
            not kept or words[words.index(option) + 1] == given[given.index(option) + 1]
        )
    looks = words[1] in ("show", "sql", "query", "stages", "check")
    assert not looks or tawt(*words[1:]).code == 0, "what only looks can be done at once"


DRY = {
    "ingest": ("ingest", "{raw}", "-p", "demo", "-w", "{w}", "--sample", "20", "--set", "shards=2", "--dry-run", "--force",
               "--threads", "1", "--memory-limit", "1GB", "--format", "json"),
    "build-vocab": ("build-vocab", "--dry-run", "-w", "{w}", "--set", "vocabulary.n_bins=4", "--force"),
    "run": ("run", "staging.labevents+", "-w", "{w}", "--force", "--threads", "1", "--dry-run"),
    "pretrain": ("pretrain", "-w", "{w}", "--device", "cpu", "--set", "train.max_steps=3", "--out", "{w} new", "--init",
                 "tiny", "--format", "csv", "--dry-run"),
    "embed": ("embed", "-w", "{w}", "--run", "tiny", "--device", "cpu", "--pooling", "mean", "--out", "{w}.parquet",
              "--per", "event", "--dry-run"),
    "label": ("label", "in_hospital_mortality_24h", "-w", "{w}", "--name", "dead", "--force", "--dry-run"),
    "demo": ("demo", "-w", "{w} new", "--subjects", "20", "--seed", "2", "--device", "cpu", "--dry-run"),
}  # fmt: skip


@pytest.mark.parametrize("name", DRY)
def test_a_dry_run_ends_with_itself(name: str, tawt, odd: Path, hospital: Path) -> None:
    """The command to type next is the one that was given, every option kept, without `--dry-run`."""
    given = [word.format(raw=hospital, w=odd) for word in DRY[name]]
    ended = tawt(*given)
    assert ended.code == 0, ended.err
    words = shlex.split(ended.err.splitlines()[-1].removeprefix("next: "))
    assert words == ["tawt", *(word for word in given if word != "--dry-run")]


def test_a_list_of_stages_leads_to_one_of_them(tawt) -> None:
    """The stages of a pipeline lead to the SQL of the first."""
    ended = tawt("stages", "--pipeline", "physionet2012")
    words = shlex.split(ended.err.splitlines()[-1].removeprefix("next: "))
    assert words[:2] == ["tawt", "sql"] and "STAGE" not in words and tawt(*words[1:]).code == 0


FAILS = {
    "no run": ("embed", "-w", "{w}", "--run", "zzz", "--device", "cpu"),
    "one run": ("compare", "-w", "{w}", "tiny"),
    "no workspace": ("pretrain", "-w", "{w}-nope/zzz"),
    "nothing ingested": ("build-vocab", "-w", "{w}-nope/zzz"),
    "a run is there": ("pretrain", "-w", "{w}", "--device", "cpu", "--out", "{w}/runs/tiny"),
    "another config": ("pretrain", "-w", "{w}", "--device", "cpu", "--out", "{w}/runs/tiny", "-c", "pretrain_demo",
                       "--resume"),
    "code": ("sql", "events", "-w", "{w}"),
    "no column": ("query", "select nope from events", "-w", "{w}"),
}  # fmt: skip


NOWHERE = {
    "generate": ("generate", "-w", "{w}", "--run", "tiny", "--subjects", "3", "--out", "{w}.out"),
    "embed": ("embed", "-w", "{w}", "--run", "tiny"),
    "compare": ("compare", "-w", "{w}", "tiny", "tiny"),
    "pretrain": ("pretrain", "-w", "{w}"),
    "build-vocab": ("build-vocab", "-w", "{w}"),
    "finetune": ("finetune", "deaths", "-w", "{w}", "--run", "tiny"),
    "risk": ("risk", "deaths", "-w", "{w}", "--run", "tiny"),
}


@pytest.mark.parametrize("name", NOWHERE)
def test_where_no_workspace_is_it_is_not_the_run_that_lacks(name: str, tawt, odd: Path, tmp_path: Path) -> None:
    """A misspelt `-w` is told as what it is, with the workspaces beside it; so is a folder that holds something else."""
    (tmp_path / "notes").mkdir()
    for work, what in ((odd.parent / f"{odd.name}s", "is no folder"), (tmp_path / "notes", "holds nothing of")):
        ended = tawt(*(word.format(w=work) for word in NOWHERE[name]))
        assert ended.code == 2 and f"{work}: {what}" in ended.error and "run tiny" not in ended.error
        assert ("did you mean" if work.parent == odd.parent else "tawt ingest RAW_DIR") in ended.error


@pytest.mark.parametrize("name", FAILS)
def test_hints_can_be_pasted(name: str, tawt, odd: Path) -> None:
    """A command in a hint is whole: quoted, of the workspace that was given."""
    ended = tawt(*(word.format(w=odd) for word in FAILS[name]))
    assert ended.code in (1, 2), ended.err
    hint = ended.error.partition("hint: ")[2].strip()
    if name == "no run":
        assert hint == "known: tiny"
        return
    found = re.findall(r"`(tawt [^`]+)`", hint) or [hint[hint.index("tawt ") :]]
    for line in found:
        pasted(line, f"{odd}-nope/zzz" if name in ("no workspace", "nothing ingested") else odd)


def test_a_damaged_file_names_its_stage(tawt, odd: Path, tmp_path: Path) -> None:
    """The hint makes the very stage again whose file is broken."""
    work = Path(shutil.copytree(odd, tmp_path / "w w"))
    file = work / "quarantine" / "staging.labevents.parquet"
    file.write_bytes(b"x" * file.stat().st_size)
    ended = tawt("show", "staging.labevents", "--quarantine", "-w", work)
    assert ended.code == 1
    words = pasted(re.findall(r"`(tawt [^`]+)`", ended.error)[0], work)
    assert words[1:3] == ["run", "staging.labevents"] and "--force" in words


def test_the_mended_commands_are_of_the_part_that_is_broken(tawt, odd: Path, tmp_path: Path) -> None:
    """A broken shard or vocabulary is built again in the workspace that was given."""
    for file in ("dataset/train/00000.arrow", "vocabulary/vocabulary.parquet"):
        work = Path(shutil.copytree(odd, tmp_path / file.replace("/", " ")))
        (work / file).write_bytes(b"broken")
        ended = tawt("pretrain", "-w", work, "--device", "cpu", "--out", tmp_path / "run")
        assert ended.code == 1
        assert pasted(re.findall(r"`(tawt [^`]+)`", ended.error)[0], work)[1] == "build-vocab"


def test_words_are_quoted_and_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lists repeat, True is a flag, None is left out; torchrun is kept, and what no terminal shows is escaped."""
    said = command(
        "run", "+events", workspace="a b", force=True, threads=None, memory_limit="1GB", set=["x=[1, 2]", "y=$z"]
    )
    assert said == "tawt run +events -w 'a b' --force --memory-limit 1GB --set 'x=[1, 2]' --set 'y=$z'"
    assert command("stages", workspace="a\nb'c") == r"tawt stages -w $'a\x0ab\'c'"
    monkeypatch.setenv("WORLD_SIZE", "8")
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    assert command("embed") == "torchrun --nnodes 2 --nproc-per-node 4 -m -- tawt embed"


def test_a_dataset_that_fails_leads_nowhere(tawt, tmp_path: Path) -> None:
    """What cannot be mended by a command of ours is not told to be: least of all the check that failed."""
    (tmp_path / "data").mkdir()
    ended = tawt("check", "meds", str(tmp_path))
    assert ended.code == 1 and "next:" not in ended.err


@pytest.mark.parametrize("source", [("--run", "tiny"), ("--control", "markov")])
def test_an_invented_set_is_followed_by_its_assessment(source, tmp_path, monkeypatch, capsys) -> None:
    """With the run that drew it, of the workspace that it was drawn from."""
    told = dict.fromkeys(("n_subjects", "n_dropped", "n_clipped", "n_rejected", "n_cut"), "3")
    tally = SimpleNamespace(n_subjects=3, n_events=9, n_raw_events=9)
    result = SimpleNamespace(
        rows=[], tally=tally, counts=told, seconds=1.0, obeyed=[], unfinished=None, folder=tmp_path / "a set"
    )
    monkeypatch.setattr("tawt.commands.generate.generate", lambda *args, **options: result)
    app(["generate", "-w", str(tmp_path), *source, "--out", str(result.folder)], standalone_mode=False)
    words = pasted(capsys.readouterr().err.splitlines()[-1].removeprefix("next: "), tmp_path)
    assert words[1:3] == ["assess", str(result.folder)] and ("--run tiny" in " ".join(words)) == ("tiny" in source)
