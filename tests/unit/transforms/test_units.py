"""Units and ranges, held to a re-implementation that takes one row at a time."""

from __future__ import annotations

import math
import random
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from tawt.config.pipeline import DataType, PipelineConfig
from tawt.contracts.value_status import STATUS_NAMES
from tawt.errors import ConfigError
from tawt.project import Project, asset
from tawt.transforms.unit_rules import PairRules
from tawt.transforms.units import Units

FLOAT32_MAX = float(np.finfo(np.float32).max)

DATA_TYPES = {
    "GLU": DataType(concept="glucose", unit="mg/dL"),
    "TEMP": DataType(concept="temperature"),
    "DECLARED": DataType(unit="mL", low=0, high=500),
    "BOUND": DataType(high=10.0),
    "INR": DataType(concept="inr"),
}
CODES = [*DATA_TYPES, "FREE", "NO_UNIT", "RARE"]
UNITS = {
    "GLU": ["mg/dL", "MG/DL", " mg/dl ", "mmol/L", "furlong", None],
    "TEMP": ["degF", "Deg. C", "°F", "celsius", "K/uL", None],
    "DECLARED": ["L", "cc", "mL", "gallon"],
    "BOUND": [None, "x"],
    "INR": [None, None, None, "mg/dL"],
    "FREE": ["kg", "lb", "LBS", "stone", "stone", "stone"],
    "NO_UNIT": [None, "", "  "],
    "RARE": ["g/L", "g/dl", "g/dL"],
}
NUMBERS = [0.0, -0.0, 1.0, 5.5, 98.6, 37.0, 400.0, 9999.0, -3.0, 1e39, -1e300, 1e-60, None, math.nan, math.inf]
STATUSES = ["numeric", "numeric", "numeric", "censored_low", "censored_high", "unparsed", "category", "absent", "none"]


def pipeline() -> PipelineConfig:
    return PipelineConfig(name="t", source="t", data_types=DATA_TYPES)


def random_rows(seed: int, n: int = 600) -> list[dict[str, Any]]:
    rng = random.Random(seed)
    rows = []
    for _ in range(n):
        code = rng.choice(CODES)
        status = rng.choice(STATUSES)
        rows.append(
            {
                "code": code,
                "unit": rng.choice(UNITS[code]),
                "numeric_value": rng.choice(NUMBERS) if rng.random() < 0.7 else rng.uniform(-5, 700),
                "text_value": rng.choice(["POS", None]) if status == "category" else None,
                "value_status": status,
                "train": code != "RARE" and rng.random() < 0.7,
            }
        )
    return rows


def as_table(rows: list[dict[str, Any]]) -> pa.Table:
    types = {"code": pa.string(), "unit": pa.string(), "numeric_value": pa.float64(), "text_value": pa.string()}
    types["value_status"] = pa.string()
    return pa.table({name: pa.array([row[name] for row in rows], type_) for name, type_ in types.items()})


def finite(x: float | None) -> bool:
    return x is not None and math.isfinite(x)


def pair_counts(rows: list[dict[str, Any]]) -> pa.Table:
    """What `_pair_counts` asks the engine for."""
    pairs = Counter((r["code"], r["unit"]) for r in rows if finite(r["numeric_value"]))
    train = Counter((r["code"], r["unit"]) for r in rows if finite(r["numeric_value"]) and r["train"])
    return pa.Table.from_pylist(
        [{"code": c, "unit": u, "n_train": train[c, u], "n": n} for (c, u), n in pairs.items()],
        schema=pa.schema([("code", pa.string()), ("unit", pa.string()), ("n_train", pa.int64()), ("n", pa.int64())]),
    )


class Naive:
    """The rules in plain Python, from the seeds alone."""

    def __init__(self, rows: list[dict[str, Any]], units: Units) -> None:
        self.units = units
        self.rows = [row for row in rows if finite(row["numeric_value"])]

    def spelled(self, unit: str | None) -> str | None:
        if unit is None or not unit.strip():
            return None
        return self.units.spellings.get(unit.strip().lower(), unit.strip())

    def seen(self, code: str) -> Counter[str | None]:
        mine = [row for row in self.rows if row["code"] == code]
        train = [row for row in mine if row["train"]]
        return Counter(self.spelled(row["unit"]) for row in (train or mine))

    def canonical(self, code: str) -> str | None:
        known, seen = DATA_TYPES.get(code), self.seen(code)
        if known is not None and known.unit is not None:
            return known.unit
        if known is not None and known.concept is not None and set(seen) - {None}:
            return self.units.ranges[known.concept][0] or None
        best = max(seen.values())
        ties = [unit for unit, n in seen.items() if n == best]
        return min((u for u in ties if u is not None), default=None)

    def judge(self, row: dict[str, Any]) -> tuple[float | None, str, str | None]:
        """Return number, status and canonical unit of one row."""
        x, status, code = row["numeric_value"], row["value_status"], row["code"]
        if not finite(x):
            if status in ("numeric", "censored_low", "censored_high"):
                status = "unparsed"
            if status == "category" and row["text_value"] is None:
                status = "absent"
            return None, status, None
        if status == "category" and row["text_value"] is None:
            status = "absent"
        canonical, known = self.canonical(code), DATA_TYPES.get(code, DataType())
        spelled = self.spelled(row["unit"])
        if spelled != canonical and not (spelled is None and not set(self.seen(code)) - {None}):
            found = None
            for concept in (known.concept or "", ""):
                found = found or self.units.conversions.get((concept, spelled or "", canonical or ""))
            if found is None:
                return None, "unit_unknown", None
            x = x * found[0] + found[1]
        low, high = -math.inf, math.inf
        if known.concept in self.units.ranges:
            unit, *bounds = self.units.ranges[known.concept]
            if canonical is None or unit in (canonical, ""):
                low, high = bounds
        low = known.low if known.low is not None else low
        high = known.high if known.high is not None else high
        if (status == "numeric" and not low <= x <= high) or abs(x) > FLOAT32_MAX:
            return None, "out_of_range", None
        return float(np.float32(x)), status, canonical


@pytest.mark.parametrize("seed", range(6))
def test_every_row_is_judged_as_one_at_a_time(seed: int) -> None:
    """Number, status and unit of random rows equal the per-row rules: conversions, spellings, bounds, no unit."""
    rows = random_rows(seed)
    units = Units.of(pipeline())
    judged = PairRules.fit(pair_counts(rows), units).judge(as_table(rows))
    naive = Naive(rows, units)
    met, names = Counter(), judged.looked_up.name.to_pylist()
    for i, row in enumerate(rows):
        value, status, unit = naive.judge(row)
        assert judged.usable[i] == (value is not None), row
        assert STATUS_NAMES[judged.status[i]] == status, row
        if value is not None:
            assert float(judged.value[i]) == value, row
            assert judged.looked_up.unit[judged.rule[i]].as_py() == unit, row
        else:
            assert math.isnan(judged.value[i])
        met[status] += 1
        met[names[judged.rule[i]]] += int(judged.came[i])
    assert {"numeric", "unit_unknown", "out_of_range", "censored_low", "unparsed", "category", "absent"} <= set(met)
    assert {"spelling", "convert:mmol/L->mg/dL", "convert:degF->degC", "convert:L->mL", "unknown"} <= set(met)


def test_a_zero_has_no_sign() -> None:
    """-0.0 becomes 0.0, also where a number is too small for float32: they are equal and must be equal bytes."""
    rows = [{"code": "FREE", "unit": None, "numeric_value": x, "text_value": None, "value_status": "numeric", "train": True}
            for x in (-0.0, 0.0, -1e-60)]  # fmt: skip
    judged = PairRules.fit(pair_counts(rows), Units.of(pipeline())).judge(as_table(rows))
    assert judged.value.tobytes() == np.zeros(3, np.float32).tobytes()


def test_a_unit_seen_outside_train_changes_nothing_in_train() -> None:
    """Train never gives a unit: its numbers are believed, whatever unit one held-out row comes in."""
    base = {"code": "GLU", "text_value": None, "value_status": "numeric"}
    train = [{**base, "unit": None, "numeric_value": 100.0 + i, "train": True} for i in range(5)]
    outside = [
        {**base, "unit": "mg/dL", "numeric_value": 90.0, "train": False},
        {**base, "unit": "mmol/L", "numeric_value": 5.0, "train": False},
        {**base, "unit": "furlong", "numeric_value": 5.0, "train": False},
    ]
    units = Units.of(pipeline())
    for rows in (train, train + outside):
        judged = PairRules.fit(pair_counts(rows), units).judge(as_table(rows))
        assert judged.value[:5].tolist() == [100.0, 101.0, 102.0, 103.0, 104.0]
    assert judged.value[5:7].tolist() == [90.0, float(np.float32(5.0 * 18.016))]
    assert STATUS_NAMES[judged.status[7]] == "unit_unknown"


def test_no_unit_can_be_the_canonical_one() -> None:
    """Where most numbers in train have no unit, those with one are marked unknown, never averaged in."""
    base = {"code": "INDEX", "text_value": None, "value_status": "numeric", "train": True}
    rows = [{**base, "unit": None, "numeric_value": 1.0}] * 3 + [{**base, "unit": "mg/dL", "numeric_value": 80.0}] * 2
    judged = PairRules.fit(pair_counts(rows), Units.of(pipeline())).judge(as_table(rows))
    assert judged.usable.tolist() == [True, True, True, False, False]
    assert [STATUS_NAMES[s] for s in judged.status[3:]] == ["unit_unknown"] * 2


def test_a_censored_bound_outside_the_range_stays() -> None:
    """`>1000` of a data_type with a range up to 10 keeps its bound; a measured 1000 is out of range."""
    base = {"code": "BOUND", "unit": None, "numeric_value": 1000.0, "text_value": None, "train": True}
    rows = [{**base, "value_status": status} for status in ("censored_high", "numeric")]
    judged = PairRules.fit(pair_counts(rows), Units.of(pipeline())).judge(as_table(rows))
    assert judged.value[0] == 1000.0
    assert [STATUS_NAMES[s] for s in judged.status] == ["censored_high", "out_of_range"]


def test_named_rules_are_counted() -> None:
    """`rule_counts` sums the numbers of the rules of one name, and names none that had no number."""
    rows = random_rows(11)
    judged = PairRules.fit(pair_counts(rows), Units.of(pipeline())).judge(as_table(rows))
    used = judged.rule[judged.came][::3]
    names = Counter(judged.looked_up.name.take(pa.array(used)).to_pylist())
    counts = np.bincount(used, minlength=len(judged.looked_up.known))
    assert judged.rule_counts(counts) == {name: names[name] for name in sorted(n for n in names if n is not None)}


@pytest.mark.parametrize("name", ["unit_spellings", "unit_conversions", "plausible_ranges"])
def test_a_seed_without_rows_is_refused(name: str, tmp_path: Path) -> None:
    """A file that was cut down to its header would convert nothing and say nothing; it is named instead."""
    seeds = tmp_path / "sql" / "shared" / "seeds"
    shutil.copytree(asset("sql/shared/seeds"), seeds)
    assert Units.of(pipeline(), Project.at(tmp_path)).spellings
    seed = seeds / f"{name}.csv"
    seed.write_text(seed.read_text().splitlines(keepends=True)[0])
    with pytest.raises(ConfigError, match=rf"{name}\.csv: has a header alone, expected a header and rows"):
        Units.of(pipeline(), Project.at(tmp_path))


@pytest.mark.parametrize(
    ("name", "row", "what"),
    [
        ("unit_conversions", "glucose,mmol/L,oz,0,0", "makes one number of all"),
        ("unit_conversions", "glucose,mmol/L,oz,nan,0", "makes one number of all"),
        ("unit_conversions", "glucose,mmol/L,oz,2", None),
        ("plausible_ranges", "zeal,oz,3,1", "has no number between"),
        ("plausible_ranges", "zeal,oz,nan,1", "has no number between"),
        ("plausible_ranges", "zeal,oz,1,x", "`high` is no number"),
        ("unit_spellings", "MMOL/L,oz", "says again what line"),
    ],
)
def test_a_row_of_a_seed_that_can_be_none_is_told_with_its_line(
    name: str, row: str, what: str | None, tmp_path: Path
) -> None:
    """What turns all numbers into one, a range without a number, or one thing said twice ends before anything runs."""
    seeds = tmp_path / "sql" / "shared" / "seeds"
    shutil.copytree(asset("sql/shared/seeds"), seeds)
    seed = seeds / f"{name}.csv"
    n_lines = len(seed.read_text().splitlines()) + 1
    header = seed.read_text().splitlines()[0].split(",")
    cells = dict(zip(_HEADERS[name], row.split(","), strict=False))
    seed.write_text(seed.read_text().rstrip() + "\n" + ",".join(cells.get(one, "") for one in header) + "\n")
    if what is None:
        assert Units.of(pipeline(), Project.at(tmp_path))
    else:
        with pytest.raises(ConfigError, match=rf"{name}\.csv:{n_lines}: {what}"):
            Units.of(pipeline(), Project.at(tmp_path))


_HEADERS = {
    "unit_conversions": ("concept", "from_unit", "to_unit", "factor", "offset"),
    "plausible_ranges": ("concept", "unit", "low", "high"), "unit_spellings": ("spelling", "unit"),
}  # fmt: skip


def test_a_unit_of_numbers_that_come_without_one_may_be_any() -> None:
    """What the pipeline says of a code whose source gives no units is their unit; where it gives some, it is one of them."""
    units = Units.of(PipelineConfig(name="t", source="t", data_types={"AGE": DataType(unit="years")}))
    counts = {"n_train": pa.array([3], pa.int64()), "n": pa.array([3], pa.int64())}
    units.hold(pa.table({"code": ["AGE"], "unit": pa.array([None], pa.string()), **counts}))
    with pytest.raises(ConfigError, match="`years` is of no seed"):
        units.hold(pa.table({"code": ["AGE"], "unit": ["months"], **counts}))
