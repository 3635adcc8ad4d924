"""A label set in the form of MEDS, which has one answer a time and no columns beside it."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from tawt.contracts.label_columns import as_labels
from tawt.errors import ContractError, listed
from tawt.labels.count import without_rare

MEDS_LABELS = {
    "subject_id": pa.int64(), "prediction_time": pa.timestamp("us"), "boolean_value": pa.bool_(),
    "integer_value": pa.int64(), "float_value": pa.float32(), "categorical_value": pa.string(),
}  # fmt: skip
"""The columns of a MEDS label."""


def meds_labels(labels: pa.Table, target: str | None = None, horizon_hours: float | None = None) -> pa.Table:
    """Return the labels as MEDS has them; a time to an event is whether it was seen.

    Args:
        labels: A label set.
        target: Which of several things is asked for.
        horizon_hours: Which of several horizons, hours.

    Raises:
        ContractError: It is no label set, or asks for several things of which none was chosen.
    """
    labels = as_labels(labels)
    for name, chosen in (("target", target), ("horizon_hours", horizon_hours)):
        there = pc.unique(labels[name]).to_pylist() if name in labels.schema.names else [None]
        known = f"choose: {listed(_told(labels, name))}" if there != [None] else ""
        if chosen is None and len(there) > 1:
            raise ContractError("labels", f"hold {len(there)} answers a time by `{name}`, expected one", known)
        if chosen is not None:
            if chosen not in there:
                raise ContractError("labels", f"have no `{name}` {chosen}", known)
            labels = labels.filter(pc.equal(labels[name], pa.scalar(chosen)))
    names = [name for name in MEDS_LABELS if name in labels.schema.names]
    return labels.select(names).cast(pa.schema([(name, MEDS_LABELS[name]) for name in names]))


def _told(labels: pa.Table, name: str) -> list[str]:
    """Return the answers that may be named: hours, and targets of more than few subjects."""
    if name == "target":
        return sorted(pc.unique(without_rare(labels[name], labels["subject_id"], "one of few subjects")).to_pylist())
    return [*map(str, pc.unique(labels[name]).to_pylist())]
