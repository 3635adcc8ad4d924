"""The dataset's rows: times from each subject's own origin, statics first, nothing null."""

from __future__ import annotations

import random
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from tawt.contracts.contract import own_contract
from tawt.transforms.shards import to_dataset, write_arrow

TRIPLETS = own_contract("triplets").arrow_schema()
DATASET = own_contract("dataset")
INDEX = own_contract("dataset_index")
BIRTH = 4
EPOCH = datetime(1970, 1, 1)
Row = dict[str, Any]


def random_triplets(seed: int, with_births: bool = True) -> list[Row]:
    """Subjects with statics alone, without birth, with two births, and far-off calendars."""
    rng = random.Random(seed)
    rows = []
    for subject in sorted(rng.sample(range(-50, 10**12), 30)):
        start = datetime(rng.choice([1850, 1990, 2190]), 1, 1) + timedelta(seconds=rng.randrange(10**7), microseconds=1)
        times: list[datetime | None] = [None] * rng.choice([0, 0, 1, 3])
        times += sorted(start + timedelta(minutes=rng.randrange(10**6)) for _ in range(rng.choice([0, 1, 20])))
        for time in times or [None]:
            rows.append(
                {
                    "subject_id": subject, "timestamp": time,
                    "data_type": rng.choice([BIRTH, 5, 6, 7, 8, 9]) if with_births else 5,
                    "value": rng.gauss(0, 1), "value_token": rng.randrange(9), "value_status": 1,
                    "available_time": rng.choice([None, start]) if time is None else time + timedelta(hours=rng.randrange(50)),
                }
            )  # fmt: skip
    return rows


def table(rows: list[Row]) -> pa.Table:
    return pa.Table.from_pylist(rows, schema=TRIPLETS)


def micros(time: datetime) -> int:
    return (time - EPOCH) // timedelta(microseconds=1)


@pytest.mark.parametrize("origin", ["birth", "first_event", "anchor"])
def test_times_count_from_the_origin(origin: str) -> None:
    """Both clocks are differences to the subject's origin in whole microseconds; statics are 0 and first, and could be read when
    it is said, or before any time."""
    rows = random_triplets(1)
    anchor = datetime(2000, 1, 1) if origin == "anchor" else None
    birth = BIRTH if origin == "birth" else None
    shard, index, n_fallback = to_dataset(
        table(rows), DATASET, INDEX, birth, None if anchor is None else micros(anchor)
    )
    origins: dict[int, datetime] = {}
    without, met = 0, set()
    for subject in {row["subject_id"] for row in rows}:
        timed = [row for row in rows if row["subject_id"] == subject and row["timestamp"] is not None]
        births = [row["timestamp"] for row in timed if row["data_type"] == BIRTH]
        without += not births
        first = min((row["timestamp"] for row in timed), default=EPOCH)
        origins[subject] = anchor or (min(births, default=first) if origin == "birth" else first)
    made = {(got["subject_id"], got["value"]): got for got in shard.to_pylist()}  # no number stands there twice
    assert len(made) == len(rows)
    for row, came in zip(rows, table(rows).to_pylist(), strict=True):
        static, got = row["timestamp"] is None, made[came["subject_id"], came["value"]]
        origin_time = origins[row["subject_id"]]
        for clock, never in (("timestamp", 0), ("available_time", -(2**62))):
            assert static or row[clock] is not None
            assert got[clock] == (
                never if row[clock] is None else (row[clock] - origin_time) // timedelta(microseconds=1)
            )
        met.add((static, row["available_time"] is None))
    assert {r["subject_id"]: r["origin"] for r in index.to_pylist()} == {s: micros(t) for s, t in origins.items()}
    assert n_fallback == (without if origin == "birth" else 0)
    assert origin != "birth" or 0 < without < len(origins)
    assert len(met) == 3


def test_the_index_tiles_the_shard() -> None:
    """Starts and lengths cover the rows in order without a gap; the first `n_static` rows of each are its statics."""
    rows = random_triplets(2)
    shard, index, _ = to_dataset(table(rows), DATASET, INDEX, BIRTH, None)
    assert shard.schema == DATASET.arrow_schema()
    assert index.schema == INDEX.arrow_schema()
    assert sum(column.null_count for column in [*shard.columns, *index.columns]) == 0
    at = 0
    for entry in index.to_pylist():
        assert entry["start"] == at
        mine = rows[at : at + entry["length"]]
        assert {row["subject_id"] for row in mine} == {entry["subject_id"]}
        assert [row["timestamp"] is None for row in mine] == [i < entry["n_static"] for i in range(len(mine))]
        at += entry["length"]
    assert at == len(rows)


@pytest.mark.parametrize("origin", ["birth", "first_event"])
@pytest.mark.parametrize("days", [1, -40_000, 51_134])
def test_a_shifted_calendar_changes_no_bit(origin: str, days: int) -> None:
    """Moving one subject by any number of days leaves every byte of the rows, and moves its origin alone."""
    rows = random_triplets(3)
    moved = next(row["subject_id"] for row in rows if row["timestamp"] is not None and row["timestamp"].year > 1900)
    shift = timedelta(days=days)
    shifted = [
        row if row["subject_id"] != moved
        else {**row, **{clock: row[clock] and row[clock] + shift for clock in ("timestamp", "available_time")}}
        for row in rows
    ]  # fmt: skip
    birth = BIRTH if origin == "birth" else None
    before, index, _ = to_dataset(table(rows), DATASET, INDEX, birth, None)
    after, moved_index, _ = to_dataset(table(shifted), DATASET, INDEX, birth, None)
    assert before.equals(after)
    difference = [b - a for a, b in zip(index["origin"].to_pylist(), moved_index["origin"].to_pylist(), strict=True)]
    assert [d for d in difference if d] == [days * 86_400_000_000]


def test_a_written_shard_is_one_batch_that_maps(tmp_path: Path) -> None:
    """The Arrow file holds one uncompressed record batch, equal to the rows, also from a table in chunks."""
    shard, _, _ = to_dataset(table(random_triplets(4)), DATASET, INDEX, None, 0)
    chunked = pa.concat_tables([shard.slice(0, 50), shard.slice(50)])
    write_arrow(chunked, tmp_path / "a.arrow")
    with pa.memory_map(str(tmp_path / "a.arrow")) as source:
        reader = pa.ipc.open_file(source)
        assert reader.num_record_batches == 1
        assert reader.read_all().equals(shard)
