"""What MEDS 0.4 says of its files."""

from __future__ import annotations

import pyarrow as pa

MEDS_VERSION = "0.4.1"
MEDS_TYPES: dict[str, pa.DataType] = {
    "subject_id": pa.int64(),
    "time": pa.timestamp("us"),
    "code": pa.string(),
    "numeric_value": pa.float32(),
    "text_value": pa.large_string(),
}
"""Column -> its type, wherever it stands."""
BIRTH, DEATH = r"^(MEDS_)?BIRTH(//|$)", r"^(MEDS_)?DEATH(//|$)"
"""What codes of a birth and of a death are like: a weight at birth is neither."""
IS_BIRTH, IS_DEATH = f"regexp_matches(code, '{BIRTH}')", f"regexp_matches(code, '{DEATH}')"
"""The same as SQL of an event's `code`."""
