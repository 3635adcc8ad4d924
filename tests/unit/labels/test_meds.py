"""Labels leave in the form that other MEDS tools read."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from tawt.labels.derive import derive
from tawt.labels.meds import meds_labels
from tests.unit.labels.engine import connected, fill, hours, task_of

TEXT = """predicates: {admit: {code: ADMIT}, out: {code: OUT}}
trigger: admit
windows:
  input: {start: null, end: trigger + 1h, start_inclusive: true, end_inclusive: true, index_timestamp: end}
  target: {start: input.end, end: null, start_inclusive: false, end_inclusive: true, label: out}
"""


def _derived(tmp_path: Path, more: str = "") -> pa.Table:
    engine = connected()
    fill(engine, {1: hours((0, "ADMIT"), (9, "OUT")), 2: hours((0, "ADMIT"), (19, "X"))})
    return derive(engine, task_of(tmp_path, TEXT + more)).labels


def test_labels_pass_the_schema_of_the_meds_package(tmp_path: Path) -> None:
    """The package `meds` takes them as they are, and they hold what was derived."""
    meds = pytest.importorskip("meds")
    ((name, made),) = meds_labels(_derived(tmp_path), "out").items()
    meds.LabelSchema.validate(made)
    assert name == "out" and made["boolean_value"].to_pylist() == [True, False]


def test_each_of_several_horizons_is_a_set(tmp_path: Path) -> None:
    """MEDS has one answer a time: what is asked at one time is told apart by the name of the set."""
    labels = _derived(tmp_path, "horizons: [2h, 10h]\n")
    made = {name: one["boolean_value"].to_pylist() for name, one in meds_labels(labels, "out").items()}
    assert made == {"out-2_h": [False, False], "out-10_h": [True, False]}
