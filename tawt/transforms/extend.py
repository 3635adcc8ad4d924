"""A vocabulary that goes on from another one: what is old stays as it was, what is new stands behind it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pyarrow as pa

from tawt.contracts.cells import RARE, SMALL_CELL, Part, together
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


def growth(base: pa.Table, table: pa.Table, n_unknown: int) -> list[tuple[str, str, int | None]]:
    """Return what a vocabulary has beside the one that it goes on from: data_type, what of it, and rows in train.

    Data_types of few people are told together, the new ones so that their rows do not follow from the others'.

    Args:
        base: What it goes on from.
        table: The vocabulary.
        n_unknown: Rows of train that the base did not know.
    """
    old = {row["code"]: row for row in base.to_pylist()}
    told: list[tuple[str, str, int | None]] = []
    fresh: list[Part] = []
    n_few = 0
    for row in table.to_pylist():
        if (before := old.get(row["code"])) is None:
            fresh.append(Part(row["code"], row["n_rows"], row["n_subjects"]))
            continue
        n, what = len(row["categories"]) - len(before["categories"]), []
        if n:
            what.append(f"{n:,} more categories" if n > 1 else "1 more category")
        if row["n_bins"] and not before["n_bins"]:
            what.append("numbers")
        if what and is_named(row["n_subjects"]):
            told.append((row["code"], " and ".join(what), row["n_rows"]))
        n_few += bool(what) and not is_named(row["n_subjects"])
    # rows of codes that train has and the vocabulary leaves out are unknown too
    left_out = Part("", n_unknown - sum(part.n_rows for part in fresh), 0)
    gone, name, n_rows = together([*fresh, left_out])
    told += [(part.name, "new", part.n_rows) for part in fresh if part.name not in gone]
    if n := sum(part.name in gone for part in fresh):
        told.append((name, f"{n:,} new", n_rows))
    return [*told, (RARE, f"{n_few:,} grown", None)] if n_few else told


def is_named(n_subjects: int) -> bool:
    """Return whether an old data_type may be named that so many people have; 0 = it comes from a shared model."""
    return n_subjects > SMALL_CELL or not n_subjects
