"""What MEDS 0.4 says of its files."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from tawt.files import read_json

MEDS_VERSION = "0.4.1"
MEDS_TYPES: dict[str, pa.DataType] = {
    "subject_id": pa.int64(),
    "time": pa.timestamp("us"),
    "code": pa.string(),
    "numeric_value": pa.float32(),
    "text_value": pa.large_string(),
}
"""Column -> its type, wherever it stands."""
ABOUT, NAME = "metadata/dataset.json", "dataset_name"
"""File of a dataset that says what it is, and its key for what it calls itself."""
CARD, CROISSANT = "README.md", "croissant.json"
"""Files of a dataset that tell of it, to people and to machines: they are none of what it holds."""
SYNTHETIC_NAME = "synthetic"
"""What a dataset of invented records calls itself."""
BIRTH, DEATH = r"^(MEDS_)?BIRTH(//|$)", r"^(MEDS_)?DEATH(//|$)"
"""What codes of a birth and of a death are like: a weight at birth is neither."""
IS_BIRTH, IS_DEATH = f"regexp_matches(code, '{BIRTH}')", f"regexp_matches(code, '{DEATH}')"
"""The same as SQL of an event's `code`."""


def dataset_name(root: Path | None) -> str | None:
    """Return what a MEDS dataset calls itself; None where a folder is none, or it says nothing that can be told."""
    told = read_json(root / ABOUT) if root is not None else None
    name = told.get(NAME) if isinstance(told, dict) else None
    return name if isinstance(name, str) and name.isprintable() and 0 < len(name) <= 200 else None


def meds_types(root: Path) -> dict[str, pa.DataType]:
    """Return the columns of MEDS that a dataset may have: before 0.4, a text was a column of its own of any type."""
    told = read_json(root / ABOUT)
    version = told.get("meds_version") if isinstance(told, dict) else None
    is_old = isinstance(version, str) and version.startswith(("0.3.", "0.2.", "0.1."))
    return {name: kind for name, kind in MEDS_TYPES.items() if not (is_old and name == "text_value")}
