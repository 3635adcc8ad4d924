"""The columns of a label set, from whatever it came: what there must be, of which type, and what a span of time is."""

from __future__ import annotations

import re
from collections.abc import Iterable

import pyarrow as pa
import pyarrow.compute as pc

from tawt.contracts.cells import few
from tawt.contracts.contract import own_contract
from tawt.errors import ContractError, TawtError, listed

KEYS = ("subject_id", "prediction_time")
ASIDE = ("target", "horizon_hours")
"""Columns that tell several answers of one time apart."""
ANSWERS = ("boolean_value", "integer_value", "float_value", "categorical_value", "duration_hours")
# what a column of somebody else's is called can be what stands in a cell: it is not said
_KNOWN = f"call its columns {listed([*KEYS])}, and one of {listed([*ANSWERS])}"
_ON_SCALE = re.compile(r"\s*(?P<sign>[<>]=?)?\s*(?P<number>-?\d+(?:\.\d+)?)")
"""How a class on a scale begins."""
_SPANS = {"duration_hours": pc.greater_equal, "horizon_hours": pc.greater}
"""Columns of hours -> what they are to 0."""


def as_labels(
    labels: pa.Table, where: str = "labels", kind: type[TawtError] = ContractError, *, answered: bool = True
) -> pa.Table:
    """Return a label set in the types of the contract; what it has beside its columns is left out.

    Args:
        labels: A label set.
        where: What is said of it.
        kind: The error to raise.
        answered: Whether it has to have a column that answers.

    Raises:
        TawtError: Of that kind: a column is missing, null, in a time zone, or of a type that does not become that of
            the contract.
    """
    have = labels.schema.names
    for name in KEYS:
        if name not in have:
            raise kind(where, f"column `{name}` is missing, expected MEDS labels", _KNOWN)
    if answered and not any(name in have for name in ANSWERS):
        raise kind(where, f"no column holds an answer, expected one of {listed(ANSWERS)}", _KNOWN)
    columns = {}
    for column in own_contract("label_sets").columns:
        if column.name not in have:
            continue
        if (zone := getattr(labels.schema.field(column.name).type, "tz", None)) is not None:
            what = f"column `{column.name}` is in the time zone {zone}, expected clock times as events have them"
            raise kind(where, what, "write the times as they stood on the clock, without a zone")
        try:
            columns[column.name] = labels[column.name].cast(column.arrow_type)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
            found = labels.schema.field(column.name).type
            raise kind(
                where, f"column `{column.name}` is {found}, expected {column.type}", "write it with that type"
            ) from None
        if not column.nullable and (n := columns[column.name].null_count):
            raise kind(where, f"column `{column.name}` is null in {few(n)} rows, expected none", "leave them out")
    return pa.table(columns)


def asked_names(labels: pa.Table) -> list[str]:
    """Return what each row asks, by its target and horizon, as `death 24 h`; `label` where neither is told."""
    targets, horizons = (
        labels[name].to_pylist() if name in labels.schema.names else [None] * len(labels) for name in ASIDE
    )
    return [
        " ".join(filter(None, (target, None if hours is None else f"{hours:g} h"))) or "label"
        for target, hours in zip(targets, horizons, strict=True)
    ]


def no_spans(labels: pa.Table) -> dict[str, int]:
    """Return how many cells of each column of hours are no span of time, where there are any.

    A span is finite and not negative; one up to which something is asked is not 0 either.

    Args:
        labels: In the types of the contract.
    """
    found = {}
    for name, fits in _SPANS.items():
        if name in labels.schema.names:
            hours = labels[name].drop_null()
            spans = pc.and_(pc.is_finite(hours), fits(hours, 0.0))
            found[name] = len(hours) - int(pc.sum(spans).as_py() or 0)
    return {name: n for name, n in found.items() if n}


def in_order(classes: Iterable[str]) -> list[str]:
    """Return classes in the order of a scale, as `<3.5`, `3.5 to 4.5`, `>=4.5`, where all are on one; else of texts."""
    read = {name: _ON_SCALE.match(name) for name in classes}

    def place(name: str) -> tuple[float, int, str]:
        match = read[name]
        if match is None or not all(read.values()):
            return 0.0, 0, name
        return float(match["number"]), {"<": -1, ">": 1}.get((match["sign"] or "")[:1], 0), name

    return sorted(read, key=place)
