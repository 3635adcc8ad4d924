"""Label sets in the form of MEDS, which has one answer a time and no columns beside it."""

from __future__ import annotations

import re

import pyarrow as pa

from tawt.contracts.label_columns import as_labels, asked_names

MEDS_LABELS = {
    "subject_id": pa.int64(), "prediction_time": pa.timestamp("us"), "boolean_value": pa.bool_(),
    "integer_value": pa.int64(), "float_value": pa.float32(), "categorical_value": pa.string(),
}  # fmt: skip
"""The columns of a MEDS label."""


def meds_labels(labels: pa.Table, name: str) -> dict[str, pa.Table]:
    """Return the labels as MEDS has them, by name: one set, or one of each thing that is asked.

    A time to an event is whether it was seen.

    Args:
        labels: A label set.
        name: What it is called; of several things each is called after it.

    Raises:
        ContractError: It is no label set.
    """
    labels = as_labels(labels)
    columns = [column for column in MEDS_LABELS if column in labels.schema.names]
    told = labels.select(columns).cast(pa.schema([(column, MEDS_LABELS[column]) for column in columns]))
    asked = pa.array(asked_names(labels), pa.string())
    each = asked.unique().to_pylist()
    if len(each) < 2:
        return {name: told}
    return {f"{name}-{re.sub(r'[^0-9A-Za-z_.]+', '_', one)}": told.filter(_is(asked, one)) for one in each}


def _is(asked: pa.Array, one: str) -> pa.Array:
    return pa.array([name == one for name in asked.to_pylist()])
