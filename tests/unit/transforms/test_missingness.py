"""`not_measured` triplets, held to a brute force over every window."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from tawt.config.pipeline import Panel, PipelineConfig
from tawt.contracts.contract import own_contract
from tawt.contracts.value_status import ValueStatus
from tawt.transforms.triplets import Coder, to_triplets

HOUR = 3_600_000_000
CODES = ["[PAD]", "[UNK]", "[MASK]", "[CLS]", "ADM//a", "ADM//b", "x", "y", "z"]
TRIPLETS = own_contract("triplets")
NO_TIME = None
Row = dict[str, Any]


def coder() -> Coder:
    n = len(CODES)
    return Coder(
        index={code: i for i, code in enumerate(CODES)}, center=np.zeros(n), scale=np.ones(n),
        by_rank=np.zeros(n, bool), fitted=np.zeros(n, bool), n_bins=np.zeros(n, int), edges=np.zeros(0),
        edge_start=np.zeros(n + 1, int), quantiles={}, categories=[{} for _ in range(n)],
    )  # fmt: skip


def events_of(rows: list[Row]) -> pa.Table:
    n = len(rows)
    return pa.table(
        {
            "subject_id": pa.array([r["subject"] for r in rows], pa.int64()),
            "time": pa.array([r["time"] for r in rows], pa.int64()).cast(pa.timestamp("us")),
            "code": pa.array([r["code"] for r in rows], pa.string()),
            "numeric_value": pa.nulls(n, pa.float32()),
            "text_value": pa.nulls(n, pa.large_string()),
            "available_time": pa.array([r["available"] for r in rows], pa.int64()).cast(pa.timestamp("us")),
            "value_status": pa.array(["none"] * n, pa.string()),
        }
    )


def random_rows(rng: random.Random) -> list[Row]:
    """Few hours, so that rows fall onto the ends of windows, and starts into the windows of others."""
    rows = []
    for subject in range(12):
        for _ in range(rng.choice([1, 3, 12])):
            time = rng.choice([NO_TIME, *[rng.randrange(60) * HOUR] * 9])
            late = None if time is None else time + rng.choice([0, 0, 3, 20]) * HOUR
            rows.append(
                {"subject": subject, "time": time, "code": rng.choice([*CODES[4:], "unseen"]), "available": late}
            )
    return sorted(rows, key=lambda r: (r["subject"], -1 if r["time"] is None else r["time"]))


def brute_force(rows: list[Row], panel: Panel, clock: str) -> set[tuple[int, int, str]]:
    """(subject, window's end, code) of everything expected and not there."""
    out = set()
    width = round(panel.window_hours * HOUR)
    for subject in {r["subject"] for r in rows}:
        mine = [(r[clock], r["code"]) for r in rows if r["subject"] == subject and r["time"] is not None]
        if not mine:
            continue
        starts = (
            [min(t for t, _ in mine)]
            if panel.start == "first_event"
            else [t for t, c in mine if c.startswith(panel.start)]
        )
        for start in starts:
            for k in range(panel.max_windows):
                low, high = start + k * width, start + (k + 1) * width
                if high > max(t for t, _ in mine):
                    break
                for code in panel.data_types:
                    there = any(c == code and (low < t <= high or (k == 0 and t == low)) for t, c in mine)
                    if code in CODES and not there:
                        out.add((subject, high, code))
    return out


PANELS = [
    Panel(name="first", data_types=("x", "y"), window_hours=6, max_windows=4),
    Panel(name="capped", data_types=("x",), window_hours=2.5, max_windows=1),
    Panel(name="admission", data_types=("y", "z", "not in train"), start="ADM", window_hours=12, max_windows=3),
    Panel(name="one kind", data_types=("z",), start="ADM//b", window_hours=24, max_windows=2),
    Panel(name="never", data_types=("x",), start="NO SUCH CODE", window_hours=1, max_windows=9),
    Panel(name="unknown", data_types=("not in train",), window_hours=1, max_windows=9),
]


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel.name)
@pytest.mark.parametrize("clock", ["time", "available_time"])
def test_each_missing_member_of_a_panel_is_said_once(panel: Panel, clock: str) -> None:
    """Exactly the windows that a brute force finds empty get a triplet, at their end, available then, and counted."""
    met = 0
    for seed in range(6):
        rows = random_rows(random.Random(seed))
        pipeline = PipelineConfig(name="t", source="t", clock=clock, panels=(panel,))
        triplets, counts = to_triplets(events_of(rows), coder(), pipeline, TRIPLETS)
        expected = brute_force(rows, panel, "time" if clock == "time" else "available")
        met += len(expected)
        table = triplets.set_column(1, "timestamp", triplets["timestamp"].cast(pa.int64()))
        table = table.set_column(6, "available_time", table["available_time"].cast(pa.int64()))
        added = [row for row in table.to_pylist() if row["value_status"] == ValueStatus.NOT_MEASURED]
        assert Counter((r["subject_id"], r["timestamp"], CODES[r["data_type"]]) for r in added) == Counter(expected)
        assert all(r["available_time"] == r["timestamp"] and r["value"] == r["value_token"] == 0 for r in added)
        assert counts.n_not_measured == ({panel.name: len(expected)} if expected else {})
        assert len(triplets) == len(rows) + len(expected)
        order = [(r["subject_id"], -1 if r["timestamp"] is None else r["timestamp"]) for r in table.to_pylist()]
        assert order == sorted(order)
    assert met > 0 or panel.name in ("never", "unknown")


def test_panels_do_not_see_what_other_panels_added() -> None:
    """A triplet that one panel adds neither lengthens the record nor counts as measured for the next one."""
    rows = random_rows(random.Random(3))
    one = PANELS[0]
    twice = (one, one.model_copy(update={"name": "again"}))
    pipeline = PipelineConfig(name="t", source="t", panels=twice)
    _, counts = to_triplets(events_of(rows), coder(), pipeline, TRIPLETS)
    assert counts.n_not_measured["first"] == counts.n_not_measured["again"] == len(brute_force(rows, one, "time"))
