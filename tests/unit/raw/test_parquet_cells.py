"""Cells of Parquet as text: what a CSV file of the same table would hold, whatever type and statistics the file has."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tawt.config.pipeline import PipelineConfig
from tawt.contracts.contract import Column, Contract
from tawt.database.connect import connect
from tawt.database.limits import Limits
from tawt.raw.find import find_raw_tables
from tawt.raw.views import bind_raw

MINUS_NAN = np.array([0xFFF8 << 48], np.uint64).view(np.float64)[0]


def cells(root: Path, settings: dict | None = None) -> list[object]:
    """The cells of the one column of the one raw table of a folder, as its stage would get them."""
    contract = Contract(
        name="raw.t", description="One row is one.", paths=("t",), columns=(Column(name="c", type="string"),)
    )
    pipeline = PipelineConfig(name="x", source="x", **(settings or {}))
    tables, _ = find_raw_tables(root, pipeline, {"t": contract}, None)
    with connect(Limits.of(1, "1GB"), [root]) as connection:
        bind_raw(connection, tables["t"])
        return [cell for (cell,) in connection.sql("select c from raw.t order by _row").fetchall()]


def by_arrow(path: Path, column: pa.Array) -> None:
    """With whatever statistics."""
    pq.write_table(pa.table({"c": column}), path)


def by_polars(path: Path, column: pa.Array) -> None:
    """With statistics that leave NaN out."""
    pl.DataFrame({"c": pl.from_arrow(column)}).write_parquet(path)


def without_statistics(path: Path, column: pa.Array) -> None:
    """Nothing is known of a column."""
    pq.write_table(pa.table({"c": column}), path, write_statistics=False)


@pytest.mark.parametrize("write", [by_arrow, by_polars, without_statistics])
@pytest.mark.parametrize("type_", [pa.float32(), pa.float64()])
@pytest.mark.parametrize("numbers", [(0.5, 140.0), (1.0, 9.0), (1.25, 1.5), (-1e16, 1e16), (), (float("inf"), 2.0)])
def test_not_a_number_is_no_cell(
    write: Callable[..., None], type_: pa.DataType, numbers: tuple, tmp_path: Path
) -> None:
    """NaN of either sign is null whatever the extremes of its column are; infinities stay, to be told as unparsed."""
    data = np.array([float("nan"), *numbers, MINUS_NAN], np.float64).astype(type_.to_pandas_dtype())
    write(tmp_path / "t.parquet", pa.array(data))
    text = cells(tmp_path)
    assert text[0] is None and text[-1] is None and len(text) == len(numbers) + 2
    assert [float(str(cell)) for cell in text[1:-1]] == list(numbers) and "1.0" not in text


AS_TEXT = {
    "int8": (pa.array([7, None, -1], pa.int8()), ["7", None, "-1"]),
    "uint64": (pa.array([2**64 - 1], pa.uint64()), [str(2**64 - 1)]),
    "float32": (pa.array([0.1, 7, 1e-7], pa.float32()), ["0.1", "7", "1e-07"]),
    "float of an id": (pa.array([10000032.0, None, 12.5]), ["10000032", None, "12.5"]),
    "string": (pa.array([" 7 ", None, "", "ä"]), [" 7 ", None, "", "ä"]),
    "large_string": (pa.array(["7", None], pa.large_string()), ["7", None]),
    "string_view": (pa.array(["7", None], pa.string_view()), ["7", None]),
    "dictionary": (pa.array(["7", None, "7"]).dictionary_encode(), ["7", None, "7"]),
    "dictionary of large": (pa.array(["7", None], pa.large_string()).dictionary_encode(), ["7", None]),
    "decimal": (pa.array([Decimal("12"), None], pa.decimal128(18, 0)), ["12", None]),
    "decimal with zeros": (
        pa.array([Decimal("100.00"), Decimal("1.50"), Decimal("-0.05")], pa.decimal128(38, 10)), ["100", "1.5", "-0.05"]
    ),
    "bool": (pa.array([True, None]), ["true", None]),
    "date": (pa.array([date(2150, 1, 2), None]), ["2150-01-02", None]),
    "timestamp": (pa.array([datetime(2150, 1, 2, 3, 4, 5), None], pa.timestamp("ns")), ["2150-01-02 03:04:05", None]),
    "utc": (pa.array([datetime(2150, 1, 2, 3)], pa.timestamp("us", "UTC")), ["2150-01-02 03:00:00Z"]),
    "null": (pa.nulls(2), [None, None]),
}  # fmt: skip


@pytest.mark.parametrize("kind", AS_TEXT)
def test_a_typed_cell_is_the_text_of_it(kind: str, tmp_path: Path) -> None:
    """Numbers, days, times and texts of every type read as a CSV file would hold them: a whole number without a point."""
    column, expected = AS_TEXT[kind]
    by_arrow(tmp_path / "t.parquet", column)
    assert cells(tmp_path) == expected


def test_a_mark_of_missing_is_one_in_a_column_of_numbers(tmp_path: Path) -> None:
    """-9 stands for a missing number in Parquet as in CSV."""
    by_arrow(tmp_path / "t.parquet", pa.array([1.5, -9.0, float("nan")]))
    assert cells(tmp_path, settings={"csv": {"marks": [-9]}}) == ["1.5", None, None]


def test_parts_of_other_types_are_read_alike(tmp_path: Path) -> None:
    """Of a table whose parts hold one column as numbers, text and nothing, each cell is its text, and NaN none."""
    (tmp_path / "t").mkdir()
    for i, column in enumerate((pa.array([1, 2]), pa.array([1.5, float("nan"), 3.0]), pa.nulls(1), pa.array([4.0]))):
        by_arrow(tmp_path / "t" / f"{i}.parquet", column)
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(cells, tmp_path).result() == ["1", "2", "1.5", None, "3", None, "4"]
