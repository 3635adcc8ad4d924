"""Contracts: what a file of one says, which digest names it, and what is not it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from tawt.contracts.contract import TYPES, Contract, check_schema, read_contract
from tawt.contracts.value_status import HAS_NUMBER, STATUS_NAMES
from tawt.errors import ConfigError, ContractError

VISITS: dict[str, Any] = {
    "name": "staging.visits", "description": "One row is one visit.", "grain": ["visit"], "sorted_by": ["visit"],
    "columns": [
        {"name": "visit", "type": "int64", "nullable": False},
        {"name": "weight", "type": "float32", "unit": "kg", "description": "How heavy."},
        {"name": "note", "type": "large_string", "required": False},
        {"name": "seen", "type": "timestamp[us]"},
        {"name": "words", "type": "list<string>"},
    ],
}  # fmt: skip
SCHEMA = pa.schema(
    [
        pa.field("visit", pa.int64(), False), ("weight", pa.float32()), ("note", pa.large_string()), ("seen", pa.timestamp("us")),
        ("words", pa.list_(pa.string())),
    ]
)  # fmt: skip


@pytest.fixture
def visits(tmp_path: Path) -> Contract:
    """The contract, read from its file."""
    path = tmp_path / "visits.json"
    path.write_text(json.dumps(VISITS))
    return read_contract(path)


def test_a_contract_is_an_arrow_schema(visits: Contract) -> None:
    """Names, types, order and nullability are those of the file."""
    assert visits.arrow_schema().equals(SCHEMA)
    assert visits.names == SCHEMA.names


def test_the_digest_of_a_contract_is_golden(visits: Contract) -> None:
    """Another digest of the same text would refuse every dataset on disk and rerun every stage."""
    assert visits.digest == "469b10075af65785"


@pytest.mark.parametrize(
    "change",
    [
        {"name": "staging.visit"}, {"grain": []}, {"sorted_by": []}, {"required": False}, {"paths": ["x"]},
        *({"columns": [VISITS["columns"][0] | {key: value}, *VISITS["columns"][1:]]}
          for key, value in {"type": "int32", "nullable": True, "required": False, "unit": "1"}.items()),
        {"columns": VISITS["columns"][::-1]},
    ],
)  # fmt: skip
def test_all_that_a_contract_says_is_in_its_digest(visits: Contract, change: dict[str, Any], tmp_path: Path) -> None:
    """A change of any key that rows hang on, of a column too, or of the order gives another digest."""
    path = tmp_path / "changed.json"
    path.write_text(json.dumps(VISITS | change))
    assert read_contract(path).digest != visits.digest


def _without(name: str) -> pa.Schema:
    return pa.schema([field for field in SCHEMA if field.name != name])


def test_a_schema_that_keeps_its_contract_is_taken(visits: Contract) -> None:
    """All columns, without those that may be absent, and none beside them."""
    for schema in (SCHEMA, _without("note")):
        check_schema(visits, schema, "staging.visits")
    with pytest.raises(ContractError, match="`_row` is not in the contract"):
        check_schema(visits, SCHEMA.append(pa.field("_row", pa.int64())), "staging.visits")


@pytest.mark.parametrize("name", [name for name in SCHEMA.names if name != "note"])
def test_a_missing_column_is_named(visits: Contract, name: str) -> None:
    """Each required column that a file lacks is an error of its own."""
    with pytest.raises(ContractError, match=f"column `{name}` is missing, expected visit, weight") as caught:
        check_schema(visits, _without(name), "staging.visits")
    assert caught.value.where == "staging.visits" and caught.value.hint


@pytest.mark.parametrize(
    ("name", "type_"),
    [
        ("visit", pa.int32()), ("weight", pa.float64()), ("note", pa.string()), ("seen", pa.timestamp("ns")),
        ("seen", pa.timestamp("us", "UTC")), ("words", pa.list_(pa.large_string())),
    ],
)  # fmt: skip
def test_a_column_of_another_type_is_named(visits: Contract, name: str, type_: pa.DataType) -> None:
    """A neighbour of the type is not the type, whatever could be cast; a column that may be absent is held to it too."""
    changed = SCHEMA.set(SCHEMA.names.index(name), pa.field(name, type_))
    with pytest.raises(ContractError, match=f"column `{name}` is ") as caught:
        check_schema(visits, changed, "staging.visits")
    assert caught.value.hint


def test_a_file_that_is_no_contract_is_an_error_of_use(tmp_path: Path) -> None:
    """Absent or not JSON: one line with the file; a key or a type that no contract has: the key is named."""
    for name, text, kind, said in (
        ("absent", None, ContractError, "absent.json"),
        ("half", '{"name": ', ContractError, "half.json"),
        ("large", " " * 1_048_577, ContractError, "large.json: holds 1,048,577 bytes"),
        ("key", json.dumps(VISITS | {"colums": []}), ConfigError, "unknown key `colums`"),
        ("type", json.dumps(VISITS).replace("float32", "float16"), ConfigError, "`columns.1.type` does not fit"),
        ("none", json.dumps({k: v for k, v in VISITS.items() if k != "columns"}), ConfigError, "`columns` is missing"),
    ):
        path = tmp_path / f"{name}.json"
        if text is not None:
            path.write_text(text)
        with pytest.raises(kind) as caught:
            read_contract(path)
        assert said in str(caught.value) and caught.value.hint and "\n" not in str(caught.value)


def test_the_numbers_of_value_status_are_part_of_the_format() -> None:
    """Shards on disk hold these numbers, so each name keeps its own."""
    assert STATUS_NAMES == (
        "none", "numeric", "category", "absent", "unparsed", "unit_unknown", "out_of_range", "censored_low", "censored_high",
        "not_measured",
    )  # fmt: skip
    assert sorted(map(int, HAS_NUMBER)) == [1, 7, 8]


@pytest.mark.parametrize("name", TYPES)
def test_each_type_is_one_to_files_and_to_the_engine(name: str) -> None:
    """What the engine hands over for the SQL type of a contract's type is its Arrow type, but for the width of offsets."""
    in_files, in_sql = TYPES[name].arrow, TYPES[name].sql
    given = duckdb.sql(f"select null::{in_sql} as it").to_arrow_table().schema.field("it").type
    assert given == (pa.string() if pa.types.is_large_string(in_files) else in_files)
