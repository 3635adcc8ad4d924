"""What a column looks like: counts of shapes, and never a cell."""

from __future__ import annotations

import pytest

from tawt.sources.shapes import kind_of, shape_of

KINDS = {
    "whole": ("7", " -12 ", "0042", "10000032", "22100131"),
    "decimal": ("5.4", "1E+11", "-.5", "1e-3"),
    "compared": ("<0.1", "> 80 mg/L", ">=5"),
    "comma": ("5,4",),
    "clock": ("08:00", "23:59:59", "100:05"),
    "time": ("2150-03-01", "2150-03-01 08:00:00", "1.2.2024 8:00", "3/1/2150 08:00:00 PM", "01-MAR-2150", "01MAR2150"),
    "mark": ("NA", "\\N", " NULL ", "."),
    "empty": ("", "  "),
    "text": ("POS", "120/80", "1.2.3", "002-1039", "13.13.2024", "1_000", "2150-13-01", "nan7", "1-Foo-2150"),
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


@pytest.mark.parametrize(
    ("cells", "day_first", "form"),
    [
        (["13/2/2150", "1/2/2150"], True, "%d/%m/%Y"),
        (["2/13/2150 8:00 PM"], False, "%m/%d/%Y %I:%M %p"),
        (["1.2.2150 08:30:00"], None, "%d.%m.%Y %H:%M:%S"),
        (["13.2.50"], True, "%d.%m.%y"),
        (["2-Mar-2150"], None, "%d-%b-%Y"),
    ],
)
def test_the_order_of_day_and_month_is_decided_by_the_cells(
    cells: list[str], day_first: bool | None, form: str
) -> None:
    """A number above 12 tells which is the day; where none is, that is undecided."""
    shape = shape_of("time", cells)
    assert shape.is_time and shape.day_first is day_first
    assert {one.written(shape.day_first is not False) for one in shape.forms} == {form}


def test_a_few_dirty_cells_change_no_guess() -> None:
    """One word among hundreds of numbers leaves a column of numbers; every third makes it none."""
    assert shape_of("n", ["1.5"] * 200 + ["high"]).is_number
    assert not shape_of("n", ["1.5"] * 2 + ["high"]).is_number


def test_marks_that_may_be_words_are_told() -> None:
    """`NA` beside numbers is none of them; `None` and `-` beside words may be one, `NULL` is not."""
    assert shape_of("n", ["1", "NA", "-"]).odd_marks == []
    assert shape_of("route", ["Oral", "None", "NULL", "-"]).odd_marks == ["-", "None"]


@pytest.mark.parametrize(
    ("cells", "expected"),
    [(["5,4", "140"], True), (["5,4", "<0,1", "NA"], True), (["5,400", "1,234"], False), (["5,4", "1.5"], False)],
)
def test_a_comma_before_decimals_is_told_from_one_before_thousands(cells: list[str], expected: bool) -> None:
    """A comma with three digits behind it in every cell, or beside points, decides nothing."""
    shape = shape_of("n", cells)
    assert shape.has_commas is expected and shape.is_number is expected


def test_what_columns_share_is_told_without_their_cells() -> None:
    """Ids that are among another column's are counted; row numbers, flags and short numbers are known for what they are."""
    codes, ids = shape_of("c", ["A1", "B2", "A1", None]), shape_of("i", ["A1", "C3", "B2", "D4"])
    assert codes.part_in(ids) == 1 and ids.part_in(codes) == 0.5
    assert shape_of("n", map(str, range(1, 40))).is_counter and not shape_of("n", ["101", "107", "300"]).is_counter
    assert shape_of("e", ["0", "1", ""]).is_flag and shape_of("e", ["Yes", "NO"]).is_flag
    assert not shape_of("e", ["yes", "maybe"]).is_flag
    assert shape_of("i", ["50912", "50931", "50971", "220045", "X"]).is_telling
    assert not shape_of("i", ["1", "2", "3", "4", "5"]).is_telling
