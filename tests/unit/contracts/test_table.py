"""What a raw table is, as a person writes it: short or in full, and each mistake told with its place."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tawt.contracts.table import is_mark, read_table
from tawt.errors import TawtError


def write(tmp_path: Path, text: str, name: str = "labs.yaml") -> Path:
    """Write a contract."""
    path = tmp_path / name
    path.write_text(text)
    return path


FULL = {
    "name": "raw.labs",
    "description": "One row is one result.",
    "paths": ["LABS"],
    "columns": [
        {"name": "id", "type": "int64", "key": True},
        {"name": "at", "type": "timestamp[us]", "required": False},
        {"name": "v", "type": "string"},
    ],
    "value": {"text": "v"},
}
SHORT = "description: One row is one result.\npaths: LABS\nkey: id\noptional: [at]\ncolumns: {id: int64, at: timestamp, v: string}\nvalue: {text: v}\n"


def test_the_short_form_says_what_the_long_one_does(tmp_path: Path) -> None:
    """A mapping of names to types, keys and optional columns by name, the name of the table from its file."""
    short = read_table(write(tmp_path, SHORT))
    full = read_table(write(tmp_path, json.dumps(FULL), "labs.json"))
    assert short.columns == full.columns and short.value == full.value and short.paths == full.paths == ("LABS",)
    assert short.name == full.name == "raw.labs" and short.digest == full.digest
    assert [column.key for column in short.columns] == [True, False, False]
    assert [column.nullable for column in short.columns] == [False, True, True]
    assert [column.name for column in short.staged] == ["id", "at"]


def test_a_table_lies_where_its_file_says_unless_it_says_otherwise(tmp_path: Path) -> None:
    """Without `paths` it is looked for under its own name."""
    assert read_table(write(tmp_path, "description: d\ncolumns: {id: int64}\n")).paths == ("labs",)


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("columns: {a: {type: int64, fromat: x}}", 2, "unknown key `columns.a.fromat`"),
        ("columns:\n  a: int64\n  b: intt", 4, "`columns.b.type` does not fit"),
        ("key: [b]\ncolumns: {a: int64}", 2, "`key` names the column `b`"),
        ("optional: b\ncolumns: {a: int64}", 2, "`optional` names the column `b`"),
        ("optional: true\ncolumns: {a: int64}", 2, "`optional` is no list"),
        ('columns: {a: {type: int64, format: "%Y"}}', 2, "have no form"),
        ('columns: {a: {type: date, format: "%d.%m"}}', 2, "is no form of a day or a time"),
        ('columns: {a: {type: date, format: "%d.%m.%Y%z"}}', 2, "is no form of a day or a time"),
        ("columns: {a: {type: int64, low: 5, high: 3}}", 2, "low is above high"),
        ("columns: {a: {type: int64, low: 2020-01-01}}", 2, "is no bound of cells of type int64"),
        ("columns: {a: {type: int64, low: 1.5}}", 2, "is no bound of cells of type int64"),
        ("columns: {a: {type: string, high: 3}}", 2, "is no bound of cells of type string"),
        ("columns: {a: {type: date, low: soon}}", 2, "is no day or time"),
        ("columns: {a: int64, A: int64}", 2, "two columns of staging would be called"),
        ("columns: {a: int64, b: {type: int64, as: a}}", 2, "two columns of staging would be called `a`"),
        ("columns: {a: int64, a_cell: int64}", 2, "`a_cell` is a name that staging uses itself"),
        ("columns: {_row: int64}", 2, "`_row` is a name that staging uses itself"),
        ("columns: {_row: {type: int64, as: number}}", 2, "lists the column `_row`"),
        ('columns: {"a\\nb": int64}', 2, "a name of several lines"),
        ("columns: {unit: string, v: string}\nvalue: {text: v}", 2, "would be called `unit`"),
        ("columns: {v: string}\nvalue: {text: w}", 3, "names the column `w`"),
        ("columns: {v: string}\nvalue: {unit: v}", 3, "a text, a number, or both"),
        ("key: v\ncolumns: {v: string}\nvalue: {text: v}", 4, "which is a key"),
        ("name: raw.others\ncolumns: {a: int64}", None, "is called `raw.others`"),
        ("columns: [a, b]", 2, "does not fit"),
        ("paths: 5\ncolumns: {a: int64}", 2, "`paths` does not fit, expected a text or a list of texts"),
        ("paths: [labs, true]\ncolumns: {a: int64}", 2, "`paths` does not fit"),
        ("paths: []\ncolumns: {a: int64}", 2, "`paths` does not fit"),
        ("grain: [5]\ncolumns: {a: int64}", 2, "`grain` does not fit"),
        ("source: 5\ncolumns: {a: int64}", 2, "`source` does not fit"),
        ("required: 0\ncolumns: {a: int64}", 2, "`required` does not fit"),
        ("key: 5\ncolumns: {5: int64}", 2, "`key` is no list"),
        ("key: [5]\ncolumns: {5: int64}", 2, "`key` names `5`, which is no text"),
        ('columns: {a: {type: int64, key: "yes"}}', 2, "`columns.a.key` does not fit"),
        ("columns: {a: {type: int64, required: 1}}", 2, "`columns.a.required` does not fit"),
        ("columns: {a: {type: int64, low: true}}", 2, "`columns.a.low` does not fit"),
        ("columns: {a: {type: date, format: 2020}}", 2, "`columns.a.format` does not fit"),
        ("columns: {a: {type: int64, description: 5}}", 2, "`columns.a.description` does not fit"),
    ],
)
def test_a_mistake_is_told_with_its_line(text: str, line: int | None, said: str, tmp_path: Path) -> None:
    """The column by its name, and the line where there is one."""
    path = write(tmp_path, f"description: d\n{text}\n")
    with pytest.raises(TawtError) as caught:
        read_table(path)
    assert said in caught.value.what and caught.value.hint
    assert caught.value.where == (f"{path}:{line}" if line else str(path))


def test_words_that_other_yaml_takes_for_truths_are_names(tmp_path: Path) -> None:
    """`on`, `no`, `y` and numbers are names of columns as they stand."""
    assert read_table(write(tmp_path, "description: d\ncolumns: {on: date, no: int64, y: string, 24: int64}\n")).names == [
        "on", "no", "y", "24",
    ]  # fmt: skip


def test_a_mark_of_numbers_is_a_number(tmp_path: Path) -> None:
    """-9 and -9.0 are one mark in a column of numbers; in a column of texts letters count."""
    said = "description: d\ncolumns: {n: {type: float64, marks: ['-9', NA]}, t: {type: text, marks: ['-9']}}\n"
    table = read_table(write(tmp_path, said))
    assert [is_mark(table, "n", cell) for cell in ("-9.0", " -9", "NA", "-9.1", "9")] == [
        True,
        True,
        True,
        False,
        False,
    ]
    assert [is_mark(table, "t", cell) for cell in ("-9.0", " -9")] == [False, True]
