"""A small project of one's own, its raw tables and the workspace made of them, for a test to edit."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

import tawt
from tawt.pipeline.stale import look

QUICK = {"threads": 1, "memory_limit": "300MB"}
MACRO = "-- doubled.sql\n-- Twice a number.\ncreate macro doubled(x) as 2 * x\n"
STAGING = """-- One row is one reading.
select
    whole(subject_id) as subject_id, moment(seen) as seen, doubled(number(number)) as number, _row,
    (case when number(number) < $least then 'drop:listed_before' end)::varchar as _reason
from raw.{name}
"""
PART = """-- One row is one reading as an event.
select subject_id, seen as time, '{code}' as code, number as numeric_value, _row
from staging.{name}
"""
TABLES = ("labs", "vitals")
COLUMNS = [
    {"name": "subject_id", "type": "int64", "nullable": False}, {"name": "seen", "type": "timestamp[us]"},
    {"name": "number", "type": "float64"},
]  # fmt: skip
RECORDS = "subject_id,seen,number\n" + "".join(f"{1 + i % 20},2020-01-{1 + i % 9:02} 08:00:00,{i}\n" for i in range(60))
LABS = "sql/lab/event_parts/labs.sql"


def write_place(place: Path) -> None:
    files = {
        "sql/shared/macros/doubled.sql": MACRO,
        "pipelines/lab.yaml": "name: lab\nsource: lab\nparameters: {least: 2}\nshards: 1\n",
    }
    for name in TABLES:
        about = {"name": f"raw.{name}", "description": "One row is one reading.", "paths": [name]}
        strings = [{"name": column["name"], "type": "string"} for column in COLUMNS]
        files |= {
            f"sql/lab/staging/{name}.sql": STAGING.format(name=name),
            f"sql/lab/event_parts/{name}.sql": PART.format(name=name, code=name.upper()),
            f"schemas/lab/{name}.json": json.dumps(about | {"columns": strings}),
            f"schemas/lab/staging/{name}.json": json.dumps(about | {"name": f"staging.{name}", "columns": COLUMNS}),
        }
    for path, text in files.items():
        (place / "project" / path).parent.mkdir(parents=True, exist_ok=True)
        (place / "project" / path).write_text(text)
    (place / "raw").mkdir()
    for name in TABLES:
        (place / "raw" / f"{name}.csv").write_text(RECORDS)


class Day:
    """A project, its raw tables and the workspace made of them."""

    def __init__(self, place: Path) -> None:
        self.project, self.raw, self.work = place / "project", place / "raw", place / "work"

    def ingest(self, *settings: str) -> None:
        tawt.ingest(self.raw, str(self.project / "pipelines" / "lab.yaml"), self.work, settings=settings, **QUICK)

    def edit(self, path: str, old: str, new: str) -> None:
        file = self.project / path
        text = file.read_text()
        assert old in text
        file.write_text(text.replace(old, new))

    def states(self) -> dict[str, str]:
        """Stage -> why it is stale, of those that are."""
        rows = tawt.stages(self.work).to_pylist()
        return {row["stage"]: why for row in rows if (why := row["state"].removeprefix("stale: ")) != row["state"]}

    def said(self) -> str | None:
        """Why whoever trains is told that the dataset is stale."""
        return look(self.work).why

    def run(self, selection: str) -> dict[str, str]:
        result = tawt.run(selection, self.work, **QUICK)
        return {one.stage: one.reason for one in result.stages if one.reason is not None}

    def fresh(self) -> bool:
        stale = [finding for finding in tawt.check(self.work) if not finding.ok]
        return not self.states() and self.said() is None and not stale


@pytest.fixture(scope="session")
def day_made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A day's place, ingested and encoded; not to be changed."""
    place = tmp_path_factory.mktemp("day")
    write_place(place)
    day = Day(place)
    day.ingest()
    tawt.build_vocab(day.work, **QUICK)
    return place


@pytest.fixture
def day(day_made: Path, tmp_path: Path) -> Day:
    """A place of one's own."""
    day = Day(Path(shutil.copytree(day_made, tmp_path / "day")))
    day.ingest()
    return day
