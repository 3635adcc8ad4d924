"""A vocabulary that goes on from another one: what is old stays as it was, what is new stands behind it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pyarrow as pa

from tawt.contracts.cells import RARE, SMALL_CELL
from tawt.errors import StageError

_NUMBERS = (
    "n_values", "n_value_subjects", "unit", "mean", "std", "quantiles", "normalization", "center", "scale", "bin_edges",
    "n_bins", "bin_subjects", "edge_subjects", "center_subjects", "most_of_one", "share_of_one", "pull_of_one",
)  # fmt: skip
"""What is known of a data_type's numbers."""
_SHOWN = 3


def extended(base: pa.Table, fitted: pa.Table, max_categories: int) -> pa.Table:
    """Return a vocabulary that begins with another one's rows.

    An old row stays, with its index, counts, statistics, edges and categories. Behind its categories come those that
    are new, by count, as far as there is room; one that had neither numbers nor categories takes both. Behind the old
    rows come the data_types that are new, in the order in which they were fitted.

    Args:
        base: What it begins with.
        fitted: What train has now, fitted by itself.
        max_categories: Most categories of a data_type that new ones are added to.

    Raises:
        StageError: Numbers of a data_type are in another unit now than the base's.
    """
    rows, now = base.to_pylist(), {row["code"]: row for row in fitted.to_pylist()}
    _hold_units(rows, now)
    names = fitted.schema.names
    out = [_grown({name: row.get(name) for name in names}, now.get(row["code"]), max_categories) for row in rows]
    old = {row["code"] for row in rows}
    out += [row for code, row in now.items() if code not in old]
    for index, row in enumerate(out):
        row["data_type"] = index
    return pa.Table.from_pylist(out, schema=fitted.schema)


def _grown(old: dict[str, Any], now: dict[str, Any] | None, max_categories: int) -> dict[str, Any]:
    if now is None or old["value_kind"] == "special":
        return old
    if old["value_kind"] == "none":
        if now["value_kind"] == "none":
            return old
        old |= {name: now[name] for name in (*_NUMBERS, "categories", "category_subjects", "value_kind")}
        return old
    subjects = dict(zip(now["categories"], now["category_subjects"], strict=True))
    room = max(0, max_categories - len(old["categories"]))
    new = [text for text in now["categories"] if text not in set(old["categories"])][:room]
    if new:
        known = old["category_subjects"] or [0] * len(old["categories"])
        old |= {
            "categories": [*old["categories"], *new], "category_subjects": [*known, *(subjects[t] for t in new)],
            "value_kind": "mixed" if old["n_bins"] else "categorical",
        }  # fmt: skip
    return old


def _hold_units(rows: list[dict[str, Any]], now: dict[str, dict[str, Any]]) -> None:
    """Refuse numbers of another unit: the old mean and edges would be wrong for them without a word."""
    other = []
    for row in rows:
        here = now.get(row["code"])
        # a shared vocabulary counts no values, but says in which unit its numbers are
        if here is not None and row["n_bins"] and here["n_bins"] and row["unit"] != here["unit"]:
            other.append((row, here))
    named = [(row["code"], row["unit"]) for row, here in other if here["n_value_subjects"] > SMALL_CELL]
    if other:
        said = ", ".join(code for code, _ in named[:_SHOWN]) or RARE
        more = f" and {len(other) - _SHOWN} more" if len(other) > _SHOWN and named else ""
        unit = next((f"`data_types: {{{code}: {{unit: {unit}}}}}`" for code, unit in named if unit), "the base's")
        raise StageError(
            "vocabulary", f"has numbers in another canonical unit than the base: {said}{more}, expected the base's",
            f"say it in the pipeline, as {unit}, and ingest again",
        )  # fmt: skip


def n_unknown(base: pa.Table, codes: Iterable[str], n_rows: Iterable[int]) -> int:
    """Return how many rows are of codes that a vocabulary does not have."""
    known = set(base["code"].to_pylist())
    return sum(int(n) for code, n in zip(codes, n_rows, strict=True) if code not in known)


def growth(base: pa.Table, table: pa.Table) -> list[tuple[str, str, int]]:
    """Return what a vocabulary has beside the one that it goes on from: data_type, what of it, and rows in train.

    Data_types of few people are told together.
    """
    old = {row["code"]: row for row in base.to_pylist()}
    told: list[tuple[str, str, int]] = []
    few: dict[str, list[int]] = {}
    for row in table.to_pylist():
        before = old.get(row["code"])
        what = [] if before is not None else ["new"]
        if before is not None and (n := len(row["categories"]) - len(before["categories"])):
            what.append(f"{n:,} more categories" if n > 1 else "1 more category")
        if before is not None and row["n_bins"] and not before["n_bins"]:
            what.append("numbers")
        if not what:
            continue
        if row["n_subjects"] > SMALL_CELL or (before is not None and before["n_subjects"] == row["n_subjects"] == 0):
            told.append((row["code"], " and ".join(what), row["n_rows"]))
        else:
            few.setdefault("new" if before is None else "grown", []).append(row["n_rows"])
    return told + [(RARE, f"{len(rows):,} {what}", sum(rows)) for what, rows in few.items()]
