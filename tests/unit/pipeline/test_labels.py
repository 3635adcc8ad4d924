"""Labels: what a task says of each subject lies as MEDS wants it, beside the events and never in them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import tawt
from tawt.contracts.contract import own_contract
from tawt.errors import ConfigError, StageError
from tawt.pipeline.run import RunResult

HEADER = "RecordID,SAPS-I,SOFA,Length_of_stay,Survival,In-hospital_death\n"
OUTCOMES = {31: "31,6,1,5,-1,0", 7: "7,16,8,8,-1,1", 400: "400,21,11,-1,3,1", 52: "52,1,1,14,-1,", 66: "66,2,2,19,-1,0"}
QUICK = {"threads": 1, "memory_limit": "500MB"}


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five invented stays of PhysioNet's form; one has no outcome, of one the length is not known."""
    folder = tmp_path_factory.mktemp("labels")
    (folder / "raw" / "set-a").mkdir(parents=True)
    for stay in OUTCOMES:
        lines = f"Time,Parameter,Value\n00:00,RecordID,{stay}\n00:00,Age,{50 + stay % 7}\n01:30,HR,{60 + stay % 9}\n"
        (folder / "raw" / "set-a" / f"{stay}.txt").write_text(lines)
    (folder / "raw" / "Outcomes-a.txt").write_text(HEADER + "\n".join(OUTCOMES.values()) + "\n")
    tawt.ingest(folder / "raw", "physionet2012", folder / "w", **QUICK)
    return folder / "w"


def test_a_task_gives_one_sorted_file_of_labels(work: Path) -> None:
    """One row per stay with an outcome, sorted, in the columns of the contract alone, asked after 48 hours."""
    when = datetime(2000, 1, 3)
    expected = {
        "in_hospital_death": ("boolean_value", [(7, True), (31, False), (66, False), (400, True)]),
        "length_of_stay": ("float_value", [(7, 8), (31, 5), (52, 14), (66, 19)]),
    }
    contract = own_contract("label_sets").arrow_schema()
    for task, (column, rows) in expected.items():
        files = list((work / "labels" / task).iterdir())
        assert [path.name for path in files] == ["labels.parquet"]
        table = pq.read_table(files[0], partitioning=None)
        assert table.schema.equals(pa.schema([contract.field(n) for n in ("subject_id", "prediction_time", column)]))
        assert [(r["subject_id"], r["prediction_time"], r[column]) for r in table.to_pylist()] == [
            (subject, when, value) for subject, value in rows
        ]


def test_labels_are_counted_asked_and_checked_as_any_stage(work: Path) -> None:
    """The ledger has who was dropped, `labels.<task>` is a relation, `show` tells of it, and `check` looks at it."""
    ledger = [(r["route"], r["reason"], r["n"]) for r in tawt.query(
        "select * from ledger where stage = 'labels.in_hospital_death'", work).to_pylist()]  # fmt: skip
    assert ledger == [("in", None, 5), ("kept", None, 4), ("drop", "missing_outcome", 1), ("rows_out", None, 4)]
    n = tawt.query("select count(*) as n, sum(boolean_value::int) as died from labels.in_hospital_death", work)
    assert n.to_pylist() == [{"n": 4, "died": 2}]
    view = tawt.show("labels.length_of_stay", work)
    assert view.inputs == ("staging.outcomes",) and view.files["file"].to_pylist() == [
        "labels/length_of_stay/labels.parquet"
    ]
    assert [finding for finding in tawt.check(work) if not finding.ok] == []
    assert {r["code"] for r in tawt.query("select distinct code from events", work).to_pylist()}.isdisjoint(
        {"in_hospital_death", "length_of_stay"}
    )


def test_a_label_stage_is_labelled_alone(work: Path) -> None:
    """`label` runs the stage of a name by itself, holds it to what labels must be, and says where it is."""
    made = tawt.label("survival", work, force=True, **QUICK)
    assert made.stage is not None and [one.stage for one in made.stage.stages] == ["labels.survival"]
    assert (made.path, made.reason, made.n_labels) == (work / "labels/survival/labels.parquet", "forced", 4)
    assert pq.read_table(made.path).to_pydict() == {
        "subject_id": [31, 52, 66, 400], "prediction_time": [datetime(2000, 1, 3)] * 4,
        "boolean_value": [False, False, False, True], "duration_hours": [8712.0, 8712.0, 8712.0, 24.0],
    }  # fmt: skip
    assert tawt.label("length_of_stay", work, **QUICK).kind is None  # its column says it
    with pytest.raises(ConfigError, match="--name"):
        tawt.label("survival", work, name="other", **QUICK)


TWO = """-- One row is whether one of two things comes, within one of two times, after a reading.
with of as (
    select *, unnest(['high', 'low']) as target from staging.readings
)

select
    patient as subject_id, seen as prediction_time, glucose > 5 as boolean_value, target,
    unnest([48.0, 24.0]) as horizon_hours, _row
from of
"""


def test_a_stage_may_ask_for_several_things_at_a_time(ingested: Callable[..., RunResult], clinic: Path) -> None:
    """Targets and horizons are columns of a label; they tell answers of one time apart, and order them."""
    path = clinic / "sql/clinic/labels/two.sql"
    path.parent.mkdir()
    path.write_text(TWO)
    work = ingested().workspace.root
    made = tawt.label("two", work, **QUICK)
    assert made.stage is not None and not made.stage.notes and made.reason is None
    rows = [(r["subject_id"], r["target"], r["horizon_hours"]) for r in pq.read_table(made.path).to_pylist()]
    assert rows == [(s, target, h) for s in (1, 2) for target in ("high", "low") for h in (24.0, 48.0)]
    path.write_text(TWO.replace("[48.0, 24.0]", "[24.0, 24.0]"))
    assert tawt.label("two", work, dry_run=True, **QUICK).reason == "sql changed"
    with pytest.raises(StageError, match="labels more than the <11 times that are asked about"):
        tawt.run("labels.two", work, **QUICK)


HIGH = """-- One row is whether glucose is high in an hour, after a reading.
select patient as subject_id, seen + interval 1 hour as prediction_time, glucose > 5 as boolean_value, _row from staging.readings
"""
WRONG = {
    "glucose > 5": ("glucose > 99", "one class alone"),
    "+ interval 1 hour": ("- interval 1 hour", "ask before anything of the subject is known"),
    "_row from": ("_row, 'drop:listed_before' as _reason from", "holds no label"),
}
"""What is changed in the text, and what is said then."""


@pytest.mark.parametrize("changed", WRONG)
def test_what_is_refused_is_not_published(ingested: Callable[..., RunResult], clinic: Path, changed: str) -> None:
    """Whatever command runs the stage, nothing lies under its name, or what lay there stays; ingest goes on with the rest."""
    path, wrong = clinic / "sql/clinic/labels/high.sql", HIGH.replace(changed, WRONG[changed][0])
    path.parent.mkdir()
    path.write_text(wrong)
    (clinic / "sql/clinic/labels/later.sql").write_text(HIGH)
    first = ingested()
    work = first.workspace.root
    made, other = (work / "labels" / name / "labels.parquet" for name in ("high", "later"))
    assert other.is_file() and not made.exists() and "labels.high" not in {one.stage for one in first.stages}
    assert any(WRONG[changed][1] in note and note.startswith("labels.high is not written") for note in first.notes)
    for again in (lambda: tawt.label("high", work, **QUICK), lambda: tawt.run("labels.high", work, **QUICK)):
        with pytest.raises(StageError, match=WRONG[changed][1]):
            again()
        assert not made.exists() and not list(work.glob("manifests/*high*"))
    path.write_text(HIGH)
    assert tawt.label("high", work, **QUICK).n_labels == 2
    whole = made.read_bytes()
    path.write_text(wrong)
    with pytest.raises(StageError, match=WRONG[changed][1]):
        tawt.run("labels", work, **QUICK)
    assert made.read_bytes() == whole and any("labels.high" in one.detail for one in tawt.check(work) if not one.ok)


def test_a_label_set_waits_for_the_events_that_it_is_held_to(ingested: Callable[..., RunResult], clinic: Path) -> None:
    """It may read none of them; without events it is not made, and the error says what makes them."""
    (clinic / "sql/clinic/labels").mkdir()
    (clinic / "sql/clinic/labels/high.sql").write_text(HIGH)
    result = ingested()
    order = [one.stage for one in result.stages]
    assert order.index("labels.high") > order.index("events")
    (result.workspace.root / "manifests" / "events.json").unlink()
    with pytest.raises(StageError, match="needs events") as error:
        tawt.run("labels.high", result.workspace.root, force=True, **QUICK)
    assert "tawt run +labels.high,events" in error.value.hint
