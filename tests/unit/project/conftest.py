"""A project of one raw table, one staging stage and one event part, and the raw table that it reads."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tawt.pipeline.run import RunResult

COLUMNS = [
    {"name": "patient", "type": "int64", "nullable": False}, {"name": "seen", "type": "timestamp[us]", "nullable": False},
    {"name": "glucose", "type": "float64"},
]  # fmt: skip
FILES = {
    "sql/clinic/staging/readings.sql": """-- One row is one reading.
with readings as (select _row, patient, seen, glucose from raw.readings)

select
    whole(patient) as patient, moment(seen) as seen, number(glucose) as glucose, _row,
    case when seen is null then 'quarantine:seen:missing'
         when moment(seen) is null then 'quarantine:seen:unparseable' end as _reason
from readings
""",
    "sql/clinic/event_parts/readings.sql": """-- One row is one reading as an event.
with readings as (select _row, patient, seen, glucose from staging.readings)

select patient as subject_id, seen as time, 'GLUCOSE' as code, glucose as numeric_value, _row from readings
""",
    "schemas/clinic/readings.json": json.dumps({
        "description": "One row is one reading.", "columns": dict.fromkeys(("patient", "seen", "glucose"), "string"),
    }),
    "schemas/clinic/staging/readings.json": json.dumps({
        "name": "staging.readings", "description": "One row is one reading.", "columns": COLUMNS,
    }),
    "pipelines/clinic.yaml": "name: clinic\nsource: clinic\n",
}  # fmt: skip
RECORDS = "patient,seen,glucose\n1,2020-01-01 08:00:00,5\n2,2020-01-02 08:00:00,6\n1,,7\n"


def write(root: Path, files: dict[str, str]) -> Path:
    """Write files below a folder, and return the folder."""
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")
    return root


@pytest.fixture
def clinic(tmp_path: Path) -> Path:
    """The project, below a path with a blank and letters beyond ASCII."""
    return write(tmp_path / "mein Prüf-Projekt", FILES)


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    """The folder of the raw table."""
    return write(tmp_path / "exports", {"readings.csv": RECORDS})


@pytest.fixture
def ingested(clinic: Path, raw: Path, tmp_path: Path) -> Callable[..., RunResult]:
    """`ingested()`: the project's pipeline on its raw table in `tmp_path / "w"`, by the pipeline's file."""
    from tawt.commands.ingest import ingest

    def one(pipeline: object = clinic / "pipelines" / "clinic.yaml", **options: object) -> RunResult:
        return ingest(raw, str(pipeline), tmp_path / "w", threads=1, **options)  # type: ignore[arg-type]

    return one
