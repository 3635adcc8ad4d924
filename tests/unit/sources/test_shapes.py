"""What a column looks like: counts of shapes, and never a cell."""

from __future__ import annotations

import pytest

from tawt.sources.kinds import kind_of
from tawt.sources.shapes import shape_of
from tawt.sources.time_forms import moment_of, seen_time
from tawt.sources.units_named import unit_named

KINDS = {
    "whole": ("7", " -12 ", "0042", "10000032", "22100131"),
    "decimal": ("5.4", "1E+11", "-.5", "1e-3"),
    "compared": ("<0.1", "> 80 mg/L", ">=5"),
    "signed": ("5,4", "1.234,5", "1,234.5", "1.234.567", "12 345", "1'234.5"),
    "clock": ("08:00", "23:59:59", "100:05"),
    "time": ("2150-03-01", "2150-03-01 08:00:00", "1.2.2024 8:00", "3/1/2150 08:00:00 PM", "01-MAR-2150", "01MAR2150"),
    "mark": ("NA", "\\N", " NULL ", "."),
    "empty": ("", "  "),
    "text": (
        "POS",
        "120/80",
        "1.2.3",
        "1,2,3",
        "12.3456.7",
        "002-1039",
        "13.13.2024",
        "1_000",
        "2150-13-01",
        "nan7",
        "1-Foo-2150",
    ),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_cell_has_a_shape(kind: str) -> None:
    """Numbers, bounds, days, times, marks and texts are told apart by their letters alone."""
    assert {cell: kind_of(cell) for cell in KINDS[kind]} == dict.fromkeys(KINDS[kind], kind)


def test_a_shape_keeps_no_cell() -> None:
    """Whatever a column holds, its shape is made of counts, of forms of days and of known marks."""
    cells = ["Zqwyx", "98765432123", "Zqwyx 2150-03-01", "31.12.2149", "NA", "x" * 100, "7.654321", None]
    said = repr(shape_of("column", cells))
    assert not any(cell in said for cell in cells if cell not in (None, "NA"))
    assert "98765" not in said and "2149" not in said and "'NA': 1" in said


def test_ids_of_eight_digits_are_no_days() -> None:
    """A column is one of joined days only where all its numbers could be days."""
    ids = shape_of("hadm_id", ["22595853", "20240131", "23052089", "29079034"])
    days = shape_of("day", ["20240131", "20231201"])
    assert (ids.is_whole, ids.is_time, days.is_whole, days.is_time) == (True, False, False, True)
    assert [form.written(day_first=True) for form in days.forms] == ["%Y%m%d"]
    assert not shape_of("accession_number", ["202401310001", "202401310002"]).is_time


@pytest.mark.parametrize(
    ("cells", "day_first", "form"),
    [
        (["13/2/2150", "1/2/2150"], True, "%d/%m/%Y"),
        (["2/13/2150 8:00 PM"], False, "%m/%d/%Y %I:%M %p"),
        (["1.2.2150 08:30:00"], None, "%d.%m.%Y %H:%M:%S"),
        (["13.2.50"], True, "%d.%m.%y"),
        (["2-Mar-2150"], None, "%d-%b-%Y"),
        (["202104131400"], None, "%Y%m%d%H%M"),
        (["20210413140000.5"], None, "%Y%m%d%H%M%S.%f"),
        (["20210413T1400", "20210413T0930"], None, "%Y%m%dT%H%M"),
        (["13APR2021:14:00:00"], None, "%d%b%Y:%H:%M:%S"),
        (["2021-04-13-14.00.00"], None, "%Y-%m-%d-%H.%M.%S"),
        (["13.04.2021 14.30"], True, "%d.%m.%Y %H.%M"),
    ],
)
def test_the_order_of_day_and_month_is_decided_by_the_cells(
    cells: list[str], day_first: bool | None, form: str
) -> None:
    """A number above 12 tells which is the day; where none is, that is undecided."""
    shape = shape_of("time", cells)
    assert not {one for one in shape.forms if one.is_plain}
    assert shape.is_time and shape.day_first is day_first
    assert {one.written(shape.day_first is not False) for one in shape.forms} == {form}


def test_a_few_dirty_cells_change_no_guess() -> None:
    """One word among hundreds of numbers leaves a column of numbers; every third makes it none."""
    assert shape_of("n", ["1.5"] * 200 + ["high"]).is_number
    assert not shape_of("n", ["1.5"] * 2 + ["high"]).is_number


def test_words_for_no_number_are_marks_among_numbers_alone() -> None:
    """`k.A.` in a column of numbers stands for a missing one, however often; among words it is a word."""
    shape = shape_of("spo2", ["98", "97,5", *["k.A."] * 2, " Unknown", "x1"] + ["96"] * 100)
    assert shape.marks == {"k.A.": 2, "Unknown": 1} and shape.is_number
    assert shape_of("route", ["Oral", "unknown", "IV", "1"]).marks == {}


def test_marks_that_may_be_words_are_told() -> None:
    """`NA` beside numbers is none of them; `None` and `-` beside words may be one, `NULL` is not."""
    assert shape_of("n", ["1", "NA", "-"]).odd_marks == []
    assert shape_of("route", ["Oral", "None", "NULL", "-"]).odd_marks == ["-", "None"]


SIGNS = {
    (",", "."): [["4,5", "1.234"], ["1.234,5"], ["> 1.000", "7,25"], ["1.234.567"]],
    (".", ","): [["12.3", "1,234"], ["1,234.5"], ["0.125", "15,600"]],
    (",", ""): [["5,4", "140"], ["<0,1", "NA"], ["4,5 mg/l"]],
    (".", " "): [["12 345", "5"]],
    (",", " "): [["12 345,5"]],
    ("", ""): [["1.234", "15.600"], ["1,234"], ["4,5", "4.5"], ["1,234", "1.234"]],
    None: [["4.5", "12"], ["12"], ["0.125"], ["1234.567"], ["120/80", "12.03.2024"], ["2.5"] * 99 + ["2,5"], []],
}


@pytest.mark.parametrize(("signs", "cells"), [(signs, cells) for signs, columns in SIGNS.items() for cells in columns])
def test_a_column_decides_what_its_commas_and_points_are(signs: tuple[str, str] | None, cells: list[str]) -> None:
    """Three digits behind a sign decide nothing, any other number of them does, and so does a cell that has both signs."""
    assert shape_of("n", cells).numerals.signs() == signs


def test_other_columns_decide_for_one_that_does_not() -> None:
    """Where the columns beside it all say the same; numbers that are no texts have no sign to be understood."""
    point, comma = (shape_of("n", [cell]).numerals for cell in ("4.5", "4,5"))
    open_ = shape_of("n", ["1.234"]).numerals
    assert open_.signs([point]) is None and open_.signs([comma]) == (",", ".")
    assert open_.signs([point, comma]) == open_.signs([open_]) == ("", "")
    assert shape_of("n", ["1.234"], is_text=False).numerals.signs() is None


def test_what_columns_share_is_told_without_their_cells() -> None:
    """Ids that are among another column's are counted; row numbers, flags and short numbers are known for what they are."""
    codes, ids = shape_of("c", ["A1", "B2", "A1", None]), shape_of("i", ["A1", "C3", "B2", "D4"])
    assert codes.part_in(ids) == 1 and ids.part_in(codes) == 0.5
    assert shape_of("n", map(str, range(1, 40))).is_counter and not shape_of("n", ["101", "107", "300"]).is_counter
    assert shape_of("e", ["0", "1", ""]).is_flag and shape_of("e", ["Yes", "NO"]).is_flag
    assert not shape_of("e", ["yes", "maybe"]).is_flag
    assert shape_of("i", ["50912", "50931", "50971", "220045", "X"]).is_telling
    assert not shape_of("i", ["1", "2", "3", "4", "5"]).is_telling


def test_days_that_are_as_long_as_joined_ones_are_none() -> None:
    """`21.01.23` lies between `1850....` and `2300....` as a text, and is no number of eight digits."""
    assert [one and one.form.order for one in map(seen_time, ("21.01.23", "20210123", "22595853"))] == [
        "xxy",
        "ymd",
        None,
    ]
    assert moment_of("21.01.23", True) == (20_230_121, 0) and moment_of("20210123", True) == (20_210_123, 0)


UNREAD = {
    ("reported", "1618322400"): "9999999999",
    ("resulted_at", "1618322400000"): "9999999999999",
    ("Befunddatum", "44299.58"): "99999.99",
    ("verified", "2021-W15-2"): "9999-A99-9",
    ("second", "Tue Apr 13 14:00:00 2021"): "AAA AAA 99 99:99:99 9999",
    ("end", "13042021"): "99999999",
    ("Uhrzeit", "8.30"): "9.99",
    ("end", "20210413140000+0200"): "99999999999999+9999",
    ("end", "2021-04-13"): "",
    ("report_id", "1618322400"): "",
    ("case", "2021/0042"): "",
    ("observation_value", "25000"): "",
    ("service", "12345 Main Street"): "",
}


@pytest.mark.parametrize(("name", "cell"), UNREAD)
def test_what_looks_like_a_time_and_is_none_is_known_by_its_shape(name: str, cell: str) -> None:
    """A time in a form that is not read is seen by its column's name, or by a year with a clock; digits are told as 9s."""
    assert shape_of(name, [cell] * 3).unread_time == UNREAD[name, cell]


@pytest.mark.parametrize(
    ("column", "unit"),
    [
        ("glucose_mg_dl", "mg/dL"), ("Weight (kg)", "kg"), ("hb [g/dL]", "g/dL"), ("temp_c", "degC"), ("Temp F", "degF"),
        ("sodium mmol per L", "mmol/L"), ("glucose_mgdl", "mg/dL"), ("sbp_mmHg", "mmHg"), ("spo2_pct", "%"), ("spo2 (%)", "%"),
        ("wbc_k_ul", "K/uL"), ("crp_mg/l", "mg/L"), ("wbc (10*9/L)", "K/uL"), ("kg", None), ("hr_min", None), ("vitamin_c", None),
        ("score (total)", None), ("stage_f", None), ("lactate", None), ("time_in", None), ("apache_hr", None), ("bun_h", None),
        ("PLT (G/L)", None), ("plt_G_L", None), ("hb (g/l)", "g/L"), ("GLUCOSE (MG/DL)", "mg/dL"), ("Mg (mM)", None), ("Mg_mM", None),
        ("LENGTH_MM", "mm"), ("template_c", None), ("temporal_c", None), ("attempt_f", None), ("Body Temp (C)", "degC"), ("t_c", "degC"),
    ],
)  # fmt: skip
def test_names_say_units(column: str, unit: str | None) -> None:
    """A unit that the seeds know is read behind a name or in its brackets; `hr_min` and `vitamin_c` name none,
    nor does one that a capital makes another."""
    assert unit_named(column) == unit
