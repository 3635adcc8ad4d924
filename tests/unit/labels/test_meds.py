"""Labels leave in the form that other MEDS tools read."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from tawt.errors import ContractError
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
    made = meds_labels(_derived(tmp_path))
    meds.LabelSchema.validate(meds.LabelSchema.align(made))
    assert made["boolean_value"].to_pylist() == [True, False] and made.schema.names[-1] == "boolean_value"


def test_one_of_several_horizons_is_chosen(tmp_path: Path) -> None:
    """MEDS has one answer a time: which is not guessed, and one that is not there is told by those that are."""
    labels = _derived(tmp_path, "horizons: [2h, 10h]\n")
    assert meds_labels(labels, horizon_hours=2)["boolean_value"].to_pylist() == [False, False]
    assert meds_labels(labels, horizon_hours=10)["boolean_value"].to_pylist() == [True, False]
    for chosen in (None, 3.0):
        with pytest.raises(ContractError) as error:
            meds_labels(labels, horizon_hours=chosen)
        assert error.value.hint == "choose: 2.0, 10.0"
