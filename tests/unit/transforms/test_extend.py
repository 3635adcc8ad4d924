"""A vocabulary behind another one: each rule, held to rows that were fitted by themselves."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from tawt.config.pipeline import PipelineConfig
from tawt.contracts.cells import RARE
from tawt.contracts.contract import own_contract
from tawt.errors import StageError
from tawt.transforms.extend import extended, growth, n_unknown
from tawt.transforms.vocabulary import Counts, fit_vocabulary

STATISTICS = ("n_values", "mean", "std", "quantiles", "center", "scale", "bin_edges", "n_bins", "unit", "n_rows")


def fit(known: dict[str, Any], n_subjects: int = 50) -> pa.Table:
    """Fit `{code: numbers, texts or None}`; each row is of another subject."""
    codes = sorted(known)
    numbers, texts = [], []
    for i, code in enumerate(codes):
        own = known[code] or []
        values, counts = np.unique([x for x in own if isinstance(x, float)], return_counts=True)
        numbers += [{"code": i, "value": float(v), "n": int(n)} for v, n in zip(values, counts, strict=True)]
        words, counts = np.unique([x for x in own if isinstance(x, str)], return_counts=True)
        texts += [
            {"code": i, "text": str(w), "n": int(n), "n_subjects": int(n)} for w, n in zip(words, counts, strict=True)
        ]
    n = np.array([len(known[code] or [1, 1, 1]) for code in codes])
    schema = [("code", pa.int64()), ("value", pa.float64()), ("n", pa.int64())]
    words = [("code", pa.int64()), ("text", pa.string()), ("n", pa.int64()), ("n_subjects", pa.int64())]
    units = ["mg/dL" if any(isinstance(x, float) for x in known[code] or ()) else None for code in codes]
    return fit_vocabulary(
        Counts(codes, n, np.full(len(n), n_subjects), np.full(len(n), n_subjects), units,
               pa.Table.from_pylist(numbers, schema=pa.schema(schema)),
               pa.Table.from_pylist(texts, schema=pa.schema(words))),
        PipelineConfig(name="x", source="x"), own_contract("vocabulary"), {"NEW": ("a new one", ["P"])},
    )  # fmt: skip


OLD = {"LAB": [1.0, 2.0, 3.0, 4.0] * 5, "URINE": ["NEG", "NEG", "POS"], "BARE": None, "GONE": None}
NOW = {
    "LAB": [100.0, 200.0], "URINE": ["POS", "POS", "POS", "TRACE", "NEG", 7.0], "BARE": [5.0, 6.0, "HIGH"],
    "NEW": [1.5] * 30, "MORE": None,
}  # fmt: skip


@pytest.fixture
def both() -> tuple[pa.Table, pa.Table]:
    """The old vocabulary, and what was made of it."""
    base = fit(OLD)
    return base, extended(base, fit(NOW), 30)


def test_old_rows_stay_where_and_as_they_were(both: tuple[pa.Table, pa.Table]) -> None:
    """Index, code, counts and statistics of old data_types with numbers are the same, whatever train has now."""
    base, table = both
    rows = {row["code"]: row for row in table.to_pylist()}
    assert table["code"].to_pylist()[: len(base)] == base["code"].to_pylist()
    assert table["data_type"].to_pylist() == list(range(len(table)))
    for row in base.to_pylist():
        if row["code"] != "BARE":
            assert {name: rows[row["code"]][name] for name in STATISTICS} == {name: row[name] for name in STATISTICS}


def test_what_is_new_stands_behind(both: tuple[pa.Table, pa.Table]) -> None:
    """New data_types follow by count, new categories follow the old ones, and a bare data_type takes what it has now."""
    base, table = both
    rows = {row["code"]: row for row in table.to_pylist()}
    assert table["code"].to_pylist()[len(base) :] == ["NEW", "MORE"]
    assert rows["URINE"]["categories"] == ["NEG", "POS", "TRACE"]
    assert rows["URINE"]["category_subjects"] == [2, 1, 1]
    assert (rows["BARE"]["value_kind"], rows["BARE"]["mean"], rows["BARE"]["categories"]) == ("mixed", 5.5, ["HIGH"])
    # numbers of one with categories would move the tokens of these
    assert rows["URINE"]["n_bins"] == 0 and rows["URINE"]["value_kind"] == "categorical"
    assert (rows["NEW"]["description"], rows["NEW"]["parents"]) == ("a new one", ["P"])


def test_a_full_list_of_categories_takes_no_more(both: tuple[pa.Table, pa.Table]) -> None:
    """What finds no room among `max_categories` stays OTHER, and old ones beyond it stay."""
    base, _ = both
    tight = {row["code"]: row for row in extended(base, fit(NOW), 2).to_pylist()}
    assert tight["URINE"]["categories"] == ["NEG", "POS"]
    assert {row["code"]: row for row in extended(base, fit(NOW), 1).to_pylist()}["URINE"]["categories"] == [
        "NEG",
        "POS",
    ]


def test_going_on_from_itself_changes_nothing(both: tuple[pa.Table, pa.Table]) -> None:
    """The same train behind the same vocabulary gives the same rows, and so does a second time."""
    base, table = both
    assert extended(base, base, 30).equals(base) and extended(table, fit(NOW), 30).equals(table)


def test_another_unit_is_refused(both: tuple[pa.Table, pa.Table]) -> None:
    """Numbers in another canonical unit than the old statistics end it, with the line that mends it."""
    base, _ = both
    now = fit(NOW)
    units = ["mmol/L" if code == "LAB" else unit for code, unit in zip(*(now[c].to_pylist() for c in ("code", "unit")), strict=True)]  # fmt: skip
    now = now.set_column(now.schema.get_field_index("unit"), now.schema.field("unit"), pa.array(units, pa.string()))
    with pytest.raises(StageError, match="another canonical unit than the base: LAB") as error:
        extended(base, now, 30)
    assert "{LAB: {unit: mg/dL}}" in error.value.hint


def test_rows_of_one_person_are_no_difference_of_what_is_told(both: tuple[pa.Table, pa.Table]) -> None:
    """A new data_type of one, or one that was left out, is told together with another, and not by the sum."""
    base, table = both
    one = pa.Table.from_pylist(
        [row | ({"n_subjects": 1, "n_rows": 1} if row["code"] == "MORE" else {}) for row in table.to_pylist()],
        schema=table.schema,
    )
    assert growth(base, one, 31)[2:] == [(f"NEW and {RARE}", "2 new", 31)]
    without = table.filter(pc.not_equal(table["code"], "MORE"))
    assert growth(base, without, 30)[2:] == [("NEW", "new", 30)]
    assert growth(base, without, 31)[2:] == [(f"NEW and {RARE}", "1 new", 31)]


def test_growth_is_told_and_few_people_together(both: tuple[pa.Table, pa.Table]) -> None:
    """Each new or grown data_type is told with its rows; those of few people only as how many they are."""
    base, table = both
    assert growth(base, table, 33) == [
        ("BARE", "1 more category and numbers", 3), ("URINE", "1 more category", 3), ("NEW", "new", 30), ("MORE", "new", 3),
    ]  # fmt: skip
    few = extended(base, fit(NOW, n_subjects=4), 30)
    assert growth(base, few, 33)[2:] == [(RARE, "2 new", None)]
    assert n_unknown(base, ["LAB", "NEW", "MORE"], [9, 30, 1]) == 31
