"""The one form of predictions: every kind comes back as it was written, and what does not hold is refused with counts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tawt.errors import ContractError
from tawt.evaluation.classes import Classes, Labels
from tawt.evaluation.metrics import Binary
from tawt.evaluation.predictions import aligned, read_predictions, write_predictions
from tawt.evaluation.regression import Numbers
from tawt.evaluation.survival import Survival

ROWS: dict[str, Any] = {"subject_id": [5, 3, 3], "prediction_time": np.array([7, 9, 8], "datetime64[us]")}
OF: dict[str, dict[str, Any]] = {
    "binary": {"boolean_value": [True, False, True], "predicted_boolean_probability": [0.9, 0.2, 0.4]},
    "classes": {
        "categorical_value": ["b", "a", "b"],
        "predicted_categorical_probabilities": [[0.1, 0.9], [0.8, 0.2], [0.5, 0.5]],
    },
    "labels": {
        "multilabel_value": [[1, 0], [None, 1], [0, 0]],
        "predicted_multilabel_probabilities": [[0.9, 0.1], [0.8, 0.3], [0.5, 0.5]],
    },
    "numbers": {
        "float_value": [1.5, 2.5, 3.5], "predicted_float_value": [1.0, 2.0, 3.0],
        "predicted_float_low": [0.0, 1.0, 2.0], "predicted_float_high": [2.0, 3.0, 4.0],
    },
    "time": {
        "time_to_event": [5.0, 30.0, 2.0], "event_observed": [True, False, True],
        "predicted_survival": [[0.9, 0.5], [0.9, 0.8], [0.5, 0.1]],
    },
}  # fmt: skip
OF["counts"] = OF["numbers"]


def write(path: Path, kind: Any, **other: Any) -> None:
    """Write the rows of a kind, with some columns replaced."""
    names = ("a", "b") if kind in ("classes", "labels") else ()
    horizons = (4.0, 24.0) if kind == "time" else ()
    write_predictions(path, ROWS | OF[kind] | other, kind, model="m1", labels="l1", names=names, horizons=horizons)


@pytest.mark.parametrize("kind", OF)
def test_every_kind_comes_back_sorted(kind: str, tmp_path: Path) -> None:
    """Rows come back by subject and time, with the truth, what was said of it, and the hashes of model and labels."""
    write(tmp_path / "p.parquet", kind)
    found = read_predictions(tmp_path / "p.parquet")
    assert found.subject_id.tolist() == [3, 3, 5] and found.prediction_time.tolist() == [8, 9, 7]
    assert (found.kind, found.about["model"], found.about["labels"]) == (kind, "m1", "l1")
    match found.outcome:
        case Binary() as one:
            assert one.truth.tolist() == [1, 0, 1] and one.score.tolist() == [0.4, 0.2, 0.9]
        case Classes() as one:
            assert one.number.tolist() == [1, 0, 1] and one.names == ("a", "b") and one.score[1].tolist() == [0.8, 0.2]
        case Labels() as one:
            assert np.isnan(one.truth[1, 0]) and one.truth[2].tolist() == [1, 0]
        case Numbers() as one:
            assert one.low is not None and one.low.tolist() == [2, 1, 0] and one.truth.tolist() == [3.5, 2.5, 1.5]
        case Survival() as one:
            assert one.horizons.tolist() == [4, 24] and one.event.tolist() == [True, False, True]
            assert one.risk == pytest.approx([0.9, 0.2, 0.5])
        case _:
            pytest.fail("another kind came back")


def test_words_of_older_files_are_read(tmp_path: Path) -> None:
    """A file that names its kind as it was named before is of the same kind; a word that never was is refused."""
    before = {"classes": "multiclass", "labels": "multilabel", "numbers": "regression", "time": "survival"}
    for kind, word in before.items():
        write(path := tmp_path / f"{kind}.parquet", kind)
        table = pq.read_table(path)
        about = {key: table.schema.metadata[key] for key in (b"classes", b"horizons")}
        old = tmp_path / f"{word}.parquet"
        pq.write_table(table.replace_schema_metadata({**about, b"kind": word.encode()}), old)
        aligned({"old": read_predictions(old), "new": read_predictions(path)})
        assert read_predictions(old).kind == kind
    pq.write_table(table.replace_schema_metadata({b"kind": b"ranks"}), old)
    with pytest.raises(ContractError, match="another kind than"):
        read_predictions(old)


def test_a_file_of_meds_evaluation_is_read(tmp_path: Path) -> None:
    """A file without our metadata, with narrower numbers, other times and more columns is of the kind that it shows."""
    path = tmp_path / "p.parquet"
    table = pa.table(
        {
            "subject_id": [1, 2], "prediction_time": np.array([1, 2], "datetime64[ms]"), "boolean_value": [True, False],
            "predicted_boolean_value": [True, True], "predicted_boolean_probability": np.array([0.5, 0.25], np.float32),
            "note": ["x", "y"],
        }
    )  # fmt: skip
    pq.write_table(table, path)
    found = read_predictions(path)
    assert found.kind == "binary" and found.prediction_time.tolist() == [1000, 2000] and found.about == {}


@pytest.mark.parametrize(
    ("kind", "other", "said"),
    [
        ("binary", {"predicted_boolean_probability": [0.1, None, 0.2]}, "has 1 nulls"),
        ("binary", {"predicted_boolean_probability": [0.1, 1.2, 0.2]}, "not within 0 and 1"),
        ("binary", {"predicted_boolean_probability": ["0.7612345", "x", "0"]}, "is string, expected double"),
        ("binary", {"subject_id": [3, 3, 3], "prediction_time": np.array([8, 9, 8], "datetime64[us]")}, "1 rows of a sub"),
        ("binary", {"predicted_bolean_value": [True] * 3}, "`predicted_bolean_value`"),
        ("classes", {"categorical_value": ["a", "c", "a"]}, "1 rows of no class"),
        ("classes", {"predicted_categorical_probabilities": [[1.0], [0.5, 0.5], [1.0]]}, "several lengths"),
        ("numbers", {"predicted_float_low": [9.0, 0, 0]}, "end before they begin"),
        ("time", {"predicted_survival": [[0.1, 0.5]] * 3}, "rises"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_before_it_is_written(
    kind: str, other: dict[str, Any], said: str, tmp_path: Path
) -> None:
    """Nulls, what is no probability, rows twice and unknown classes are errors with counts, and no file is left."""
    with pytest.raises(ContractError, match=said) as raised:
        write(tmp_path / "p.parquet", kind, **other)
    assert not (tmp_path / "p.parquet").exists() and "0.76" not in str(raised.value)


def test_models_are_compared_on_the_same_rows_alone(tmp_path: Path) -> None:
    """Other rows, another truth and another kind are told with how many differ; equal ones pass, unknown labels too."""
    for kind in ("binary", "labels"):
        write(tmp_path / f"{kind}.parquet", kind)
    write(tmp_path / "rows.parquet", "binary", subject_id=[5, 3, 4])
    write(tmp_path / "truth.parquet", "binary", boolean_value=[True, True, True])
    found = {path.stem: read_predictions(path) for path in tmp_path.glob("*.parquet")}
    aligned({"a": found["binary"], "b": found["binary"]})
    aligned({"a": found["labels"], "b": found["labels"]})
    for name, said in (
        ("rows", "lacks 1 rows and has 1 others"),
        ("truth", "in 1 cells"),
        ("labels", "expected binary"),
    ):
        with pytest.raises(ContractError, match=said):
            aligned({"a": found["binary"], name: found[name]})


def test_survival_is_compared_at_the_same_horizons_alone(tmp_path: Path) -> None:
    """Two models with other horizons have no metrics in common, and are refused."""
    for name, horizons in (("a", (4.0, 24.0)), ("b", (4.0, 48.0))):
        columns = ROWS | OF["time"]
        write_predictions(tmp_path / f"{name}.parquet", columns, "time", model="m", labels="l", horizons=horizons)
    found = {name: read_predictions(tmp_path / f"{name}.parquet") for name in "ab"}
    with pytest.raises(ContractError, match="other horizons"):
        aligned(found)
