"""With `keep: last` staging, event parts and triplets do not stay: what is made of them is the same, and says so."""

from __future__ import annotations

import shutil
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

import tawt
from tawt.builtin.all import all_stages
from tawt.commands.audit_read import behind_events, bound_events
from tawt.database.limits import Limits
from tawt.errors import SourceError, StageError
from tawt.pipeline import letting_go
from tawt.pipeline.foretold import Forecast
from tawt.pipeline.manifest import Manifest, read_manifest
from tawt.pipeline.plan import input_of, make_plan
from tawt.pipeline.workspace import open_workspace
from tests.unit.clinic import write
from tests.unit.conftest import Hospital
from tests.unit.pipeline.test_parts import ended, start
from tests.unit.pipeline.test_stability import hashes, reasons

QUICK = {"threads": 1, "memory_limit": "500MB"}
LAST = ("shards=3", "keep=last")
LAYERS = ("staging", "event_parts", "triplets")


def there(workspace: Path) -> set[str]:
    """The stages of the three layers whose files are there."""
    files = (path for layer in LAYERS for path in (workspace / layer).rglob("*.parquet"))
    return {
        ".".join(path.relative_to(workspace).parts[: 1 if path.is_relative_to(workspace / "triplets") else 2])
        for path in files
    }


def kept(workspace: Path) -> dict[str, str]:
    """File -> hash of all that is promised and stays."""
    return {name: sha256 for name, sha256 in hashes(workspace).items() if not name.startswith("triplets/")}


def manifest_of(workspace: Path, stage: str) -> Manifest:
    """What a finished stage says of itself."""
    manifest = read_manifest(open_workspace(workspace), stage)
    assert manifest is not None, stage
    return manifest


def wrong(workspace: Path) -> list[str]:
    """What `check` finds."""
    return [f"{finding.check}: {finding.detail}" for finding in tawt.check(workspace) if not finding.ok]


@pytest.fixture
def light(hospital: Hospital, own_workspace: Path) -> Path:
    """The hospital's workspace, which the next ingest was told to keep the last of."""
    result = tawt.ingest(hospital.raw, "demo", own_workspace, settings=LAST, **QUICK)
    assert reasons(result) == {} and any("let go" in note for note in result.notes)
    return own_workspace


def test_what_is_made_is_the_same_and_the_rest_does_not_stay(hospital: Hospital, tmp_path: Path) -> None:
    """From the start: the bytes of events, vocabulary, dataset, quarantine and ledger are those of `keep: all`, nothing is wrong, and
    the same commands again make nothing."""
    work = tmp_path / "w"
    for _ in range(2):
        made = tawt.ingest(hospital.raw, "demo", work, settings=LAST, **QUICK), tawt.build_vocab(work, **QUICK)
        assert there(work) == set() and kept(work) == kept(hospital.workspace) and wrong(work) == []
    assert [reasons(result) for result in made] == [{}, {}]
    states = {row["stage"]: row["state"] for row in tawt.stages(work).to_pylist()}
    assert {name for name, state in states.items() if state == "let go"} == there(hospital.workspace)


def test_what_is_there_is_let_go_and_going_back_makes_nothing(hospital: Hospital, light: Path) -> None:
    """A workspace of `all` that is told `last` lets go at its next command; told `all` again, it makes nothing by itself."""
    assert there(light) == set() and wrong(light) == []
    result = tawt.ingest(hospital.raw, "demo", light, settings=("shards=3", "keep=all"), **QUICK)
    assert reasons(result) == {} and there(light) == set() and wrong(light) == []


def test_a_stage_that_is_named_is_made_and_stays(hospital: Hospital, light: Path) -> None:
    """What it reads is let go again; another `run` leaves it, and the next ingest does not."""
    assert reasons(tawt.run("event_parts.labs", light, **QUICK)) == {
        "staging.labevents": "let go, and event_parts.labs reads it",
        "event_parts.labs": "let go, and asked for by name",
    }
    assert reasons(tawt.run("staging.patients", light, **QUICK)) == {
        "staging.patients": "let go, and asked for by name"
    }
    assert there(light) == {"event_parts.labs", "staging.patients"} and wrong(light) == []
    assert reasons(tawt.run("staging.patients,event_parts.labs", light, **QUICK)) == {}
    assert reasons(tawt.ingest(hospital.raw, "demo", light, settings=LAST, **QUICK)) == {}
    assert there(light) == set() and wrong(light) == []


def test_a_stage_that_runs_brings_what_it_reads_and_no_more(light: Path) -> None:
    """One of codes needs one staged table; the dataset needs triplets, for which all that they need stays."""
    assert reasons(tawt.run("codes.labs", light, force=True, **QUICK)) == {
        "staging.d_labitems": "let go, and codes.labs reads it",
        "codes.labs": "forced",
    }
    assert reasons(tawt.run("dataset", light, force=True, **QUICK)) == {
        "triplets": "let go, and dataset reads it",
        "dataset": "forced",
    }
    assert there(light) == set() and wrong(light) == []


def test_another_split_makes_events_anew_of_what_was_let_go(hospital: Hospital, light: Path, tmp_path: Path) -> None:
    """Staging and event parts come back of the same bytes, so that what else is made of them does not run."""
    ran = reasons(tawt.ingest(hospital.raw, "demo", light, settings=(*LAST, "splits.seed=5"), **QUICK))
    assert {name.split(".")[0] for name in ran} == {"staging", "event_parts", "events"}
    assert ran["staging.labevents"] == "let go, and event_parts.labs reads it"
    assert "staging.d_labitems" not in ran and "codes.labs" not in ran
    shutil.copytree(hospital.workspace, tmp_path / "all")
    tawt.ingest(hospital.raw, "demo", tmp_path / "all", settings=("shards=3", "splits.seed=5"), **QUICK)
    for work in (light, tmp_path / "all"):
        tawt.build_vocab(work, **QUICK)
    of_both = [
        {name: one for name, one in kept(work).items() if "quarantine" not in name}
        for work in (light, tmp_path / "all")
    ]
    assert of_both[0] == of_both[1] and there(light) == set() and wrong(light) == []


def test_an_edit_of_a_stage_makes_again_what_it_reads(clinic: Path, raw: Path, tmp_path: Path) -> None:
    """Its SQL is another: its table is staged again, and what follows of it is made."""
    work, sql = tmp_path / "w", clinic / "sql" / "clinic" / "event_parts" / "readings.sql"
    tawt.ingest(raw, str(clinic / "pipelines" / "clinic.yaml"), work, settings=("keep=last",), **QUICK)
    write(clinic, {"sql/clinic/event_parts/readings.sql": sql.read_text("utf-8").replace("'GLUCOSE'", "'SUGAR'")})
    ran = reasons(tawt.run("event_parts.readings+", work, **QUICK))
    assert ran["staging.readings"] == "let go, and event_parts.readings reads it"
    assert ran["event_parts.readings"].startswith("sql changed") and ran["events"].startswith("input changed")
    assert tawt.query("select distinct code from events", work)["code"].to_pylist() == ["SUGAR"]
    assert there(work) == {"event_parts.readings"}, "it was named"


def test_a_stage_that_is_not_made_keeps_what_it_reads(clinic: Path, raw: Path, tmp_path: Path) -> None:
    """Labels that are refused, as no event is behind them, read staging: it stays until they are made."""
    labels = (
        "-- One row is a label.\nselect patient + 1000 as subject_id, seen as prediction_time, true as boolean_value, _row\n"
        "from staging.readings\n"
    )
    write(clinic, {"sql/clinic/labels/late.sql": labels})
    work = tmp_path / "w"
    result = tawt.ingest(raw, str(clinic / "pipelines" / "clinic.yaml"), work, settings=("keep=last",), **QUICK)
    assert any("labels.late is not written" in note for note in result.notes), result.notes
    assert there(work) == {"staging.readings"}


def test_what_was_let_go_is_not_read_as_if_it_were_empty(light: Path) -> None:
    """Whoever wants its rows is told that they are not there, and what makes them."""
    with pytest.raises(StageError, match=r"event_parts\.labs`, which was let go \(`keep: last`\)") as told:
        tawt.query("select count(*) from event_parts.labs", light)
    assert "tawt run +event_parts.labs" in told.value.hint
    for look in (
        lambda: tawt.diff(light, stage="staging.labevents"),
        lambda: tawt.query("codes.labs", light, cte="numbered"),
    ):
        with pytest.raises(StageError, match="was let go") as told:
            look()
        assert "tawt run" in told.value.hint
    assert manifest_of(light, "triplets").n_rows > 0
    with pytest.raises(StageError, match="was let go"):
        input_of(light, manifest_of(light, "triplets"))
    view = tawt.show("staging.labevents", light)
    assert "let go (`keep: last`): `tawt run staging.labevents" in view.reason_last_run and view.ledger.num_rows


def test_an_audit_does_not_judge_by_the_records_that_stayed(light: Path) -> None:
    """Of one staged table that is here nothing follows for events of all: their records count as not looked at, which is told."""
    tawt.run("staging.labevents", light, **QUICK)
    said: list[str] = []
    with closing(bound_events(open_workspace(light), Limits.of(1))) as connection:
        assert behind_events(open_workspace(light), connection, said.append) == []
        tawt.run("staging", light, **QUICK)
        assert "`tawt run staging -w" in said.pop() and said == []
        assert len(behind_events(open_workspace(light), connection, said.append)) > 4 and said == []


def test_who_is_forgotten_is_in_no_file(hospital: Hospital, light: Path, own_workspace: Path, tmp_path: Path) -> None:
    """The raw tables are staged without them, and what follows is what it would be with all that was kept."""
    shutil.copytree(hospital.workspace, tmp_path / "all")
    subject = hospital.events()["subject_id"][0].as_py()
    found = tawt.forget([subject], workspace=light, **QUICK)
    assert found.n_there == 1 and wrong(light) == [] and there(light) == set()
    tawt.forget([subject], workspace=tmp_path / "all", **QUICK)
    assert kept(light) == kept(tmp_path / "all")
    assert reasons(tawt.ingest(hospital.raw, "demo", light, settings=LAST, **QUICK)) == {}


def test_without_raw_tables_nobody_is_forgotten_by_half(hospital: Hospital, light: Path) -> None:
    """Staging cannot be made again: that is told before anything is written."""
    raw = light.parent / "raw"
    shutil.copytree(hospital.raw, raw)
    tawt.ingest(raw, "demo", light, settings=LAST, **QUICK)
    shutil.rmtree(raw)
    before = hashes(light)
    with pytest.raises(SourceError, match=r"staging\.\w+ was let go \(`keep: last`\)"):
        tawt.forget([hospital.events()["subject_id"][0].as_py()], workspace=light, **QUICK)
    assert hashes(light) == before and not (light / "opted_out.json").exists()


def test_a_removal_that_is_killed_is_ended_by_the_next_command(
    hospital: Hospital, own_workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The manifest says so before the first file goes: what is left of it is nobody's, and the next command removes it."""

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(letting_go, "remove_listed", killed)
        tawt.ingest(hospital.raw, "demo", own_workspace, settings=LAST, **QUICK)
    assert wrong(own_workspace) == [] and len(there(own_workspace)) > 10
    assert reasons(tawt.run("events", own_workspace, **QUICK)) == {}
    assert len(list((own_workspace / "manifests").glob(".*"))) == 0
    assert reasons(tawt.ingest(hospital.raw, "demo", own_workspace, settings=LAST, **QUICK)) == {}
    assert there(own_workspace) == set() and wrong(own_workspace) == []


def test_parts_of_a_run_let_go_when_all_is_made(hospital: Hospital, tmp_path: Path) -> None:
    """Two processes give the bytes of one, and bring back together what another split needs."""
    work = tmp_path / "w"
    for settings in (LAST, (*LAST, "splits.seed=5")):
        tawt.ingest(hospital.raw, "demo", work, settings=settings, prepare=True, **QUICK)
        assert ended(start(work, "1/2"), start(work, "2/2")) == [0, 0]
        assert there(work) == set() and wrong(work) == []
        if settings == LAST:
            assert kept(work) == kept(hospital.workspace)


def test_a_part_makes_nothing_that_the_others_do_not_know_of(light: Path) -> None:
    """A stage of another selection, whose table was let go, ends with what makes that first."""
    opened = open_workspace(light)
    with pytest.raises(StageError, match=r"staging\.d_labitems: was let go .*, and codes\.labs reads it") as told:
        make_plan(opened, all_stages(opened), "codes.labs", limits=Limits.of(1), force=True, alone=False)
    assert "tawt run staging.d_labitems" in told.value.hint


def test_a_store_holds_what_stays(hospital: Hospital, light: Path, tmp_path: Path) -> None:
    """A workspace in a store lets go there, pushed over one that kept all it does too, and a pull brings what there is."""
    url = f"file://{tmp_path / 'store'}"
    tawt.ingest(hospital.raw, "demo", tmp_path / "w", settings=LAST, store=url, **QUICK)
    tawt.build_vocab(tmp_path / "w", store=url, **QUICK)
    assert there(tmp_path / "store") == set()
    left = tmp_path / "store" / "staging" / "patients" / "part-00000-0.parquet"
    assert left.relative_to(tmp_path / "store").as_posix() in manifest_of(tmp_path / "w", "staging.patients").let_go
    left.parent.mkdir(parents=True, exist_ok=True)
    left.write_bytes(b"of a command that was killed")
    assert reasons(tawt.run("+dataset", tmp_path / "w", store=url, **QUICK)) == {} and not left.exists()
    tawt.pull(url, tmp_path / "pulled", raw=hospital.raw)
    assert kept(tmp_path / "pulled") == kept(hospital.workspace) and wrong(tmp_path / "pulled") == []
    assert reasons(tawt.run("codes.labs", tmp_path / "other", store=url, raw=hospital.raw, force=True, **QUICK)) == {
        "staging.d_labitems": "let go, and codes.labs reads it",
        "codes.labs": "forced",
    }
    assert there(tmp_path / "store") == set()


def test_a_push_lets_go_of_what_was_let_go(hospital: Hospital, own_workspace: Path, tmp_path: Path) -> None:
    """The store had all of it."""
    url = f"file://{tmp_path / 'store'}"
    tawt.push(url, own_workspace)
    assert len(there(tmp_path / "store")) > 10
    tawt.ingest(hospital.raw, "demo", own_workspace, settings=LAST, **QUICK)
    tawt.push(url, own_workspace)
    assert there(tmp_path / "store") == set()
    tawt.pull(url, tmp_path / "pulled", raw=hospital.raw)
    assert kept(tmp_path / "pulled") == kept(hospital.workspace) and wrong(tmp_path / "pulled") == []


def test_what_is_whole_elsewhere_is_brought_to_where_it_was_let_go(hospital: Hospital) -> None:
    """And not the other way about: who has the files of what was let go elsewhere lacks nothing."""
    whole = read_manifest(open_workspace(hospital.workspace), "triplets")
    assert whole is not None
    gone = letting_go.without_files(whole)
    assert letting_go.lacks(gone, whole) and not letting_go.lacks(whole, gone) and not letting_go.lacks(gone, gone)


def test_less_room_is_foretold(hospital: Hospital, light: Path) -> None:
    """What is let go on the way is not held to be there in the end."""
    opened, names = open_workspace(light), ("staging", "event_parts", "events", "vocabulary", "triplets", "dataset")
    _, plan = make_plan(opened, all_stages(opened), names, limits=Limits.of(1), force=True)
    all_kept = Forecast(replace(plan, passing=frozenset()), opened).most()
    assert 0.5 * all_kept < Forecast(plan, opened).most() < 0.9 * all_kept
