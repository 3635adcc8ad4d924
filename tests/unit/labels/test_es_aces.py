"""Usual ACES tasks give the labels that `es-aces` gives, on drawn records with many ties."""

from __future__ import annotations

import random
from datetime import datetime, timedelta
from pathlib import Path

import duckdb
import polars as pl
import pytest

from tawt.labels.compile import compile_task
from tests.unit.labels import oracle
from tests.unit.labels.engine import connected, fill, task_of

aces = pytest.importorskip("aces", reason="es-aces is not installed, which wants polars below 2")

START = datetime(1970, 1, 1)
PREDICATES = """predicates:
  admit: {code: {regex: "^ADMIT//"}}
  out: {code: OUT}
  death: {code: DEATH}
  high: {code: "LAB//K", value_min: 2.0, value_min_inclusive: true}
  low: {code: {regex: "^LAB//"}, value_max: 2.0, value_max_inclusive: false}
  lab: {code: {any: ["LAB//K", "LAB//NA"]}}
  ends: {expr: "or(out, death)"}
  both: {expr: "and(lab, high)"}
"""
TASKS = {
    "death before discharge": """trigger: admit
windows:
  input: {start: null, end: trigger + 2h, start_inclusive: true, end_inclusive: true, index_timestamp: end,
          has: {_ANY_EVENT: "(2, None)"}}
  gap: {start: input.end, end: start + 1h, start_inclusive: false, end_inclusive: true,
        has: {admit: "(None, 0)", ends: "(None, 0)"}}
  target: {start: gap.end, end: start -> ends, start_inclusive: false, end_inclusive: true, label: death}
""",
    "readmission": """trigger: out
windows:
  input: {start: null, end: trigger, start_inclusive: true, end_inclusive: true, index_timestamp: end}
  target: {start: input.end, end: start + 5h, start_inclusive: false, end_inclusive: true, label: admit}
""",
    "rest of the record": """trigger: both
windows:
  input: {start: null, end: trigger, start_inclusive: true, end_inclusive: false, index_timestamp: end}
  target: {start: trigger, end: null, start_inclusive: false, end_inclusive: true, label: low,
           has: {_ANY_EVENT: "(1, None)"}}
""",
    "back to the admission": """trigger: out
windows:
  stay: {start: end <- admit, end: trigger, start_inclusive: true, end_inclusive: true, has: {death: "(None, 0)"}}
  first: {start: stay.start, end: start + 2h, start_inclusive: true, end_inclusive: true, index_timestamp: end,
          label: lab}
""",
    "men alone": """patient_demographics:
  male: {code: MALE}
trigger: admit
windows:
  input: {start: null, end: trigger + 1h, start_inclusive: true, end_inclusive: true, index_timestamp: end}
  target: {start: input.end, end: null, start_inclusive: false, end_inclusive: true, label: ends}
""",
}
"""Left out is a window that is counted back by hours from its end and says there when it is asked: es-aces 0.7.3 gives its
start as the prediction time."""


@pytest.fixture(scope="module")
def engine() -> duckdb.DuckDBPyConnection:
    """One engine for all tests here; each fills it."""
    return connected()


def of_es_aces(text: str, records: dict[int, list[oracle.Event]], folder: Path) -> set[tuple[int, int, bool]]:
    """Subject, prediction time in microseconds and label, as es-aces finds them in a MEDS shard."""
    from aces.config import TaskExtractorConfig
    from aces.predicates import get_predicates_df
    from aces.query import query
    from omegaconf import OmegaConf

    task, shard = folder / "aces.yaml", folder / "shard.parquet"
    task.write_text(text)
    rows = [
        (subject, None if one.time is None else START + timedelta(microseconds=one.time), one.code, one.number)
        for subject, events in records.items()
        for one in sorted(events, key=lambda event: (event.time is not None, event.time or 0))
    ]
    kinds = {"subject_id": pl.Int64, "time": pl.Datetime("us"), "code": pl.String, "numeric_value": pl.Float32}
    pl.DataFrame(rows, schema=kinds, orient="row").write_parquet(shard)
    config = TaskExtractorConfig.load(task)
    data = OmegaConf.create({"path": str(shard), "standard": "meds", "ts_format": None})
    found = query(config, get_predicates_df(config, data))
    return {
        (row["subject_id"], round((row["index_timestamp"] - START).total_seconds() * 1e6), row["label"] > 0)
        for row in found.select("subject_id", "index_timestamp", "label").to_dicts()
    }


@pytest.mark.parametrize("name", TASKS)
def test_usual_tasks_give_what_es_aces_gives(name: str, tmp_path: Path, engine: duckdb.DuckDBPyConnection) -> None:
    """Every sample, its prediction time and its label, of 60 short records."""
    records = oracle.random_records(random.Random(name), 60)
    text = PREDICATES + TASKS[name]
    expected = of_es_aces(text, records, tmp_path)
    fill(engine, records)
    select = compile_task(task_of(tmp_path, text)).select
    found = engine.execute(f"select subject_id, epoch_us(prediction_time), boolean_value from ({select})").fetchall()
    assert set(found) == expected and len({label for *_, label in expected}) == 2
