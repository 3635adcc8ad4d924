"""The ledger and every relation are of the pipeline and the tables as they are now, whatever was made before."""

from __future__ import annotations

import fcntl
import importlib
import shutil
from contextlib import nullcontext, suppress
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest

import tawt
from tawt.builtin import all as built_in
from tawt.builtin.all import graph_of
from tawt.builtin.events import EVENTS
from tawt.errors import ConfigError, FileError, StageError
from tawt.pipeline.holding import hold
from tawt.pipeline.ledger import ledger_table, standing
from tawt.pipeline.stale import look
from tawt.pipeline.workspace import Workspace, open_workspace, write_records

QUICK = {"threads": 1, "memory_limit": "500MB"}


def stages_in(workspace: Path) -> set[str]:
    """Stages that the published ledger counts, which the query counts likewise."""
    published, opened = pq.read_table(workspace / "ledger.parquet"), open_workspace(workspace)
    assert published.equals(ledger_table(standing(opened, graph_of(opened))))
    assert tawt.query("select * from ledger", workspace).to_pylist() == published.to_pylist()
    return set(published["stage"].to_pylist())


def test_another_pipeline_in_the_same_workspace_does_not_add_up(hospital, own_workspace: Path) -> None:
    """After an ingest of another source only its stages are counted, can be asked and lie there; the rest is said."""
    result = tawt.ingest(hospital.workspace / "events", "meds", own_workspace, **QUICK)
    assert stages_in(own_workspace) == {
        "staging.codes", "staging.measurements", "codes.codes", "event_parts.measurements", "events"
    }  # fmt: skip
    assert any("staging.labevents" in note and "removed" in note for note in result.notes)
    with pytest.raises((StageError, ConfigError)):
        tawt.query("select * from staging.labevents", own_workspace)
    assert not any("labevents" in path.name for path in own_workspace.rglob("*"))
    # the vocabulary of the pipeline before is said to be stale, and counted no more
    states = {row["stage"]: row["state"] for row in tawt.stages(own_workspace).to_pylist()}
    assert states["vocabulary"].startswith("stale: ") and "vocabulary" not in stages_in(own_workspace)
    tawt.build_vocab(own_workspace, **QUICK)
    assert [finding for finding in tawt.check(own_workspace) if not finding.ok] == []


def test_what_a_removed_table_or_a_stage_that_is_off_left_behind_is_not_counted(
    hospital, own_workspace: Path, tmp_path: Path
) -> None:
    """An optional table that is gone, and a stage under `off:`, take their files, their ledger and their quarantine."""
    raw = Path(shutil.copytree(hospital.raw, tmp_path / "raw"))
    work = own_workspace
    assert {"staging.icustays", "event_parts.icustays", "event_parts.diagnoses"} <= stages_in(work)
    assert tawt.query("select count(*) n from quarantine where stage = 'event_parts.diagnoses'", work)["n"][0].as_py()
    (raw / "icu" / "icustays.csv.gz").unlink()
    settings = ("shards=3", "off=[event_parts.diagnoses,event_parts.lab_specimens]")
    result = tawt.ingest(raw, "demo", work, settings=settings, **QUICK)
    gone = {"staging.icustays", "event_parts.icustays", "event_parts.diagnoses"}
    assert not gone & stages_in(work) and "events" in stages_in(work)
    assert all(any(name in note for note in result.notes) for name in gone)
    assert (
        tawt.query("select count(*) n from quarantine where stage = 'event_parts.diagnoses'", work)["n"][0].as_py() == 0
    )
    tawt.build_vocab(work, **QUICK)
    assert [finding for finding in tawt.check(work) if not finding.ok] == []


def test_a_failed_command_leaves_the_ledger_of_what_stands(own_workspace: Path, monkeypatch) -> None:
    """The stages that were made before the error are counted as they are now, those that follow them not at all."""

    def fails(*_: object) -> None:
        raise StageError("events", "cannot go on, expected to")

    monkeypatch.setattr(
        built_in, "BUILT_IN", tuple(replace(EVENTS, run=fails) if one is EVENTS else one for one in built_in.BUILT_IN)
    )
    before = stages_in(own_workspace)
    assert "events" in before and "dataset" in before
    opened = open_workspace(own_workspace)
    shutil.rmtree(opened.output("staging.patients"))
    with pytest.raises(StageError, match="cannot go on"):
        tawt.run("staging.patients,events", own_workspace, force=True, **QUICK)
    assert stages_in(own_workspace) == before  # the same records: what follows still fits what was made again
    opened.manifest("staging.patients").unlink()
    with pytest.raises(StageError, match="cannot go on"):
        tawt.run("events", own_workspace, force=True, **QUICK)
    after = stages_in(own_workspace)
    assert (
        not {"staging.patients", "event_parts.patients", "events", "dataset"} & after and "staging.labevents" in after
    )


def test_what_is_refused_or_fails_at_its_first_stage_changes_nothing(hospital, own_workspace: Path, tree) -> None:
    """The pipeline and the records of the raw tables are written with the first stage that is made from them, not before."""
    before = tree(own_workspace)
    for settings in ("parameters.earliest_time=never", "parameters.earliest_time=x"):
        with pytest.raises(ConfigError, match="is no timestamp"):
            tawt.ingest(hospital.raw, "demo", own_workspace, settings=("shards=3", settings), sample="50%", **QUICK)
        assert tree(own_workspace) == before
    (own_workspace / "manifests" / "events.json").unlink()
    before = tree(own_workspace)
    with pytest.raises(StageError, match="needs events"):
        tawt.run("vocabulary", own_workspace, **QUICK)
    assert tree(own_workspace) == before


LOOKS = {
    "query": lambda work: tawt.query("select * from ledger", work),
    "show": lambda work: tawt.show("events", work),
    "quarantined": lambda work: tawt.quarantined("staging.labevents", work),
    "dropped": lambda work: tawt.dropped("events", work),
    "attempt": lambda work: tawt.attempt("event_parts.labs", work),
    "lineage": lambda work: tawt.lineage("events", work),
}


@pytest.mark.parametrize("name", LOOKS)
@pytest.mark.parametrize("lock", [True, False])
def test_nothing_that_is_shown_is_of_two_states(own_workspace: Path, name: str, lock: bool, monkeypatch) -> None:
    """While a workspace is read no command changes it, nor is it read while one does; in a copy that has no lock yet, what
    was shown is held to what is there afterwards."""
    if not lock:
        (own_workspace / ".lock").unlink()
    tried: list[str] = []
    real = importlib.import_module("tawt.pipeline.workspace").open_workspace

    def beside(root: Path) -> Workspace:
        opened = real(root)
        if not tried:
            tried.append("began")
            with suppress(ConfigError):
                tawt.run("dataset", root, force=True, **QUICK)
                tried.append("ended")
        return opened

    for module in ("commands.query", "builtin.all"):
        monkeypatch.setattr(f"tawt.{module}.open_workspace", beside)
    with nullcontext() if lock else pytest.raises(ConfigError, match="is in use by another tawt command"):
        LOOKS[name](own_workspace)
    assert tried == ["began"] if lock else ["began", "ended"]
    with hold(own_workspace):
        LOOKS[name](own_workspace)
    with (own_workspace / ".lock").open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(ConfigError, match="is in use by another tawt command"):
            LOOKS[name](own_workspace)


READS = {
    "select * from triplets": True,
    "select * from TRIPLETS": True,
    'select 1 from "triplets" t': True,
    "select 'triplets' as what from events": False,
    "select code from events -- not triplets": False,
    "with triplets as (select 1 as one) select * from triplets": False,
    "explain select (select count(*) from triplets)": True,
}


def test_what_a_query_reads_is_told_by_what_it_names(own_workspace: Path) -> None:
    """That a relation is behind is said where the query reads it, however it is written, and nowhere else."""
    write_records(open_workspace(own_workspace, ("clock=available_time",)))
    for text, reads in READS.items():
        notes: list[dict] = []
        tawt.query(text, own_workspace, report=notes.append)
        assert [note["text"].partition(" ")[0] for note in notes] == ["triplets"] * reads, text


def test_a_file_that_is_lost_ends_a_query_with_the_command_that_names_it(own_workspace: Path, monkeypatch) -> None:
    """What the engine cannot open is a damaged file of the workspace, whenever it is found: no raw file is to be copied."""
    bound = importlib.import_module("tawt.pipeline.relations").bind_output

    def lost(connection: object, one: object) -> None:
        shutil.rmtree(own_workspace / "triplets", ignore_errors=True)
        bound(connection, one)

    monkeypatch.setattr("tawt.commands.query.bind_output", lost)
    with pytest.raises((FileError, StageError)) as caught:
        tawt.query("select * from triplets", own_workspace)
    assert "tawt check" in caught.value.hint or "tawt stages" in caught.value.hint


def test_a_relation_that_is_behind_can_be_asked_and_is_said_to_be(hospital, own_workspace: Path) -> None:
    """After an upstream stage changed, a query of what follows still answers, and the command to run is named; a training
    is told the same from what the stages wrote."""
    assert look(own_workspace).why is None
    tawt.ingest(hospital.raw, "demo", own_workspace, settings=("shards=3", "splits.seed=8"), **QUICK)
    assert "events is newer" in str(look(own_workspace).why)
    notes: list[dict] = []
    assert len(tawt.query("select * from triplets", own_workspace, report=notes.append)) > 0
    (note,) = notes
    assert note["event"] == "note" and note["text"].startswith(
        "triplets is stale: events is newer, vocabulary is stale: `tawt run "
    )
    assert len(tawt.query("select * from events", own_workspace, report=notes.append)) > 0 and notes == [note]
    assert "events is newer" in tawt.show("triplets", own_workspace).reason_last_run


def test_a_setting_of_an_earlier_stage_is_refused_where_it_would_only_be_kept(own_workspace: Path) -> None:
    """`build-vocab --set splits.seed` would leave events of the old seed: nothing is written, and ingest is named."""
    before = (own_workspace / "pipeline.yaml").read_bytes()
    with pytest.raises(ConfigError, match=r"events is made from .*splits.*expected settings of vocabulary") as error:
        tawt.build_vocab(own_workspace, settings=("splits.seed=7",), **QUICK)
    assert "tawt ingest" in error.value.hint and (own_workspace / "pipeline.yaml").read_bytes() == before
    assert tawt.build_vocab(own_workspace, settings=("vocabulary.n_bins=4",), **QUICK).n_run == 3


def test_a_stage_whose_own_settings_changed_is_behind_them(own_workspace: Path) -> None:
    """Events of another seed than the pipeline says now do not stand, nor what follows; check and stages say so."""
    write_records(open_workspace(own_workspace, ("splits.seed=7",)))
    states = {row["stage"]: row["state"] for row in tawt.stages(own_workspace).to_pylist()}
    assert states["events"] == "stale: parameter splits.seed 0 -> 7" and states["dataset"].startswith("stale: ")
    earlier = {name: state for name, state in states.items() if name.startswith(("staging.", "event_parts."))}
    assert set(earlier.values()) <= {"finished", "skipped: off in the pipeline"}
    said = next(finding for finding in tawt.check(own_workspace) if finding.check == "stages")
    assert not said.ok and "events is stale: parameter splits.seed 0 -> 7" in said.detail
    assert tawt.run("events", own_workspace, dry_run=True, **QUICK).stages[0].reason.startswith("parameter splits")
