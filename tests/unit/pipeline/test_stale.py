"""The data engineer's day: what is older than what it was made from is said by every command, with what to run."""

from __future__ import annotations

import errno
import re
import shlex
import shutil
from collections.abc import Callable
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

import tawt
from tawt.cli.app import app
from tawt.errors import SourceError, StageError, StaleError, TawtError
from tawt.machine import NOT_INSTALLED
from tawt.pipeline import commit, fingerprint, manifest
from tawt.pipeline.fresh import hold_fresh
from tawt.pipeline.stale import look
from tawt.pipeline.workspace import Workspace, open_workspace, write_records
from tawt.project import asset
from tawt.sources.written import tokens
from tests.unit.days import LABS, PART, QUICK, Day


def test_an_edited_stage_that_runs_alone_leaves_nothing_stale_without_a_word(day: Day) -> None:
    """After `run X` each later command names what is newer, and `X+`, which is what comes next, mends it."""
    assert day.fresh()
    day.edit(LABS, "'LABS'", "'LAB'")
    assert day.states()["event_parts.labs"] == "sql changed"
    assert day.said() == "event_parts.labs (sql changed)"
    result = tawt.run("event_parts.labs", day.work, **QUICK)
    assert result.following is not None and "tawt run event_parts.labs+ -w" in result.following
    assert day.states() == {
        "events": "event_parts.labs is newer", "vocabulary": "events is stale",
        "triplets": "events is stale, vocabulary is stale", "dataset": "triplets is stale, vocabulary is stale",
    }  # fmt: skip
    assert day.said() == "events (event_parts.labs is newer)"
    failed = [finding for finding in tawt.check(day.work) if not finding.ok]
    assert [(one.check, one.detail) for one in failed] == [("stages", "events is stale: event_parts.labs is newer")]
    assert "event_parts.labs is newer" in tawt.show("events", day.work).reason_last_run
    notes: list[dict] = []
    tawt.query("select count(*) from events", day.work, report=notes.append)
    assert [note["text"] for note in notes] == [
        f"events is stale: event_parts.labs is newer: `tawt run events+ -w {day.work}`"
    ]
    assert list(day.run("event_parts.labs+")) == ["events", "vocabulary", "dataset"] or day.fresh()
    assert day.fresh() and tawt.run("event_parts.labs", day.work, **QUICK).following is None


def test_a_training_stops_at_a_stale_dataset_unless_it_is_told(day: Day) -> None:
    """The error says what was edited and what to run; where it is wanted, why it is stale is handed on to be recorded."""
    day.edit(LABS, "'LABS'", "'LAB'")
    with pytest.raises(StaleError, match=r"dataset: is stale: event_parts.labs \(sql changed\)") as caught:
        hold_fresh(day.work, False)
    assert f"`tawt run event_parts.labs+ -w {day.work}`" in caught.value.hint and "--stale-ok" in caught.value.hint
    notes: list[str] = []
    assert hold_fresh(day.work, True, notes.append) == day.said() and "taken as it is" in notes[0]


def test_a_pipeline_that_is_edited_after_the_ingest_is_told_with_what_takes_it_over(day: Day) -> None:
    """Runs go by the workspace's own copy, and say so; building and training stop; the ingest that is named ends it."""
    day.ingest("duplicates=keep")
    tawt.build_vocab(day.work, settings=("vocabulary.n_bins=4",), **QUICK)
    assert day.fresh()  # what was given on the command line is no edit
    day.edit("pipelines/lab.yaml", "least: 2", "least: 3")
    why = "pipeline edited (parameters.least 2 -> 3)"
    assert day.states()["staging.labs"] == why and f"staging.labs ({why})" in str(day.said())
    result = tawt.run("staging.labs+", day.work, **QUICK)
    again = f"tawt ingest {day.raw} -w {day.work} --pipeline {day.project}/pipelines/lab.yaml"
    assert result.n_run == 0 and again in result.notes[0] and "--set vocabulary.n_bins=4" in str(result.following)
    with pytest.raises(StaleError, match="least 2 -> 3"):
        hold_fresh(day.work, False)
    with pytest.raises(StaleError, match="least 2 -> 3") as caught:
        tawt.build_vocab(day.work, **QUICK)
    assert "stages" in {finding.check for finding in tawt.check(day.work) if not finding.ok}
    for line in caught.value.hint.strip("`").split(" && "):
        assert CliRunner().invoke(app, shlex.split(line)[1:]).exit_code == 0
    assert day.fresh() and open_workspace(day.work).pipeline.vocabulary.n_bins == 4
    day.edit("pipelines/lab.yaml", "name: lab", "name: lab  # a remark\ndescription: Of a laboratory.\nmost_lost: 0.2")
    assert day.said() is None and not day.states() and "most_lost" in look(day.work).notes[0]
    day.ingest()
    assert look(day.work).notes == () and not day.states()["vocabulary"].startswith("pipeline")


@pytest.mark.parametrize("what", ["half-edited", "gone"])
def test_a_pipeline_that_cannot_be_read_is_told_by_all(day: Day, what: str) -> None:
    """What it would say is not known: a training stops where it must be mended, and goes on where it is elsewhere."""
    path = day.project / "pipelines/lab.yaml"
    text, fault = path.read_text(), {"half-edited": "cannot be read as it is now", "gone": "lab.yaml is gone"}[what]
    path.write_text(f"{text}foo: [\n") if what == "half-edited" else path.unlink()
    notes: list[dict] = []
    tawt.stages(day.work, report=notes.append)
    tawt.query("select 1 from events limit 1", day.work, report=notes.append)
    assert [fault in note["text"] for note in notes] == [True, True]
    assert fault in tawt.run("events", day.work, **QUICK).notes[0]
    failed = [one for one in tawt.check(day.work) if not one.ok]
    assert [one.check for one in failed] == ["stages"] and fault in failed[0].detail
    if what == "gone":
        assert fault in look(day.work).notes[0] and day.said() is None
        assert CliRunner().invoke(app, shlex.split(failed[0].mend)[1:]).exit_code == 0
    else:
        assert fault in str(day.said()) and f"mend {path}" in failed[0].mend
        for stops in (lambda: hold_fresh(day.work, False), lambda: tawt.build_vocab(day.work, **QUICK)):
            with pytest.raises(StaleError, match=fault):
                stops()
        path.write_text(text)
    assert day.fresh()


def _edited(day: Day, path: str, old: str, new: str) -> Callable[[], None]:
    day.edit(path, old, new)
    return lambda: day.edit(path, new, old)


def _set(day: Day, setting: str) -> Callable[[], None]:
    """As a killed ingest leaves it."""
    opened = open_workspace(day.work)
    before = replace(opened, given_pipeline=True, given_ingested=opened.ingested)
    write_records(open_workspace(day.work, (setting,)))
    return lambda: write_records(before)


def _part(day: Day) -> Callable[[], None]:
    more = day.project / "sql/lab/event_parts/more.sql"
    more.write_text(PART.format(name="labs", code="MORE"))
    return more.unlink


def _removed(day: Day) -> Callable[[], None]:
    text = (day.project / LABS).read_text()
    (day.project / LABS).unlink()
    return lambda: (day.project / LABS).write_text(text) and None


def _seed(day: Day) -> Callable[[], None]:
    path = day.project / "sql/shared/seeds/unit_spellings.csv"
    path.parent.mkdir(exist_ok=True)
    path.write_text(asset("sql/shared/seeds/unit_spellings.csv").read_text() + "zz,mg/dL\n")
    return path.unlink


def _splits(day: Day) -> Callable[[], None]:
    (day.raw / "splits.csv").write_text("subject_id,split\n" + "".join(f"{i},train\n" for i in range(1, 21)))
    return lambda: (day.raw / "splits.csv").unlink()


def _appended(day: Day) -> Callable[[], None]:
    text = (day.raw / "labs.csv").read_text()
    (day.raw / "labs.csv").write_text(text + "7,2020-02-01 08:00:00,9\n")
    return lambda: (day.raw / "labs.csv").write_text(text) and None


EDITS: dict[str, tuple[Callable[[Day], Callable[[], None]], str, str]] = {
    "SQL": (lambda day: _edited(day, LABS, "number as", "number + 1 as"), "event_parts.labs", "sql changed"),
    "set otherwise": (lambda day: _edited(day, LABS, "select", "select all"), "event_parts.labs", "sql changed"),
    "a macro": (lambda day: _edited(day, "sql/shared/macros/doubled.sql", "2 * x", "3 * x"), "staging.labs",
                "macro doubled changed"),
    "a contract": (lambda day: _edited(day, "schemas/lab/staging/labs.json", '"nullable": false', '"nullable": true'),
                   "staging.labs", "contract changed"),
    "a raw contract": (lambda day: _edited(day, "schemas/lab/labs.json", '["labs"]', '["labs", "other"]'),
                       "staging.labs", "contract of raw.labs changed"),
    "a seed": (_seed, "events", "seed unit_spellings changed"),
    "a setting": (lambda day: _set(day, "duplicates=keep"), "events", "parameter duplicates drop -> keep"),
    "a data_type": (lambda day: _set(day, "data_types.LABS.unit=mg"), "events",
                    "parameter data_types.LABS.unit none -> mg"),
    "how text is written": (lambda day: _set(day, "csv.marks=[NA]"), "staging.labs",
                            "parameter csv.labs.marks [] -> [NA]"),
    "a parameter": (lambda day: _set(day, "parameters.least=5"), "staging.labs", "parameter least 2 -> 5"),
    "the pipeline": (lambda day: _edited(day, "pipelines/lab.yaml", "shards: 1", "shards: 1\nduplicates: keep"), "events",
                     "pipeline edited (duplicates drop -> keep)"),
    "a setting of the dataset": (lambda day: _edited(day, "pipelines/lab.yaml", "shards: 1", "shards: 1\ncalendar: none"),
                                 "dataset", "pipeline edited (calendar kept -> none)"),
    "shards": (lambda day: _edited(day, "pipelines/lab.yaml", "shards: 1", "shards: 2"), "event_parts.labs",
               "pipeline edited (shards 1 -> 2)"),
    "a part that goes": (_removed, "events", "event_parts.labs is gone"),
    "a part that comes": (_part, "events", "event_parts.more is new"),
    "a file of splits": (_splits, "events", "the file of splits changed"),
    "a raw file": (_appended, "staging.labs", "raw.labs has changed since it was read"),
}  # fmt: skip


@pytest.fixture
def with_splits(day: Day) -> Day:
    """A place whose pipeline names a file of splits, which is not there."""
    day.edit("pipelines/lab.yaml", "shards: 1", "shards: 1\nsplits: {file: splits.csv}")
    day.ingest()
    tawt.build_vocab(day.work, **QUICK)
    return day


@pytest.mark.parametrize("what", EDITS)
def test_what_is_printed_mends_what_is_said(with_splits: Day, what: str) -> None:
    """Each edit is told with one word to who runs stages and to who trains; put back, nothing is; the command that is
    printed ends the complaint."""
    day, (edit, stage, why) = with_splits, EDITS[what]
    edit(day)()
    assert day.states() == {} and day.said() is None
    edit(day)
    assert day.states()[stage] == why and "dataset" in day.states() and f"{stage} ({why})" in str(day.said())
    for line in look(day.work).mend.split(" && "):
        done = CliRunner().invoke(app, shlex.split(line)[1:])
        assert done.exit_code == 0, done.output
    assert day.states() == {} and day.said() is None and day.run("+dataset") == {}


SAME = {
    "a remark in a stage": (LABS, "select ", "-- why\nSELECT /* a /* nested */ one */\n"),
    "another layout": (
        LABS,
        "subject_id, seen as",
        "subject_id ,\n\n  seen  AS",
    ),
    "a remark in a macro": ("sql/shared/macros/doubled.sql", "-- Twice a number.", "-- Two times a number."),
    "a description": ("schemas/lab/staging/labs.json", "One row is one reading.", "A reading."),
    "a raw description": ("schemas/lab/labs.json", "One row is one reading.", "A reading."),
    "another word for a type, and a default": (
        "schemas/lab/labs.json",
        '{"name": "number", "type": "string"}',
        '{"name": "number", "as": "number", "type": "text", "key": false}',
    ),
}


@pytest.mark.parametrize("what", SAME)
def test_what_says_the_same_makes_nothing_stale(day: Day, what: str) -> None:
    """A remark, a description, the case of keywords and blanks change no fingerprint, also for whoever has no engine."""
    path, old, new = SAME[what]
    day.edit(path, old, new)
    assert day.fresh() and day.run("staging+") == {}


def test_a_part_that_comes_to_a_table_makes_what_was_read_of_it_stale(day: Day) -> None:
    """The delivery of a month beside the others: told by lists and by a training, read by the command that is named."""
    day.edit("schemas/lab/labs.json", '"paths": ["labs"]', '"paths": ["labs*"]')
    day.ingest()
    tawt.build_vocab(day.work, **QUICK)
    assert day.fresh()
    (day.raw / "labs-2.csv").write_text("subject_id,seen,number\n1,2020-02-01 08:00:00,9\n")
    assert "raw.labs has changed" in day.states()["staging.labs"]
    with pytest.raises(StaleError, match=r"raw\.labs has changed"):
        hold_fresh(day.work, False)
    tawt.build_vocab(day.work, **QUICK)
    assert day.fresh()
    (day.raw / "labs-2.csv").unlink()
    assert "raw.labs has changed" in day.states()["staging.labs"]


def test_a_table_that_was_absent_and_has_come_makes_events_stale(day: Day) -> None:
    """Told by lists, by a training and by who builds, each with the ingest that reads it; gone again, nothing is told."""
    day.edit("schemas/lab/vitals.json", '"paths"', '"required": false, "paths"')
    vitals = (day.raw / "vitals.csv").read_text()
    (day.raw / "vitals.csv").unlink()
    day.ingest()
    tawt.build_vocab(day.work, **QUICK)
    assert day.fresh()
    (day.raw / "vitals.csv").write_text(vitals)
    assert day.states()["events"] == "raw.vitals was absent and is there now"
    with pytest.raises(StaleError, match=r"raw\.vitals was absent"):
        tawt.build_vocab(day.work, **QUICK)
    assert not tawt.run("events", day.work, **QUICK).n_run and "was absent" in str(day.said())
    (day.raw / "vitals.csv").unlink()
    assert (day.states(), day.said(), [f for f in tawt.check(day.work) if not f.ok]) == ({}, None, [])
    (day.raw / "vitals.csv").write_text(vitals)
    for line in look(day.work).mend.split(" && "):
        assert CliRunner().invoke(app, shlex.split(line)[1:]).exit_code == 0
    assert day.fresh() and "staging.vitals" in {row["stage"] for row in tawt.stages(day.work).to_pylist()}


def test_equal_bytes_stop_what_follows(day: Day) -> None:
    """A stage that runs again and gives what it gave makes nothing stale, and no stage behind it runs."""
    day.edit(LABS, "number as numeric_value", "number + 0 as numeric_value")
    assert day.states()["events"] == "event_parts.labs is stale"
    assert day.run("event_parts.labs+") == {"event_parts.labs": "sql changed"}
    assert day.fresh()


def test_build_vocab_brings_what_it_needs_up_to_date(day: Day) -> None:
    """An edited event part runs first, and what follows it, said with the reason; the dataset is then of it."""
    day.edit(LABS, "'LABS'", "'LAB'")
    notes: list[dict] = []
    said = tawt.build_vocab(day.work, dry_run=True, report=notes.append, **QUICK)
    assert [one.stage for one in said.stages][:2] == ["event_parts.labs", "events"]
    assert "event_parts.labs (sql changed)" in notes[0]["text"]
    tawt.build_vocab(day.work, **QUICK)
    codes = pq.read_table(day.work / "vocabulary" / "vocabulary.parquet")["code"].to_pylist()
    assert "LAB" in codes and "LABS" not in codes and day.fresh()


def test_build_vocab_stops_where_raw_tables_are_needed_and_are_elsewhere(day: Day, tree: Callable) -> None:
    """Where staging was edited and the raw folder is not here, nothing is built, and it is said."""
    shutil.move(day.raw, day.raw.with_name("elsewhere"))
    day.edit("sql/lab/staging/labs.sql", "doubled", "3 * doubled")
    before = tree(day.work)
    with pytest.raises(SourceError, match="expected the raw tables"):
        tawt.build_vocab(day.work, **QUICK)
    assert tree(day.work) == before
    day.edit("sql/lab/staging/labs.sql", "3 * doubled", "doubled")
    assert day.fresh() and tawt.build_vocab(day.work, **QUICK).n_run == 0


def test_what_a_killed_ingest_left_is_stale(day: Day, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that was given another parameter, or a stage to leave out, and ended before its first stage was published."""
    pipeline = str(day.project / "pipelines" / "lab.yaml")
    for setting, why in (
        ("parameters.least=5", "parameter least 2 -> 5"),
        ("off=[event_parts.labs]", "parameter off"),
    ):
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(commit, "publish", lambda *args: (_ for _ in ()).throw(KeyboardInterrupt))
            tawt.ingest(day.raw, pipeline, day.work, settings=(setting,), **QUICK)
        assert why in str(day.said()) or "is not finished" in str(day.said())
        assert any("dataset" in state for state in day.states())
        tawt.ingest(day.raw, pipeline, day.work, settings=(setting,), **QUICK)
        assert "events is newer" in str(day.said())
        day.ingest()
        tawt.build_vocab(day.work, **QUICK)
        assert day.fresh()


def test_a_dataset_alone_cannot_be_compared_and_that_is_said(day: Day) -> None:
    """On a machine that has `dataset/` and `vocabulary/` only, a training goes on, with a word."""
    alone = day.work.with_name("alone")
    for name in ("dataset", "vocabulary"):
        shutil.copytree(day.work / name, alone / name)
    notes: list[str] = []
    assert hold_fresh(alone, False, notes.append) is None and "is not known" in notes[0]
    shutil.copytree(day.work / "manifests", alone / "manifests")
    notes.clear()
    assert hold_fresh(alone, False, notes.append) is None and notes[0].startswith("the pipeline is not here")


def test_a_project_that_is_not_here_is_said(day: Day) -> None:
    """Where the workspace is and its project is not, what the stages wrote is compared, and no SQL."""
    shutil.move(day.project, day.project.with_name("elsewhere"))
    notes: list[str] = []
    assert hold_fresh(day.work, False, notes.append) is None and "project is not here" in notes[0].replace(
        str(day.project), "project"
    )


def test_words_of_sql_are_told_without_an_engine() -> None:
    """Remarks, nested ones too, blanks and the case of what stands in no quotes are left out, and nothing else."""
    assert tokens("SELECT a -- b\n, 'It''s -- A' /* x /* y */ z */ from \"T\"") == [
        "select", "a", ",", "'It''s -- A'", "from", '"T"'
    ]  # fmt: skip
    assert tokens("e'a\\'--b' || $$ -- c $$") == ["e'a\\'--b'", "|", "|", "$$ -- c $$"]
    assert tokens("1 - -2") == ["1", "-", "-", "2"] and tokens("a/b") == ["a", "/", "b"]
    assert tokens("x /* without end") == ["x"] and tokens("$least + 1") != tokens("$most + 1")


BROKEN = {
    "a stage that is half-edited": (LABS, "select (", "does not parse"),
    "a cast": (LABS, "select subject_id::bigint as subject_id, 'X' as code, _row from raw.labs", "reads `raw.labs`"),
    "an unknown macro": (LABS, "select dubled(number) as numeric_value, _row from staging.labs", "calls `dubled`"),
    "a macro": ("sql/shared/macros/doubled.sql", "create macro", "is not of the form"),
    "a contract": ("schemas/lab/labs.json", "{", "labs.json"),
}


@pytest.mark.parametrize("what", [*BROKEN, "a project that is gone"])
def test_what_is_there_can_be_looked_at_whatever_becomes_of_its_project(day: Day, what: str) -> None:
    """`stages`, `show`, `query`, `check`, `diff` and `sql` tell of what ran, with the fault; what would run it stops."""
    before, fault = tawt.query("select * from events", day.work), "is not there"
    if what in BROKEN:
        path, text, fault = BROKEN[what]
        (day.project / path).write_text(text)
    else:
        shutil.move(day.project, day.project.with_name("elsewhere"))
    notes: list[dict] = []
    states = {row["stage"]: row["state"] for row in tawt.stages(day.work, report=notes.append).to_pylist()}
    of_stage = what in BROKEN and BROKEN[what][0] == LABS
    assert fault in notes[0]["text"] and ("shown as they ran" in notes[0]["text"]) == (not of_stage)
    assert (fault in states["event_parts.labs"]) == of_stage
    assert (states["dataset"] == "finished") == (what not in BROKEN)
    assert tawt.stages(day.work)["of"].to_pylist()[0] == ("project" if what in BROKEN else "tawt")
    assert tawt.query("select * from events", day.work, report=notes.append).equals(before)
    assert tawt.diff(day.work, day.work).num_rows == 0
    assert tawt.show("staging.labs", day.work).columns["column"].to_pylist() == ["subject_id", "seen", "number"]
    assert "from staging.labs" in tawt.sql("event_parts.labs", day.work).text
    failed = [one for one in tawt.check(day.work) if not one.ok]
    assert [one.check for one in failed] == (["stages", *["project"] * (not of_stage)] if what in BROKEN else [])
    for stops in ("event_parts.labs", "+events", "dataset"):
        with pytest.raises(TawtError):
            tawt.run(stops, day.work, **QUICK)
    if what not in BROKEN:
        return
    mend = f"mend {day.project / BROKEN[what][0]}" + {"does not parse": ", line 1", "labs.json": ":1"}.get(fault, "")
    assert failed[-1].mend == mend
    with pytest.raises(StaleError, match=re.escape(fault)) as caught:
        hold_fresh(day.work, False)
    assert caught.value.hint == f"`{mend}`; `--stale-ok` takes it as it is"


LABEL = "sql/lab/labels/died.sql"
DIED = """-- One row is a subject.
select subject_id, timestamp '2021-01-05' as prediction_time, _row % 2 = 0 as boolean_value, _row,
    (case when _row > 10 then 'drop:listed_before' end)::varchar as _reason
from staging.vitals
"""


@pytest.mark.parametrize("ran", [True, False])
def test_a_half_edited_stage_stops_what_hangs_on_it_alone(day: Day, ran: bool) -> None:
    """A label that does not parse is named with its file and line by all, and all else is made, listed and asked; where
    it ran before its rows stay."""
    label = day.project / LABEL
    label.parent.mkdir()
    if ran:
        label.write_text(DIED)
        day.ingest()
        before = tawt.query("from labels.died", day.work)
    label.write_text(DIED.replace("from staging.vitals", "from (staging.vitals"))
    mend, says = f"mend {label}, line 4", "does not parse"
    day.edit(LABS, "'LABS'", "'LAB'")
    notes: list[dict] = []
    assert set(day.run("event_parts+")) >= {"event_parts.labs", "events"}
    day.ingest()
    pipeline = str(day.project / "pipelines" / "lab.yaml")
    result = tawt.ingest(day.raw, pipeline, day.work, report=notes.append, force=True, **QUICK)
    (told,) = [note["text"] for note in notes if "labels.died" in note.get("text", "")]
    assert result.n_run == 5 and mend in told and says in told and says in result.skipped["labels.died"]
    tawt.build_vocab(day.work, **QUICK)
    assert day.said() is None
    states = {row["stage"]: row["state"] for row in tawt.stages(day.work, report=notes.append).to_pylist()}
    assert states.pop("labels.died").startswith("stale: cannot run: does not" if ran else "not run: does not")
    assert set(states.values()) == {"finished"} and notes[-1] == {"event": "next", "command": mend}
    failed = [one for one in tawt.check(day.work) if not one.ok]
    assert [(one.check, one.mend) for one in failed] == [("stages", mend)] and says in failed[0].detail
    for stops in ("labels.died", "labels", "events,labels.died"):
        with pytest.raises(StageError, match=says) as caught:
            tawt.run(stops, day.work, **QUICK)
        assert caught.value.hint == mend
    assert not ran or tawt.query("from labels.died", day.work).equals(before)
    assert tawt.sql("labels.died", day.work).now == label.read_text()
    label.write_text(DIED)
    assert set(day.run("labels")) == (set() if ran else {"labels.died"}) and day.fresh()


def _fails(day: Day, patch: pytest.MonkeyPatch) -> None:
    day.edit(LABS, "from staging.labs", "from staging.labs where _row > 3")


def _publishing(error: BaseException) -> Callable[[Day, pytest.MonkeyPatch], None]:
    def stop(day: Day, patch: pytest.MonkeyPatch) -> None:
        day.edit(LABS, "'LABS'", "'LAB'")
        patch.setattr(commit, "publish", lambda *args: (_ for _ in ()).throw(error))

    return stop


STOPPED = {
    "an ingest by a stage that fails": (_fails, Day.ingest, r"`tawt ingest` did not end \(event_parts\.labs: 1 of 58"),
    "an ingest that is killed": (_publishing(KeyboardInterrupt()), Day.ingest, r"`tawt ingest` .* stopped at event_parts"),
    "an ingest on a full disk": (_publishing(OSError(errno.ENOSPC, "")), Day.ingest, r"`tawt ingest` .*its disk is full"),
    "a run by a stage that fails": (_fails, lambda day: day.run("event_parts+"), r"`tawt run` .*event_parts\.labs: 1 of 58"),
    "a vocabulary that is not built": (
        _publishing(KeyboardInterrupt()), lambda day: tawt.build_vocab(day.work, force=True, **QUICK), "`tawt build-vocab`"
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", STOPPED)
def test_what_did_not_end_is_told_by_a_check(day: Day, what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It fails, and says which command, what ended it or where it was stopped, and what does it again, which ends it."""
    stop, does, says = STOPPED[what]
    text = (day.project / LABS).read_text()
    with monkeypatch.context() as patch, pytest.raises((TawtError, KeyboardInterrupt)):
        stop(day, patch)
        does(day)
    (found,) = [one for one in tawt.check(day.work) if one.check == "last command"]
    assert not found.ok and re.search(says, found.detail), found.detail
    (day.project / LABS).write_text(text)
    assert day.run("staging.labs") == {}
    assert "last command" in {one.check for one in tawt.check(day.work)}  # another command ended, not this one
    for line in (found.mend, f"tawt build-vocab -w {day.work}"):
        done = CliRunner().invoke(app, shlex.split(line)[1:])
        assert done.exit_code == 0, done.output
    assert day.fresh() and not (day.work / "undone.json").exists()


def test_what_runs_is_what_was_planned(day: Day, monkeypatch: pytest.MonkeyPatch) -> None:
    """A macro that is edited after the plan was made changes neither what runs nor what is kept of it; it is read, as all
    that a run hangs on, once, and the edit is told then."""
    day.edit("sql/shared/macros/doubled.sql", "2 * x", "3 * x")
    start = Workspace.start

    def edited(*args: Any) -> Path:
        day.edit("sql/shared/macros/doubled.sql", "3 * x", "4 * x")
        monkeypatch.setattr(Workspace, "start", start)
        return start(*args)

    monkeypatch.setattr(Workspace, "start", edited)
    tawt.run("staging.labs", day.work, **QUICK)
    (row,) = tawt.query("select max(number) as n from staging.labs", day.work).to_pylist()
    assert row["n"] == 59 * 3 and day.states()["staging.labs"] == "macro doubled changed"


def test_an_ingest_whose_events_need_a_half_edited_stage_changes_nothing(day: Day, tree: Callable) -> None:
    """It stops before it writes, with the file and the line, as building a vocabulary of it does."""
    (day.project / LABS).write_text("-- One row.\nselect (\n")
    before = tree(day.work)
    for stops in (day.ingest, lambda: tawt.build_vocab(day.work, **QUICK), lambda: day.run("+dataset")):
        with pytest.raises(StageError, match="does not parse") as caught:
            stops()
        assert caught.value.hint == f"mend {day.project / LABS}, line 2" and tree(day.work) == before
    assert day.run("event_parts.vitals") == {} and day.run("staging+") == {}


def test_what_another_version_made_is_told_with_what_makes_it_anew(day: Day, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not stale, for whoever only reads it may go on; whoever runs a stage makes all before it anew."""
    here = {**manifest.versions(), "duckdb": "9.9.9", "polars": NOT_INSTALLED}
    for module in (manifest, fingerprint):
        monkeypatch.setattr(module, "versions", lambda: here)
    said = f"duckdb {metadata.version('duckdb')}, and 9.9.9 is here: `tawt run +dataset -w {day.work}` makes it anew"
    assert day.fresh() and [note for note in look(day.work).notes if said in note]
    assert [one for one in tawt.check(day.work) if one.check == "versions" and one.ok and said in one.detail]
    told: list[dict[str, object]] = []
    tawt.stages(day.work, report=told.append)
    assert [one for one in told if said in str(one.get("text"))] and "polars" not in str(told)
    planned = tawt.run("+dataset", day.work, dry_run=True, **QUICK).stages
    assert {one.reason for one in planned} == {"version changed"}
