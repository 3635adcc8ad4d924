"""Features of records, held to sums over triplets one by one, and to what is deleted after the prediction time."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from tawt.contracts.dataset import US_PER_HOUR
from tawt.dataset.reader import TripletDataset, open_dataset
from tawt.errors import DatasetError
from tawt.evaluation.features import features_at, features_of
from tawt.evaluation.known import known_at


@pytest.fixture
def there(tmp_path: Path, shards: ModuleType) -> tuple[TripletDataset, list, np.ndarray, np.ndarray]:
    """A dataset, its records as lists of triplets, and subjects with prediction times in the middle of them."""
    made = shards.write_dataset(tmp_path, {"train": [12, 6], "held_out": [6]}, median_length=60, seed=3)
    records, subjects, times = [], [], []
    for columns, index in (part for split in made.values() for part in split):
        for i, subject in enumerate(index["subject_id"]):
            rows = range(index["start"][i], index["start"][i] + index["length"][i])
            stamps = columns["timestamp"][list(rows)]
            then = int(np.quantile(stamps, 0.7))
            subjects.append(subject)
            times.append(then + index["origin"][i])
            kept = [
                {name: columns[name][r].item() for name in columns} | {"static": k < index["n_static"][i]}
                for k, r in enumerate(rows)
            ]
            kept = [t for t in kept if (t["static"] or t["timestamp"] <= then) and t["available_time"] <= then]
            records.append([t | {"ago": (then - t["timestamp"]) / US_PER_HOUR} for t in kept])
    return open_dataset(tmp_path), records, np.array(subjects), np.array(times)


def test_statistics_are_those_of_the_numbers_known_then(there) -> None:
    """Each statistic of each variable follows from its numbers up to the prediction time, one by one."""
    dataset, records, subjects, times = there
    known = known_at(dataset, subjects, times)
    features, four = features_of(known, dataset, "summaries"), features_of(known, dataset, "four")
    n_seen = 0
    for row, record in enumerate(records):
        told = dict(zip(features.names, features.matrix[row], strict=True))
        told |= dict(zip(four.names, four.matrix[row], strict=True))
        timed = [t["ago"] for t in record if not t["static"]]
        begin = max(timed, default=0.0)
        for i, kind in enumerate(dataset.vocabulary.value_kind):
            code = dataset.vocabulary.codes[i]
            own = [t for t in record if t["data_type"] == i and t["value_status"] == 1]
            if kind not in ("numeric", "mixed"):
                continue
            values = [t["value"] for t in own]
            agos = [0.0 if t["static"] else t["ago"] for t in own]
            moments = sorted(set(agos), reverse=True)
            level = [np.mean([v for v, a in zip(values, agos, strict=True) if a == m]) for m in moments]
            steps = np.diff(level)
            expected = {"count": float(len(own))}
            if own:
                n_seen += 1
                span = moments[0] - moments[-1]
                expected |= {
                    "mean": np.mean(values), "min": min(values), "max": max(values), "std": np.std(values),
                    "first": level[0], "last": level[-1], "h_since_last": moments[-1], "h_since_first": moments[0],
                    "slope": (level[-1] - level[0]) / span if span else 0.0,
                }  # fmt: skip
                early = [v for v, a in zip(values, agos, strict=True) if begin - a < 12]
                late = [v for v, a in zip(values, agos, strict=True) if a < 12]
                expected["first_12h"] = np.mean(early) if early else math.nan
                expected["last_12h"] = np.mean(late) if late else math.nan
                expected["mean_change"] = steps.mean() if len(steps) else math.nan
                expected["std_change"] = steps.std() if len(steps) else math.nan
            for name, number in expected.items():
                assert told[f"{code}:{name}"] == pytest.approx(number, abs=1e-9, nan_ok=True), (code, name)
            if not own:
                assert math.isnan(told[f"{code}:mean"])
    assert n_seen > 50


def test_counts_and_presence_are_of_every_code(there) -> None:
    """Codes without numbers and categories are counted, and of each code it is told whether it is there."""
    dataset, records, subjects, times = there
    known = known_at(dataset, subjects, times)
    features, missing = (features_of(known, dataset, recipe) for recipe in ("summaries", "missingness"))
    vocabulary = dataset.vocabulary
    for row, record in enumerate(records):
        told = dict(zip(features.names, features.matrix[row], strict=True))
        there_are = {t["data_type"] for t in record}
        for i, kind in enumerate(vocabulary.value_kind):
            own = [t for t in record if t["data_type"] == i]
            if kind == "none":
                assert told[f"{vocabulary.codes[i]}:count"] == len(own)
            for c in range(int(vocabulary.n_categories[i])):
                n = sum(t["value_status"] == 2 and t["value_token"] == vocabulary.n_bins[i] + 1 + c for t in own)
                assert told[f"{vocabulary.codes[i]}:category_{c}"] == n
        for name, is_there in zip(missing.names, missing.matrix[row], strict=True):
            assert is_there == (vocabulary.codes.index(name.removesuffix(":known")) in there_are)
    assert 0 < missing.matrix.mean() < 1


def test_demographics_are_static_facts_and_age_alone(there) -> None:
    """Neither timed triplets nor what nobody has is among them: no age, where no record has a birth."""
    dataset, _, subjects, times = there
    known = known_at(dataset, subjects, times)
    found = features_of(known, dataset, "demographics")
    assert "age_years" not in found.names
    born = features_of(replace(known, age=np.full_like(known.age, 40.0)), dataset, "demographics")
    assert born.names == (*found.names, "age_years") and (born.matrix[:, -1] == 40).all()
    static = known.of(known.is_static)
    again = features_of(static, dataset, "demographics")
    assert again.names == found.names and np.array_equal(again.matrix, found.matrix, equal_nan=True)
    assert len(found.names) > 3


def test_what_comes_after_the_prediction_time_changes_nothing(there, tmp_path: Path, shards: ModuleType) -> None:
    """With every triplet deleted that was not known then, all features are the same to the bit."""
    dataset, records, subjects, times = there
    other = tmp_path / "cut"
    columns = {
        name: np.array([t[name] for record in records for t in record], dtype=dtype)
        for name, dtype in (
            ("subject_id", np.int64), ("timestamp", np.int64), ("data_type", np.int32), ("value", np.float32),
            ("value_token", np.int32), ("value_status", np.uint8), ("available_time", np.int64), ("identity", np.uint32),
        )
    }  # fmt: skip
    length = np.array([len(record) for record in records])
    origins = {
        int(s): int(o)
        for n in dataset.split_names
        for s, o in zip(dataset.split(n).subject_ids, dataset.split(n).origins, strict=True)
    }
    index = {
        "subject_id": subjects, "start": length.cumsum() - length, "length": length,
        "n_static": np.array([sum(t["static"] for t in record) for record in records], np.int32),
        "origin": np.array([origins[int(s)] for s in subjects]),
    }  # fmt: skip
    assert length.sum() < sum(dataset.split(name).n_triplets for name in dataset.split_names) and length.min() > 0
    entry = shards.write_shard(other / "dataset" / "train", "00000", columns, index)
    shards.write_manifest(other, shards.write_vocabulary(other), {"train": [entry]})
    for recipe in ("summaries", "four", "missingness", "demographics"):
        whole, cut = (
            features_of(known_at(one, subjects, times), one, recipe) for one in (dataset, open_dataset(other))
        )
        assert whole.names == cut.names and np.array_equal(whole.matrix, cut.matrix, equal_nan=True)


def test_subjects_that_are_not_there_are_told(there) -> None:
    """A label of a subject that the dataset lacks is an error with counts; of no rows there are no features."""
    dataset, _, subjects, times = there
    with pytest.raises(DatasetError, match="lacks 1 of 2"):
        known_at(dataset, [subjects[0], -5], [0, 0])
    assert features_of(known_at(dataset, [], []), dataset, "summaries").matrix.shape[0] == 0
    early = features_of(known_at(dataset, subjects[:2], [-(2**61)] * 2), dataset, "four")
    assert np.isnan(early.matrix).all()
    few = features_of(known_at(dataset, subjects, times), dataset, "missingness", n_types=3)
    assert len(few.names) == 3 and few.names[0] == "LAB//00004:known"


def test_both_clocks_count_and_what_did_not_come_does_not(tmp_path: Path, shards: ModuleType) -> None:
    """What is written down before it happens is not known before, what is read late neither, and no row is none."""
    hour = US_PER_HOUR
    happened, read = np.array([1, 2, 3, 4]) * hour, np.array([1, 2, 3, 4]) * hour
    read[1], happened[2], read[2] = 9 * hour, 8 * hour, 1 * hour  # read late; planned ahead
    columns = {
        "subject_id": np.full(4, 7), "timestamp": happened, "data_type": np.array([4, 5, 6, 7], np.int32),
        "value": np.zeros(4, np.float32), "value_token": np.zeros(4, np.int32), "available_time": read,
        "value_status": np.array([1, 0, 2, 9], np.uint8),
    }  # fmt: skip
    order = np.argsort(happened)
    columns = {name: values[order] for name, values in columns.items()}
    index = {"subject_id": [7], "start": [0], "length": [4], "n_static": [0], "origin": [0]}
    entry = shards.write_shard(
        tmp_path / "dataset" / "train", "00000", columns, {k: np.array(v) for k, v in index.items()}
    )
    shards.write_manifest(tmp_path, shards.write_vocabulary(tmp_path), {"train": [entry]})
    dataset = open_dataset(tmp_path)
    found = {
        hours: features_of(known_at(dataset, [7], [hours * hour]), dataset, "missingness", 4) for hours in (1, 5, 9)
    }
    assert {hours: one.matrix[0].tolist() for hours, one in found.items()} == {
        1: [1, 0, 0, 0],
        5: [1, 0, 0, 0],
        9: [1, 1, 1, 0],
    }


@pytest.mark.parametrize("recipe", ["summaries", "four", "missingness", "demographics"])
def test_rows_at_a_time_give_what_all_at_once_give(there, recipe, monkeypatch: pytest.MonkeyPatch) -> None:
    """The parts stand below one another, in the order of the rows; a column is left out only where all lack it."""
    dataset, _, subjects, times = there
    whole = features_of(known_at(dataset, subjects, times), dataset, recipe)
    monkeypatch.setattr("tawt.evaluation.features.ROWS_AT_ONCE", 5)
    parts = features_at(dataset, subjects, times, recipe)
    assert parts.names == whole.names and len(parts.matrix) > 10
    np.testing.assert_array_equal(parts.matrix, whole.matrix.astype(np.float32))
    some = features_at(dataset, subjects[:4], times[:4], recipe, parts.names[1:3])
    assert some.names == parts.names[1:3]
    np.testing.assert_array_equal(some.matrix, parts.matrix[:4, 1:3])
    assert features_at(dataset, [], [], recipe).matrix.shape[0] == 0
