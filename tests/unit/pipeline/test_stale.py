"""The data engineer's day: what is older than what it was made from is said by every command, with what to run."""

from __future__ import annotations

import shutil
from collections.abc import Callable

import pyarrow.parquet as pq
import pytest

import tawt
from tawt.errors import SourceError, StaleError
from tawt.files import write_sealed
from tawt.pipeline import commit
from tawt.pipeline.manifest import read_manifest
from tawt.pipeline.stale import hold_fresh
from tawt.pipeline.told import tokens
from tawt.pipeline.workspace import open_workspace
from tests.unit.days import LABS, PART, QUICK, Day


def test_an_edited_stage_that_runs_alone_leaves_nothing_stale_without_a_word(day: Day) -> None:
    """After `run X` each later command names what is newer, and `X+`, which is what comes next, mends it."""
    assert day.fresh()
    day.edit(LABS, "'LABS'", "'LAB'")
    assert day.states()["event_parts.labs"] == "sql changed"
    assert day.said() == f"event_parts.labs ({LABS} was edited)"
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
    with pytest.raises(StaleError, match=r"dataset: is stale: event_parts.labs \(.*labs.sql was edited") as caught:
        hold_fresh(day.work, False)
    assert f"`tawt run event_parts.labs+ -w {day.work}`" in caught.value.hint and "--stale-ok" in caught.value.hint
    notes: list[str] = []
    assert hold_fresh(day.work, True, notes.append) == day.said() and "taken as it is" in notes[0]


def test_a_pipeline_that_is_edited_after_the_ingest_is_told(day: Day) -> None:
    """The workspace follows its own copy of the pipeline: each command says so, and the ingest that takes it over."""
    day.edit("pipelines/lab.yaml", "least: 2", "least: 3")
    day.edit("pipelines/lab.yaml", "name: lab", "name: lab  # a remark")
    result = tawt.run("event_parts.labs", day.work, **QUICK)
    assert len(result.notes) == 1 and "was edited since the ingest (parameters)" in result.notes[0]
    notes: list[str] = []
    assert hold_fresh(day.work, False, notes.append) is None and notes == list(result.notes)
    failed = {finding.check: finding.detail for finding in tawt.check(day.work) if not finding.ok}
    assert failed == {"stages": result.notes[0]}
    day.ingest()
    assert tawt.run("event_parts.labs", day.work, **QUICK).notes == ()


EDITS = {
    "a macro": ("sql/shared/macros/doubled.sql", "2 * x", "3 * x", "staging.labs", "macro doubled changed"),
    "a contract": ("schemas/lab/staging/labs.json", '"nullable": false', '"nullable": true', "staging.labs",
                   "contract changed"),
    "a raw contract": ("schemas/lab/labs.json", '"paths": ["labs"]', '"paths": ["labs", "other"]', "staging.labs",
                       "contract of raw.labs changed"),
    "staging": ("sql/lab/staging/labs.sql", "doubled", "3 * doubled", "staging.labs", "sql changed"),
}  # fmt: skip


@pytest.mark.parametrize("what", EDITS)
def test_each_edit_is_named_and_undone(day: Day, what: str) -> None:
    """What was edited makes its stage stale and all that follows; put back as it was, nothing is."""
    path, old, new, stage, why = EDITS[what]
    day.edit(path, old, new)
    assert day.states()[stage] == why and "dataset" in day.states()
    assert f"{path.removesuffix('.json')}" in str(day.said()) and "was edited" in str(day.said())
    day.edit(path, new, old)
    assert day.fresh()


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
}


@pytest.mark.parametrize("what", SAME)
def test_what_says_the_same_makes_nothing_stale(day: Day, what: str) -> None:
    """A remark, a description, the case of keywords and blanks change no fingerprint, also for whoever has no engine."""
    path, old, new = SAME[what]
    day.edit(path, old, new)
    assert day.fresh() and day.run("staging+") == {}


def test_what_is_set_otherwise_is_learned_by_the_next_data_command(day: Day) -> None:
    """`!=` for `<>` means the same to the engine; a training takes it for an edit until any data command has looked."""
    day.edit(LABS, "from staging.labs", "from staging.labs where number <> 7")
    day.run("event_parts.labs+")
    day.edit(LABS, "<>", "!=")
    assert day.states() == {} and "labs.sql was edited" in str(day.said())
    assert day.run("event_parts.vitals") == {} and day.fresh()


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


def test_a_stage_that_comes_or_goes_makes_events_stale(day: Day) -> None:
    """A new event part, and one that is taken out, are seen without a run, by whoever trains too."""
    more = day.project / "sql/lab/event_parts/more.sql"
    more.write_text(PART.format(name="labs", code="MORE"))
    assert day.states()["events"] == "event_parts.more is new" and "has other stages" in str(day.said())
    more.unlink()
    assert day.fresh()
    (day.project / LABS).unlink()
    assert day.states()["events"] == "event_parts.labs is gone" and "labs.sql was edited" in str(day.said())


def test_what_a_killed_ingest_left_is_stale(day: Day, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that was given another parameter, or a stage to leave out, and ended before its first stage was published."""
    pipeline = str(day.project / "pipelines" / "lab.yaml")
    for setting, why in (
        ("parameters.least=5", "`parameters.least` of the pipeline"),
        ("off=[event_parts.labs]", "`off`"),
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


def test_a_workspace_of_another_version_has_one_clear_reason(day: Day) -> None:
    """Manifests of another form are stale for that alone; what reads them does not end in a crash, and a run mends it."""
    opened = open_workspace(day.work)
    for path in (day.work / "manifests").glob("*.json"):
        manifest = read_manifest(opened, path.stem)
        assert manifest is not None
        said = manifest.model_dump(mode="json")
        said["components"] = {
            "sql": "0", "contract": "0", "parameters": {}, "inputs": dict.fromkeys(said["components"]["inputs"], "0"),
            "versions": {"tawt": "0"},
        }  # fmt: skip
        said |= {"fingerprint": "0", "facts": {"files": ["a.csv"], "file_starts": [1]}, "places": ["a.csv"]}
        del said["told"]
        write_sealed(path, said)
    assert set(day.states().values()) == {"made by another version of tawt"}
    assert "another version" in str(day.said())
    assert set(day.run("+dataset").values()) == {"version changed"}
    assert day.fresh()


def test_words_of_sql_are_told_without_an_engine() -> None:
    """Remarks, nested ones too, blanks and the case of what stands in no quotes are left out, and nothing else."""
    assert tokens("SELECT a -- b\n, 'It''s -- A' /* x /* y */ z */ from \"T\"") == [
        "select", "a", ",", "'It''s -- A'", "from", '"T"'
    ]  # fmt: skip
    assert tokens("e'a\\'--b' || $$ -- c $$") == ["e'a\\'--b'", "|", "|", "$$ -- c $$"]
    assert tokens("1 - -2") == ["1", "-", "-", "2"] and tokens("a/b") == ["a", "/", "b"]
    assert tokens("x /* without end") == ["x"] and tokens("$least + 1") != tokens("$most + 1")
