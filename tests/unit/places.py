"""Small MEDS datasets of invented places, which workspaces are made of in a second."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

HOUR = 3_600_000_000
Codes = Mapping[str, tuple[Any, ...]]
"""Code -> (description, parents, how its values are made of a generator: numbers, texts or nothing, its unit)."""


def write_place(
    folder: Path, codes: Codes, *, n_subjects: int = 60, n_each: int = 4, seed: int = 0, rare: Sequence[str] = ()
) -> Path:
    """Write a raw MEDS folder: every subject has some rows of each code, every third subject of the `rare` ones."""
    rows: list[dict[str, Any]] = []
    for subject in range(1, n_subjects + 1):
        for code, (_, _, make, unit) in codes.items():
            if code in rare and subject % 3:
                continue
            rng = np.random.default_rng([seed, subject, zlib.crc32(code.encode())])
            for hour in np.sort(rng.integers(0, 200, n_each)):
                value = make(rng) if make is not None else None
                number = value if isinstance(value, float) else None
                rows.append({
                    "subject_id": subject, "time": int(hour) * HOUR, "code": code, "numeric_value": number,
                    "text_value": value if isinstance(value, str) else None, "unit": unit if number is not None else None,
                })  # fmt: skip
    schema = pa.schema([
        ("subject_id", pa.int64()), ("time", pa.int64()), ("code", pa.string()), ("numeric_value", pa.float32()),
        ("text_value", pa.string()), ("unit", pa.string()),
    ])  # fmt: skip
    table = pa.Table.from_pylist(rows, schema=schema)
    table = table.set_column(1, "time", table["time"].cast(pa.timestamp("us")))
    (folder / "data").mkdir(parents=True, exist_ok=True)
    (folder / "metadata").mkdir(exist_ok=True)
    pq.write_table(table, folder / "data" / "0.parquet")
    told = [{"code": code, "description": text, "parent_codes": parents} for code, (text, parents, *_) in codes.items()]
    meta = pa.schema([("code", pa.string()), ("description", pa.string()), ("parent_codes", pa.list_(pa.string()))])
    pq.write_table(pa.Table.from_pylist(told, schema=meta), folder / "metadata" / "codes.parquet")
    return folder
