"""Projects of one raw table, one staging stage and one event part: the one that there is, and one of a test's own texts."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tawt.pipeline.run import RunResult

ROOT = Path(__file__).parents[2]
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


@pytest.fixture
def make_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """`make_project(raw_columns, staged_columns, staging, part)`: the pipeline `lab` over one table `readings`.

    It lies in `tmp_path / "assets"`, and can be made again with other texts. Returns the empty raw folder.
    """

    def make(raw: list[dict[str, object]], staged: list[dict[str, object]], staging: str, part: str) -> Path:
        assets = tmp_path / "assets"
        contract = {
            "name": "raw.readings",
            "description": "One row is one reading.",
            "paths": ["readings"],
            "columns": raw,
        }
        for path, text in {
            "sql/lab/staging/readings.sql": staging,
            "sql/lab/event_parts/readings.sql": part,
            "schemas/lab/readings.json": json.dumps(contract),
            "schemas/lab/staging/readings.json": json.dumps(
                {"name": "staging.readings", "description": "One row is one reading.", "columns": staged}
            ),
            "pipelines/lab.yaml": "name: lab\nsource: lab\n",
        }.items():
            (assets / path).parent.mkdir(parents=True, exist_ok=True)
            (assets / path).write_text(text)
        for path in (ROOT / "schemas").glob("*.json"):
            (assets / "schemas" / path.name).write_bytes(path.read_bytes())
        if not (assets / "sql" / "shared").exists():
            (assets / "sql" / "shared").symlink_to(ROOT / "sql" / "shared")
        monkeypatch.setattr("tawt.project._PACKAGE", assets / "tawt")
        (tmp_path / "raw").mkdir(exist_ok=True)
        return tmp_path / "raw"

    return make
