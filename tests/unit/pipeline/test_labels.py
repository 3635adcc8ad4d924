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
from tawt.errors import ConfigError
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
        "length_of_stay": ("integer_value", [(7, 8), (31, 5), (52, 14), (66, 19)]),
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
    assert tawt.label("length_of_stay", work, **QUICK).kind == "numbers"
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
    notes = tawt.label("two", work, dry_run=True, **QUICK).reason, tawt.run("labels.two", work, threads=1).notes
    assert (
        notes[0] == "sql changed" and "share `subject_id`, `prediction_time`, `target`, `horizon_hours`" in notes[1][0]
    )
