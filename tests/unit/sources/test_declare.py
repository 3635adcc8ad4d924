"""A declared table becomes a select that can be read, which reads every cell as its contract says."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest

from tawt.config.pipeline import USUAL
from tawt.contracts.table import Table, key_is_named, read_table
from tawt.database.connect import identifier
from tawt.database.macros import load_macros, make_macros
from tawt.errors import ConfigError, ContractError
from tawt.sources.declare import staging_contract, staging_select
from tawt.sources.tables import declared_stage


def table(tmp_path: Path, text: str) -> Table:
    """Read a table that is called `t`."""
    path = tmp_path / "t.yaml"
    path.write_text("description: One row is one t.\n" + text)
    return read_table(path)


def stage(declared: Table, rows: list[dict[str, str | None]], **values: object) -> list[dict[str, object]]:
    """Stage rows of text; what the select gives, without `_row`."""
    with duckdb.connect() as connection:
        make_macros(connection, load_macros().listed)
        connection.execute("create schema raw")
        names = ", ".join(f"{identifier(name)} varchar" for name in declared.names)
        connection.execute(f"create table raw.t ({names}, _row bigint)")
        for number, row in enumerate(rows, 1):
            cells = [row.get(name) for name in declared.names]
            marks = ", ".join("?" for _ in cells)
            connection.execute(f"insert into raw.t values ({marks}, {number})", cells)
        text = staging_select(declared, "schemas/x/t.yaml")
        named = duckdb.extract_statements(text)[0].named_parameters
        given = {name: value for name, value in {**USUAL, **values}.items() if name in named}
        relation = connection.sql(text, params=given)
        return [dict(zip(relation.columns, row, strict=True)) for row in relation.order("_row").fetchall()]


SHORT = "key: id\ncolumns: {id: int64, name: string, n: int64, x: float64, at: timestamp, on: date, yes: bool}\n"


def test_cells_are_read_as_what_they_are(tmp_path: Path) -> None:
    """A column of each type, from a text that is one and from a text that is none."""
    cells = {
        "id": " 7 ",
        "name": " a ",
        "n": "8",
        "x": "1.5",
        "at": "2020-01-02 08:00:00 PM",
        "on": "2020-01-02",
        "yes": "1",
    }
    good, bad = stage(
        table(tmp_path, SHORT),
        [cells, {"id": "7", "n": "8.5", "x": "1_0", "at": "epoch", "on": "soon", "yes": "0.5", "name": " "}],
    )
    assert {name: str(good[name]) for name in ("id", "name", "n", "x", "at", "on", "yes")} == {
        "id": "7", "name": "a", "n": "8", "x": "1.5", "at": "2020-01-02 20:00:00", "on": "2020-01-02", "yes": "True",
    }  # fmt: skip
    assert good["_reason"] is None and good["_faults"] is None
    assert {name: bad[name] for name in ("name", "n", "x", "at", "on", "yes")} == dict.fromkeys(
        ("name", "n", "x", "at", "on", "yes")
    )
    assert bad["_reason"] is None
    assert bad["_faults"] == "n:unparseable x:unparseable at:unparseable on:unparseable yes:unparseable"


@pytest.mark.parametrize(("cell", "reason"), [(None, "missing"), ("  ", "missing"), ("1E+11", "unparseable")])
def test_a_bad_key_takes_its_record_along(cell: str | None, reason: str, tmp_path: Path) -> None:
    """The reason names the column of the file."""
    (row,) = stage(table(tmp_path, "key: [No]\ncolumns: {No: {type: int64, as: id}}"), [{"No": cell}])
    assert row["_reason"] == f"quarantine:No:{reason}"


def test_a_key_may_be_empty_where_that_is_said(tmp_path: Path) -> None:
    """The time of a static fact is null; a time that is none still takes its record along."""
    declared = table(tmp_path, "columns: {at: {type: timestamp, key: true, nullable: true}}")
    rows = stage(declared, [{"at": None}, {"at": " "}, {"at": "noon"}, {"at": "2020-01-02"}])
    assert [row["_reason"] for row in rows] == [None, None, "quarantine:at:unparseable", None]


def test_what_lies_outside_of_what_can_be_is_left_out(tmp_path: Path) -> None:
    """Of numbers, days and times; the ends themselves can be, one end may be said alone, and a type has its own."""
    declared = table(
        tmp_path,
        "columns: {n: {type: int64, low: 0, high: 130}, m: {type: int64, high: 5}, small: int8,"
        " on: {type: date, low: 2000-01-01}, at: timestamp}",
    )
    rows = stage(
        declared,
        [
            {"n": "0", "m": "-999", "small": "127", "on": "2000-01-01", "at": "1900-01-01 00:00:00"},
            {"n": "131", "m": "6", "small": "128", "on": "1999-12-31", "at": "1899-12-31 23:59:59"},
            {"n": "130", "on": "2300-01-02", "at": "2300-01-01 00:00:01"},
        ],
    )
    assert [row["_faults"] for row in rows] == [
        None,
        "n:out_of_range m:out_of_range small:out_of_range on:out_of_range at:out_of_range",
        "on:out_of_range at:out_of_range",
    ]
    assert (rows[1]["n"], rows[1]["small"], rows[1]["at"], rows[2]["n"]) == (None, None, None, 130)


def test_a_number_that_its_type_cannot_hold_is_out_of_range(tmp_path: Path) -> None:
    """A key takes its record along, any other cell is left out; no number reaches a type that is too small for it."""
    declared = table(tmp_path, "key: [k]\ncolumns: {k: int32, f: float32}\n")
    big, small = stage(declared, [{"k": "3000000000", "f": "1"}, {"k": "3", "f": "-1e39"}])
    assert (big["k"], big["_reason"]) == (None, "quarantine:k:out_of_range")
    assert (small["k"], small["f"], small["_reason"], small["_faults"]) == (3, None, None, "f:out_of_range")


def test_forms_and_zones(tmp_path: Path) -> None:
    """A form that is declared is the only one; a zone is that of the pipeline."""
    declared = table(
        tmp_path, 'key: at\ncolumns: {at: {type: timestamp, format: ["%d.%m.%Y %H:%M", "%d.%m.%Y"]}, seen: timestamp}'
    )
    cells = [{"at": "02.01.2020 13:05", "seen": "2020-07-01T12:00:00Z"}, {"at": "2020-01-02 13:05:00"}]
    first, second = stage(declared, cells, zone="Europe/Berlin")
    assert (str(first["at"]), str(first["seen"])) == ("2020-01-02 13:05:00", "2020-07-01 14:00:00")
    assert second["_reason"] == "quarantine:at:unparseable"
    assert stage(declared, cells)[0]["_faults"] == "seen:unparseable_zone"


@pytest.mark.parametrize(
    ("value", "cells", "given"),
    [
        ("{text: v, number: n, unit: u}", {"v": "<0.1", "u": " mg "}, ("censored_low", 0.1, None, "<0.1", "mg")),
        ("{text: v, number: n}", {"v": "POS"}, ("category", None, "POS", None, None)),
        ("{text: v}", {"v": "4.5"}, ("numeric", 4.5, None, None, None)),
        ("{text: v}", {"v": "1-10"}, ("category", None, "1-10", None, None)),
        ("{number: n}", {"n": ">5"}, ("censored_high", 5.0, None, ">5", None)),
        ("{number: n}", {"n": "high"}, ("unparsed", None, None, "high", None)),
        ("{number: n, unit: u}", {"u": "mg"}, ("absent", None, None, None, "mg")),
    ],
)
def test_a_value_is_judged_by_what_there_is_of_it(
    value: str, cells: dict[str, str | None], given: tuple[object, ...], tmp_path: Path
) -> None:
    """Text, number and unit, or one of the first two alone."""
    declared = table(tmp_path, f"columns: {{v: string, n: float64, u: string}}\nvalue: {value}\n")
    (row,) = stage(declared, [cells])
    names = ("value_status", "numeric_value", "text_value", "raw_value", "unit")
    assert tuple(row[name] for name in names) == given and row["_reason"] is None


def test_odd_names_are_quoted(tmp_path: Path) -> None:
    """Names with blanks, quotes, large letters, and words of SQL stand in quotes; a name may begin with a digit."""
    names = ['In-hospital "death"', "order", "Wert", "24h", "value", "user", "it's"]
    columns = [{"name": name, "type": "int64", "as": f"c{i}"} for i, name in enumerate(names)]
    declared = Table.model_validate({"name": "raw.t", "description": "One row is one t.", "columns": columns})
    (row,) = stage(declared, [dict(zip(names, ["1", "2", "3", "4", "5", "6", "x"], strict=True))])
    assert [row[f"c{i}"] for i in range(7)] == [1, 2, 3, 4, 5, 6, None]
    assert row["_faults"] == "it's:unparseable"


def test_a_name_that_sql_takes_for_a_function_needs_another(tmp_path: Path) -> None:
    """A stage that reads `user` of staging would be told who runs it."""
    with pytest.raises(ContractError, match="`user`, which SQL reads as a function") as caught:
        staging_select(table(tmp_path, "columns: {user: string}"), "schemas/x/t.yaml")
    assert "as:" in caught.value.hint


def test_the_contract_of_staging_follows(tmp_path: Path) -> None:
    """Plain names and types in order, keys never null, and the columns of the value behind them."""
    declared = table(
        tmp_path,
        "key: [No]\ngrain: [id]\ncolumns: {No: {type: int64, as: id}, at: timestamp, v: float64}\nvalue: {number: v}\n",
    )
    contract = staging_contract(declared)
    assert contract.name == "staging.t" and contract.grain == ("id",)
    assert [(c.name, c.type, c.nullable) for c in contract.columns] == [
        ("id", "int64", False), ("at", "timestamp[us]", True), ("numeric_value", "float64", True),
        ("text_value", "string", True), ("raw_value", "string", True), ("unit", "string", True),
        ("value_status", "string", False),
    ]  # fmt: skip


def test_a_declared_stage_passes_the_checks_of_one_that_is_written(tmp_path: Path) -> None:
    """It is row-wise, tells all reasons and faults that it can give, and names the macros that it hangs on."""
    declared = declared_stage(table(tmp_path, SHORT), tmp_path / "t.yaml", load_macros())
    assert declared.declared and declared.references == ("raw.t",)
    assert declared.reasons == {
        f"quarantine:id:{w}" for w in ("missing", "unparseable", "unparseable_zone", "out_of_range")
    }
    assert "at:out_of_range" in declared.faults and "id:missing" not in declared.faults
    assert {"whole", "moment", "truth"} <= {macro.name for macro in declared.macros}
    assert declared.parameters == ("earliest_time", "latest_time", "zone")
    assert declared.text.splitlines()[0] == "-- One row is one t."


def test_a_clock_in_a_column_of_days_is_told(tmp_path: Path) -> None:
    """The day is kept, and that its time of day is lost is counted; midnight is none. A subject is a key unasked."""
    declared = table(
        tmp_path, 'columns: {p: {type: int64, as: subject_id}, on: {type: date, format: "%d.%m.%Y %H:%M"}}'
    )
    rows = stage(declared, [{"p": "1", "on": "02.01.2020 13:05"}, {"p": "2", "on": "02.01.2020 00:00"}, {"p": "x"}])
    assert [row["_faults"] for row in rows] == ["on:time_of_day_lost", None, None]
    assert str(rows[0]["on"]) == "2020-01-02" and rows[2]["_reason"] == "quarantine:p:unparseable"
    assert not key_is_named(declared) and key_is_named(table(tmp_path, "key: on\ncolumns: {on: date}"))


SIGNED = """columns:
  n: {type: float64, decimal: ",", thousands: "."}
  v: {type: string, decimal: ",", thousands: "."}
value: {text: v}
"""


def test_a_number_is_read_as_its_column_writes_it(tmp_path: Path) -> None:
    """What is written otherwise is none, and never another number: it is counted, a result as unparsed with its cell."""
    cells = ["1.234", "15.600,5", "4,5", "<0,1", "> 1.000", "4.5", "1,234,567", "negative", None]
    rows = stage(table(tmp_path, SIGNED), [{"n": cell, "v": cell} for cell in cells])
    assert [row["n"] for row in rows] == [1234, 15600.5, 4.5, *[None] * 6]
    assert [row["_faults"] is None for row in rows] == [True] * 3 + [False] * 5 + [True]
    assert [(row["value_status"], row["numeric_value"]) for row in rows] == [
        ("numeric", 1234), ("numeric", 15600.5), ("numeric", 4.5), ("censored_low", 0.1), ("censored_high", 1000),
        ("unparsed", None), ("unparsed", None), ("category", None), ("absent", None),
    ]  # fmt: skip
    assert [row["raw_value"] for row in rows[5:7]] == cells[5:7] and rows[7]["text_value"] == "negative"
    both = table(tmp_path, "columns: {v: {type: string, decimal: ''}, n: float64}\nvalue: {text: v, number: n}\n")
    twice = stage(both, [{"v": "1.234", "n": "1234"}, {"v": "1.234", "n": None}, {"v": "12", "n": None}])
    assert [(row["value_status"], row["numeric_value"]) for row in twice] == [
        ("numeric", 1234), ("unparsed", None), ("numeric", 12),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "said",
    [
        "{type: timestamp, decimal: ','}", "{type: string, decimal: ','}", "{type: subject, thousands: '.'}",
        "{type: float64, decimal: ',', thousands: ','}", "{type: float64, decimal: x}",
    ],
)  # fmt: skip
def test_signs_of_numbers_fit_their_column(tmp_path: Path, said: str) -> None:
    """A time and a text that is no value have no decimals, and one sign is not two things."""
    with pytest.raises(ConfigError):
        table(tmp_path, f"columns: {{n: {said}}}\n")


def test_years_of_two_digits_are_of_a_century_that_is_said(tmp_path: Path) -> None:
    """They are one of the hundred years up to `high`; years of four beside them are what they are, whatever order."""
    columns = (
        "key: id\ncolumns:\n  id: int64\n  born: {type: date, format: ['%d.%m.%Y', '%d.%m.%y'], high: 2021-12-31}\n"
    )
    columns += "  at: {type: timestamp, format: '%d.%m.%y %H:%M', high: 2021-12-31}\n"
    cells = [("17.05.45", "31.12.21 23:30"), ("17.05.2021", "01.01.22 00:00"), ("17.05.2045", "29.02.00 08:00"),
             ("29.02.24", "1.1.70 00:00")]  # fmt: skip
    rows = stage(table(tmp_path, columns), [{"id": "1", "born": born, "at": at} for born, at in cells])
    told = [(str(row["born"]), str(row["at"])) for row in rows]
    assert told == [
        ("1945-05-17", "2021-12-31 23:30:00"),
        ("2021-05-17", "1922-01-01 00:00:00"),
        ("None", "2000-02-29 08:00:00"),
        ("1924-02-29", "1970-01-01 00:00:00"),
    ]
    with pytest.raises(ConfigError, match="century"):
        table(tmp_path, "key: id\ncolumns:\n  id: int64\n  born: {type: date, format: '%d.%m.%y'}\n")


def test_the_unit_of_a_bound_is_the_columns_or_none(tmp_path: Path) -> None:
    """A unit behind a bound is its unit where the column has none; another than the column's makes it no number."""
    columns = "key: id\ncolumns: {id: int64, said: string, unit: string}\nvalue: {text: said, unit: unit}\n"
    cells = [("< 90 mg/dL", "mmol/L"), ("< 90 mg/dL", None), ("< 90 mg/dL", "MG/DL"), ("< 5", "mmol/L")]
    rows = stage(table(tmp_path, columns), [{"id": "1", "said": said, "unit": unit} for said, unit in cells])
    told = [tuple(row[name] for name in ("value_status", "numeric_value", "unit", "raw_value")) for row in rows]
    assert told == [
        ("unparsed", None, "mmol/L", "< 90 mg/dL"),
        ("censored_low", 90.0, "mg/dL", "< 90 mg/dL"),
        ("censored_low", 90.0, "MG/DL", "< 90 mg/dL"),
        ("censored_low", 5.0, "mmol/L", "< 5"),
    ]
