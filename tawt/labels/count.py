"""What a label set answers, in counts by split that tell of no few people."""

from __future__ import annotations

from collections import defaultdict

import pyarrow as pa
import pyarrow.compute as pc

from tawt.contracts.cells import SMALL_CELL, told

_MOST_CLASSES = 30
COLUMNS = ("split", "asked", "answer", "subjects", "labels")


def counts_of(labels: pa.Table, splits: pa.Table) -> list[dict[str, str]]:
    """Return how many subjects and labels of each split have which answer, as texts.

    Of few subjects is told that they are few; so it is of another cell where a difference would tell of them. Their
    labels are not told.

    Args:
        labels: In columns of `schemas/label_sets.json`.
        splits: `subject_id` and `split` of each subject.
    """
    of = pc.index_in(labels["subject_id"], splits["subject_id"].combine_chunks())
    table = pa.table({
        "split": splits["split"].combine_chunks().take(of), "asked": _asked(labels), "answer": _answers(labels),
        "subject_id": labels["subject_id"],
    })  # fmt: skip
    counted = table.group_by(list(COLUMNS[:3])).aggregate([("subject_id", "count_distinct"), ("subject_id", "count")])
    cells: dict[str, dict[tuple[str, str, str], tuple[int, int]]] = defaultdict(dict)
    for row in counted.to_pylist():
        key = (row["split"] or "none", row["asked"], row["answer"] or "not known")
        cells[row["asked"]][key] = row["subject_id_count_distinct"], row["subject_id_count"]
    whole = table.group_by(list(COLUMNS[:2])).aggregate([("subject_id", "count_distinct")]).to_pylist()
    people = {(row["split"] or "none", row["asked"]): row["subject_id_count_distinct"] for row in whole}
    rows = []
    for own in cells.values():
        texts = told({"\0".join(key): n for key, (n, _) in own.items()})
        # who has one answer alone is what a split's subjects less those with another leave
        texts |= {
            "\0".join(key): f"{SMALL_CELL + 1}+"
            for key, (n, _) in own.items() if n > SMALL_CELL and 0 < people[key[:2]] - n <= SMALL_CELL
        }  # fmt: skip
        for key in sorted(own, key=lambda key: (_order(key[0]), key[2] != "yes", key)):
            subjects = texts["\0".join(key)]
            exact = subjects == f"{own[key][0]:,}"
            rows.append(dict(zip(COLUMNS, (*key, subjects, f"{own[key][1]:,}" if exact else "-"), strict=True)))
    asked = {"target", "horizon_hours"} & {*labels.column_names}
    return rows if asked else [{name: row[name] for name in COLUMNS if name != "asked"} for row in rows]


def _order(split: str) -> tuple[int, str]:
    known = ("train", "tuning", "held_out")
    return (known.index(split) if split in known else len(known), split)


def _asked(labels: pa.Table) -> pa.Array:
    parts: list[list[str]] = []
    if "target" in labels.column_names:
        parts.append(labels["target"].fill_null("").to_pylist())
    if "horizon_hours" in labels.column_names:
        parts.append(["" if h is None else f"{h:g} h" for h in labels["horizon_hours"].to_pylist()])
    if not parts:
        return pa.nulls(len(labels), pa.string()).fill_null("label")
    return pa.array([" ".join(filter(None, row)) or "label" for row in zip(*parts, strict=True)], pa.string())


def _answers(labels: pa.Table) -> pa.ChunkedArray | pa.Array:
    there = [name for name in labels.column_names if labels[name].null_count < len(labels)]
    if "boolean_value" in there:
        words = ("seen", "censored") if "duration_hours" in there else ("yes", "no")
        return pc.if_else(labels["boolean_value"], *words)
    if "categorical_value" in there and pc.count_distinct(labels["categorical_value"]).as_py() <= _MOST_CLASSES:
        return labels["categorical_value"]
    value = next((n for n in ("categorical_value", "float_value", "integer_value") if n in there), None)
    if value is None:
        return pa.nulls(len(labels), pa.string())
    word = pa.scalar("a class" if value == "categorical_value" else "a number")
    return pc.if_else(pc.is_valid(labels[value]), word, pa.scalar(None, pa.string()))
