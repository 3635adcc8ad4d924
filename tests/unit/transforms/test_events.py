"""Merging one shard: order, duplicates and the raw columns, held to plain Python."""

from __future__ import annotations

import math
import random
from collections import Counter
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tawt.config.pipeline import DataType, PipelineConfig
from tawt.contracts.contract import own_contract
from tawt.contracts.dataset import SPLITS
from tawt.contracts.value_status import STATUS_NAMES
from tawt.transforms.events import SplitOf, merge_shard
from tawt.transforms.shard_result import ShardResult
from tawt.transforms.unit_rules import PairRules
from tawt.transforms.units import Units

EVENTS = own_contract("events")
PART = own_contract("event_parts")
PART_SCHEMA = PART.arrow_schema().append(pa.field("_row", pa.int64())).append(pa.field("_reason", pa.string()))
PIPELINE = PipelineConfig(
    name="t", source="t", data_types={"GLU": DataType(concept="glucose", unit="mg/dL"), "A": DataType(high=8.0)}
)
RANKS = {"event_parts.b": 0, "event_parts.a": 1}
START = datetime(2100, 1, 1)
Row = dict[str, Any]


SPLIT_OF = SplitOf((0.6, 0.2, 0.2), 0)


def random_row(rng: random.Random, n_subjects: int) -> Row:
    """A row out of few possible values, so that ties and duplicates abound."""
    code = rng.choice(["GLU", "A", "Ä", "a", "B//C"])
    status = rng.choice(["numeric", "numeric", "category", "absent", "unparsed"])
    time = rng.choice([None, START, START + timedelta(hours=1), START - timedelta(days=60_000)])
    unit = rng.choice(["mg/dL", "MG/DL", "mmol/L", "furlong"]) if code == "GLU" else rng.choice([None, "%"])
    return {
        "subject_id": rng.randrange(-2, n_subjects),
        "time": time,
        "code": code,
        "numeric_value": rng.choice([-0.0, 0.0, 5.0, 7.0, 9.0, 9.5, math.nan, 1e39]) if status == "numeric" else None,
        "text_value": rng.choice(["NEG", "POS"]) if status == "category" else None,
        "unit": unit if status == "numeric" else None,
        "raw_value": rng.choice(["?", "n/a"]) if status == "unparsed" else None,
        "available_time": rng.choice([time, None, START + timedelta(days=2)]),
        "value_status": status,
    }


def write_parts(folder: Path, parts: dict[str, list[Row]], files_per_part: int = 2) -> dict[str, list[Path]]:
    """Write rows over several files, the record number as it stands in the list."""
    out: dict[str, list[Path]] = {}
    for name, rows in parts.items():
        for i in range(files_per_part):
            mine = [{**row, "_reason": None} for n, row in enumerate(rows) if n % files_per_part == i]
            path = folder / f"{name}-{i}.parquet"
            pq.write_table(pa.Table.from_pylist(mine, schema=PART_SCHEMA), path, row_group_size=7)
            out.setdefault(name, []).append(path)
    return out


def fitted(parts: dict[str, list[Row]]) -> PairRules:
    counts = Counter(
        (row["code"], row["unit"])
        for rows in parts.values()
        for row in rows
        if row["numeric_value"] is not None and math.isfinite(row["numeric_value"])
    )
    rows = [{"code": c, "unit": u, "n_train": n, "n": n} for (c, u), n in sorted(counts.items(), key=str)]
    schema = pa.schema([("code", pa.string()), ("unit", pa.string()), ("n_train", pa.int64()), ("n", pa.int64())])
    return PairRules.fit(pa.Table.from_pylist(rows, schema=schema), Units.of(PIPELINE))


def merged(
    folder: Path, parts: dict[str, list[Row]], drop: bool = True, n_files: int = 2
) -> tuple[ShardResult, list[Row]]:
    """Merge, and read back the rows of all splits in the order of subjects."""
    folder.mkdir()
    out = {split: folder / f"{split}.parquet" for split in SPLITS}
    files = write_parts(folder, parts, n_files)
    result = merge_shard(files, RANKS, fitted(parts), SPLIT_OF, EVENTS, out, drop)
    rows = [row for path in out.values() if path.is_file() for row in pq.read_table(path).to_pylist()]
    return result, sorted(rows, key=lambda row: row["subject_id"])


def naive(parts: dict[str, list[Row]], drop: bool) -> tuple[list[Row], Counter[str]]:
    """Judge, sort and deduplicate row by row; the value of a row alone decides, no array operation."""
    rules = fitted(parts)
    rows = []
    for source, given in parts.items():
        for row in given:
            number = row["numeric_value"]
            came = number is not None and math.isfinite(number)
            status = row["value_status"]
            event: Row = {"numeric_value": None, "unit": None, "unit_rule": None, "raw_value": row["raw_value"]}
            if came:
                rule = rules.rules[rules.index[row["code"], row["unit"]]]
                value = number * rule.factor + rule.offset
                event["unit_rule"] = rule.name
                if rule.name == "unknown":
                    status = "unit_unknown"
                elif abs(value) > 3.5e38 or not rule.low <= value <= rule.high:
                    status = "out_of_range"
                else:
                    event |= {"numeric_value": float(np.float32(value)) + 0.0, "unit": rule.unit}
                if event["numeric_value"] is None or rule.name is not None:
                    event["raw_value"] = number
            elif status == "numeric":
                status = "unparsed"
            event["raw_unit"] = row["unit"] if row["unit"] != event["unit"] else None
            event |= {name: row[name] for name in ("subject_id", "time", "code", "text_value", "available_time")}
            event |= {"value_status": status, "source": source, "table_rank": RANKS[source], "source_row": row["_row"]}
            rows.append(event)

    def key(event: Row) -> tuple[Any, ...]:
        def text(x: str | None) -> bytes:
            return b"" if x is None else b"+" + x.encode()

        def time(x: datetime | None) -> datetime:
            return datetime.min if x is None else x

        number = -math.inf if event["numeric_value"] is None else event["numeric_value"]
        raw_number = event["raw_value"] if isinstance(event["raw_value"], float) else 0.0
        raw_text = event["raw_value"] if isinstance(event["raw_value"], str) else None
        came_in = event["raw_unit"] if event["raw_unit"] is not None else event["unit"]
        return (
            event["subject_id"], time(event["time"]), event["table_rank"], event["source_row"], text(event["code"]),
            number, raw_number, text(event["text_value"]), text(raw_text), text(came_in),
            STATUS_NAMES.index(event["value_status"]), time(event["available_time"]),
        )  # fmt: skip

    rows.sort(key=key)
    if not drop:
        return rows, Counter()
    kept, seen, dropped = [], set(), Counter()
    for event in rows:
        same = tuple(value for name, value in sorted(event.items()) if name != "source_row")
        if same in seen:
            dropped[event["source"]] += 1
        else:
            seen.add(same)
            kept.append(event)
    return kept, dropped


def plain(event: Row) -> Row:
    """The raw number as a number: how it is printed is not the point here."""
    raw = event["raw_value"]
    if isinstance(raw, str) and raw.replace(".", "").replace("e+", "").replace("-", "").isdigit():
        raw = float(raw)
    return {**event, "raw_value": raw}


@pytest.mark.parametrize(("seed", "drop"), [(0, True), (1, True), (2, True), (3, False)])
def test_rows_come_in_the_total_order_each_once(tmp_path: Path, seed: int, drop: bool) -> None:
    """Every column of every row equals a sort and a set in plain Python, ties, nulls, -0.0 and NaN included."""
    rng = random.Random(seed)
    parts = {
        name: [{**random_row(rng, 6), "_row": rng.randrange(1, 400)} for _ in range(700)] for name in sorted(RANKS)
    }
    result, rows = merged(tmp_path / "m", parts, drop)
    expected, dropped = naive(parts, drop)
    assert [plain(row) for row in rows] == expected
    assert result.duplicates == dict(dropped)
    assert sum(result.n_rows.values()) == len(expected)
    assert result.statuses == dict(Counter(row["value_status"] for row in rows))
    assert result.unit_rules == dict(Counter(row["unit_rule"] for row in rows if row["unit_rule"] is not None))
    met = Counter(code for code, _ in {(row["code"], row["subject_id"]) for row in rows})
    assert list(result.people) == sorted(met, key=str.encode)
    assert all(n == met[code] or 10 < n <= met[code] for code, n in result.people.items())
    assert bool(dropped) == drop
    assert {"numeric", "unparsed", "unit_unknown", "out_of_range", "category"} <= set(result.statuses)


def test_two_unusable_numbers_are_no_duplicates(tmp_path: Path) -> None:
    """Two results out of range, or in an unknown unit, that differ in the number stay two rows."""
    base: Row = {"subject_id": 1, "time": START, "text_value": None, "raw_value": None, "available_time": START,
                     "value_status": "numeric"}  # fmt: skip
    rows = [
        {**base, "code": "A", "unit": None, "numeric_value": 99.0, "_row": 1},
        {**base, "code": "A", "unit": None, "numeric_value": 98.0, "_row": 2},
        {**base, "code": "A", "unit": None, "numeric_value": 99.0, "_row": 3},
        {**base, "code": "GLU", "unit": "furlong", "numeric_value": 1.0, "_row": 4},
        {**base, "code": "GLU", "unit": "furlong", "numeric_value": 2.0, "_row": 5},
    ]
    result, events = merged(tmp_path / "m", {"event_parts.a": rows})
    assert [(row["source_row"], row["raw_value"]) for row in events] == [(1, "99"), (2, "98"), (4, "1"), (5, "2")]
    assert result.duplicates == {"event_parts.a": 1}


def test_records_that_differ_by_their_id_alone_are_no_duplicates(tmp_path: Path) -> None:
    """Results of two specimens stay two rows, those of one become one; a part without ids is judged without."""
    base: Row = {"subject_id": 1, "time": START, "code": "A", "unit": None, "text_value": None, "raw_value": None,
                 "numeric_value": 9.0, "available_time": START, "value_status": "numeric"}  # fmt: skip
    ids = [(1, "7"), (2, "8"), (3, "7"), (4, None), (5, None)]
    with_ids = [{**base, "_row": row, "record_id": one} for row, one in ids]
    with_ids.append({**base, "subject_id": 2, "_row": 6, "record_id": "7"})
    without = [{**base, "_row": row} for row in (1, 2)]
    result, events = merged(tmp_path / "m", {"event_parts.a": with_ids, "event_parts.b": without})
    rows = sorted((row["source"], row["source_row"]) for row in events)
    assert rows == [*(("event_parts.a", row) for row in (1, 2, 4, 6)), ("event_parts.b", 1)]
    assert result.duplicates == {"event_parts.a": 2, "event_parts.b": 1}
    assert "record_id" not in events[0]


def test_the_layout_of_the_files_changes_no_byte(tmp_path: Path) -> None:
    """The same rows in one file or in five, in another order, give the same bytes."""
    rng = random.Random(5)
    parts = {name: [{**random_row(rng, 9), "_row": i // 3} for i in range(400)] for name in sorted(RANKS)}
    merged(tmp_path / "one", parts, n_files=1)
    shuffled = {name: rng.sample(rows, len(rows)) for name, rows in parts.items()}
    merged(tmp_path / "five", shuffled, n_files=5)
    for split in SPLITS:
        assert (tmp_path / "one" / f"{split}.parquet").read_bytes() == (
            tmp_path / "five" / f"{split}.parquet"
        ).read_bytes()


def test_every_split_has_its_subjects_and_no_others(tmp_path: Path) -> None:
    """A subject lies in one file, that of its split, and every subject in some file."""
    rng = random.Random(8)
    parts = {"event_parts.a": [{**random_row(rng, 40), "_row": i} for i in range(500)]}
    result, _ = merged(tmp_path / "m", parts)
    seen: set[int] = set()
    for split in SPLITS:
        ids = pq.read_table(tmp_path / "m" / f"{split}.parquet")["subject_id"].to_numpy()
        assert len(ids) == result.n_rows[split] and set(SPLIT_OF(ids)) == {SPLITS.index(split)}
        seen |= set(ids.tolist())
    assert seen == {row["subject_id"] for row in parts["event_parts.a"]}


def test_a_given_split_wins_over_the_hash() -> None:
    """Listed subjects go where the list says, all others where their hash says."""
    ids = np.arange(-50, 200)
    hashed = SplitOf((0.8, 0.1, 0.1), 4)(ids)
    given = {int(i): int((hashed[i + 50] + 1) % 3) for i in range(0, 150, 3)} | {-50: 2, 10**15: 0}
    splits = SplitOf((0.8, 0.1, 0.1), 4, given)(ids)
    assert splits.tolist() == [given.get(int(i), int(h)) for i, h in zip(ids, hashed, strict=True)]
