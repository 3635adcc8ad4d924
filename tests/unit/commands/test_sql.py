"""`tawt sql`: the text that ran, what has changed since, and the file to edit."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

import tawt
from tawt.cli.app import app
from tawt.errors import ConfigError, StageError
from tawt.pipeline.run import RunResult
from tawt.project import asset
from tests.unit.clinic import write


def test_what_ran_is_kept_and_told_from_what_would_run_now(
    ingested: Callable[..., RunResult], clinic: Path, tmp_path: Path
) -> None:
    """An edit shows as a diff against the text that made the output, until it has run itself."""
    ingested()
    stage = clinic / "sql" / "clinic" / "staging" / "readings.sql"
    ran = stage.read_text(encoding="utf-8")
    before = tawt.sql("staging.readings", tmp_path / "w")
    assert (before.text, before.now, before.ran, before.changes) == (ran, ran, True, {})
    stage.write_text(ran.replace("number(glucose)", "number(glucose) * 18"), encoding="utf-8")
    edited = tawt.sql("staging.readings", tmp_path / "w")
    assert edited.text == ran and edited.state == f"as it ran; changed since: {stage}"
    changed = [
        line for line in edited.changes[str(stage)].splitlines() if line[0] in "+-" and line[:3] not in ("+++", "---")
    ]
    assert (
        [line[0] for line in changed] == ["-", "+"]
        and "* 18" in changed[1]
        and f"+++ {stage}" in edited.changes[str(stage)]
    )
    tawt.run("staging.readings", tmp_path / "w", threads=1)
    assert tawt.sql("staging.readings", tmp_path / "w").changes == {}
    manifest = tmp_path / "w" / "manifests" / "staging.readings.json"
    manifest.write_text(manifest.read_text(encoding="utf-8").replace("* 18", "* 81"), encoding="utf-8")
    damaged = "is damaged (manifests/staging.readings.json)"
    assert tawt.sql("staging.readings", tmp_path / "w").state == f"{stage}; its output {damaged}"
    with pytest.raises(StageError, match=re.escape(f"which {damaged}")) as caught:
        tawt.query("select * from staging.readings", tmp_path / "w")
    assert caught.value.hint == f"`tawt run +staging.readings -w {tmp_path / 'w'}`"


def test_a_macro_that_a_stage_hangs_on_is_kept_with_it(
    ingested: Callable[..., RunResult], clinic: Path, tmp_path: Path
) -> None:
    """The text of a select means what its macros mean: one that is another now is told, and shown in the diff."""
    stage, macro = "sql/clinic/staging/readings.sql", "sql/shared/macros/mild.sql"
    text = (clinic / stage).read_text(encoding="utf-8").replace("number(glucose)", "mild(glucose)")
    write(clinic, {stage: text, macro: "-- A reading.\ncreate macro mild(cell) as number(cell)\n"})
    ingested()
    assert tawt.sql("staging.readings", tmp_path / "w").changes == {}
    write(clinic, {macro: "-- A reading.\ncreate macro mild(cell) as number(cell) / 2\n"})
    found = tawt.sql("staging.readings", tmp_path / "w")
    assert found.state == "as it ran; changed since: macro mild"
    assert "mild.sql" in found.changes["macro mild"] and "+create macro mild" in found.changes["macro mild"]
    assert "staging.readings" in [
        one.stage for one in tawt.run("staging.readings", tmp_path / "w").stages if one.reason
    ]


def test_a_stage_that_never_ran_shows_what_would(clinic: Path) -> None:
    """By a pipeline there is no output, and nothing to have changed since."""
    found = tawt.sql("staging.readings", pipeline=str(clinic / "pipelines" / "clinic.yaml"))
    assert not found.ran and found.text == found.now and found.changes == {} and found.state == found.place


def test_the_diff_is_printed_alone(ingested: Callable[..., RunResult], clinic: Path, tmp_path: Path, tawt) -> None:
    """`--diff` gives what `patch` reads on the standard output, and nothing where nothing changed."""
    ingested()
    assert tawt("sql", "staging.readings", "-w", tmp_path / "w", "--diff").out == ""
    with (clinic / "sql" / "clinic" / "staging" / "readings.sql").open("a") as file:
        file.write("-- the end\n")
    ended = tawt("sql", "staging.readings", "-w", tmp_path / "w", "--diff")
    assert ended.code == 0 and ended.out.startswith("--- as it ran\n+++ ") and ended.out.endswith("+-- the end\n")


def test_a_stage_is_written_into_the_project_to_be_edited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file holds what ran all along, is the project's from then on, and is never written over."""
    (tmp_path / "sql").mkdir()
    monkeypatch.chdir(tmp_path)
    path = tawt.write_sql("event_parts.labs", pipeline="mimic_iv")
    assert path == tmp_path / "sql/mimic_iv/event_parts/labs.sql"
    assert path.read_text(encoding="utf-8") == asset("sql/mimic_iv/event_parts/labs.sql").read_text(encoding="utf-8")
    of = {row["stage"]: row["of"] for row in tawt.stages(pipeline="mimic_iv").to_pylist()}
    assert [stage for stage in of if of[stage] == "project"] == ["event_parts.labs"]
    with pytest.raises(ConfigError, match=r"labs\.sql: is there already"):
        tawt.write_sql("event_parts.labs", pipeline="mimic_iv")


def test_the_select_that_follows_from_a_table_is_written_and_edited(
    ingested: Callable[..., RunResult], clinic: Path, tmp_path: Path
) -> None:
    """A declared stage becomes a file of the same meaning, which runs instead, held to the same contract."""
    for path in (
        "sql/clinic/staging/readings.sql",
        "schemas/clinic/staging/readings.json",
        "schemas/clinic/readings.json",
    ):
        (clinic / path).unlink()
    table = "description: One row is one reading.\nkey: [patient, seen]\ncolumns: {patient: int64, seen: timestamp, glucose: float64}\n"
    write(clinic, {"schemas/clinic/readings.yaml": table})
    ingested()
    declared = tawt.sql("staging.readings", tmp_path / "w")
    write(clinic, {"schemas/clinic/readings.yaml": table.replace("One row is", "A row is")})
    assert tawt.sql("staging.readings", tmp_path / "w").changes == {}
    write(clinic, {"schemas/clinic/readings.yaml": table})
    path = tawt.write_sql("staging.readings", tmp_path / "w")
    assert path == clinic / "sql/clinic/staging/readings.sql" and declared.place.endswith("readings.yaml")
    text = path.read_text(encoding="utf-8")
    assert "-- made from schemas/clinic/readings.yaml, and edited here since\n" in text and "--write" not in text
    path.write_text(text.replace("number(glucose)", "number(glucose) * 18"), encoding="utf-8")
    tawt.run("staging.readings+", tmp_path / "w", threads=1)
    values = tawt.query("select numeric_value v from events order by v", tmp_path / "w")["v"].to_pylist()
    assert values == [5 * 18, 6 * 18]


def test_without_a_project_it_is_said_how_to_make_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """For a pipeline a folder is enough; for a workspace its pipeline is copied, and ingested again from there."""
    (tmp_path / "home").mkdir()
    monkeypatch.chdir(tmp_path / "home")
    with pytest.raises(ConfigError, match="nothing to look in") as error:
        tawt.write_sql("event_parts.measurements")
    assert "`tawt sql event_parts.measurements --pipeline demo --write`" in error.value.hint
    with pytest.raises(ConfigError, match="has no project to write in") as error:
        tawt.write_sql("event_parts.measurements", pipeline="meds")
    assert "`mkdir sql`" in error.value.hint
    raw = write(tmp_path / "meds", {"data/0.csv": "subject_id,time,code,numeric_value\n1,2020-01-01 00:00:00,A,1\n"})
    tawt.ingest(raw, "meds", tmp_path / "w", threads=1)
    with pytest.raises(ConfigError, match="has no project to write in") as error:
        tawt.write_sql("event_parts.measurements", tmp_path / "w")
    copied = f"cp {tmp_path}/w/pipeline.yaml pipelines/meds.yaml"
    assert f"`mkdir pipelines && {copied} && tawt ingest {raw} -w {tmp_path}/w --pipeline meds`" in error.value.hint
    write(Path(), {"pipelines/meds.yaml": (tmp_path / "w" / "pipeline.yaml").read_text(encoding="utf-8")})
    assert tawt.ingest(raw, "meds", tmp_path / "w", threads=1).n_run == 0
    path = tawt.write_sql("event_parts.measurements", tmp_path / "w")
    assert (
        path == tmp_path / "home/sql/meds/event_parts/measurements.sql"
        and tawt.run("+events", tmp_path / "w").n_run == 0
    )


def test_all_that_runs_can_be_printed(clinic: Path) -> None:
    """`--held` wraps the select so that its contract holds; what follows from other columns is written out."""
    ran = CliRunner().invoke(
        app, ["sql", "event_parts.readings", "-p", str(clinic / "pipelines/clinic.yaml"), "--held"]
    )
    assert ran.exit_code == 0, ran.output
    assert "time::timestamp as available_time" in ran.stdout and "null::varchar as _reason" in ran.stdout
    assert "then 'numeric'" in ran.stdout and "from staging.readings" in ran.stdout
