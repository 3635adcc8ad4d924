"""What a label set answers, in counts by split that tell of no few people."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from tawt.contracts.cells import SMALL_CELL, told
from tawt.contracts.label_columns import asked_names, in_order

_MOST_CLASSES = 30
_RARE = f"of fewer than {SMALL_CELL + 1} subjects"
_OWN = ("yes", "no", "seen", "censored", "a number", "a class")
"""Words for answers that are no names of anybody's."""
_NOT_KNOWN = "not known"
COLUMNS = ("split", "asked", "answer", "subjects", "labels")


def counts_of(labels: pa.Table, splits: pa.Table) -> list[dict[str, str]]:
    """Return how many subjects and labels of each split have which answer, as texts.

    Of few subjects is told that they are few; so it is of another cell where a difference would tell of them. Their
    labels are not told, nor the name of a class or a target of few in all splits.

    Args:
        labels: In columns of `schemas/label_sets.json`.
        splits: `subject_id` and `split` of each subject.
    """
    of = pc.index_in(labels["subject_id"], splits["subject_id"].combine_chunks())
    table = pa.table({
        "split": splits["split"].combine_chunks().take(of), "subject_id": labels["subject_id"],
        "asked": _asked(labels),
        "answer": without_rare(_answers(labels), labels["subject_id"], f"classes {_RARE}", _OWN),
    })  # fmt: skip
    counted = table.group_by(list(COLUMNS[:3])).aggregate([("subject_id", "count_distinct"), ("subject_id", "count")])
    cells: dict[str, dict[tuple[str, str, str], tuple[int, int]]] = defaultdict(dict)
    for row in counted.to_pylist():
        key = (row["split"] or "none", row["asked"], row["answer"] or _NOT_KNOWN)
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
        place = {answer: i for i, answer in enumerate(in_order({key[2] for key in own} - {_NOT_KNOWN}))}
        for key in sorted(own, key=lambda key: (_order(key[0]), key[2] != "yes", place.get(key[2], len(place)), key)):
            subjects = texts["\0".join(key)]
            exact = subjects == f"{own[key][0]:,}"
            rows.append(dict(zip(COLUMNS, (*key, subjects, f"{own[key][1]:,}" if exact else "-"), strict=True)))
    asked = {"target", "horizon_hours"} & {*labels.column_names}
    return rows if asked else [{name: row[name] for name in COLUMNS if name != "asked"} for row in rows]


def of_one_answer(rows: Sequence[Mapping[str, str]]) -> list[str]:
    """Return the splits in which there is one answer, of several that there are, and of more than few subjects.

    Args:
        rows: As `counts_of` returns them.
    """
    found = []
    for asked in dict.fromkeys(row.get("asked", "") for row in rows):
        own = [row for row in rows if row.get("asked", "") == asked and row["answer"] != _NOT_KNOWN]
        for split in dict.fromkeys(row["split"] for row in own) if len({row["answer"] for row in own}) > 1 else ():
            there = [row for row in own if row["split"] == split]
            if len(there) == 1 and there[0]["labels"] != "-":
                found.append(f"{split} ({asked})" if asked else split)
    return found


def without_rare(
    names: pa.Array | pa.ChunkedArray, subject: pa.ChunkedArray, rare: str, known: Sequence[str] = ()
) -> pa.ChunkedArray:
    """Return names with another one in the place of those that 10 subjects or fewer have, where they are not known."""
    table = pa.table({"name": names, "subject": subject})
    counted = table.group_by("name").aggregate([("subject", "count_distinct")])
    told = counted.filter(pc.greater(counted["subject_count_distinct"], SMALL_CELL))["name"].combine_chunks()
    is_told = pc.is_in(table["name"], pa.concat_arrays([told, pa.array([*known], pa.string())]))
    return pc.if_else(pc.or_(is_told, pc.is_null(table["name"])), table["name"], rare)


def _order(split: str) -> tuple[int, str]:
    known = ("train", "tuning", "held_out")
    return (known.index(split) if split in known else len(known), split)


def _asked(labels: pa.Table) -> pa.Array:
    if "target" in labels.column_names:
        named = without_rare(labels["target"].fill_null(""), labels["subject_id"], f"targets {_RARE}", ("",))
        labels = labels.set_column(labels.column_names.index("target"), "target", named)
    return pa.array(asked_names(labels), pa.string())


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
