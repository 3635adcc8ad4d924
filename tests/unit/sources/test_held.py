"""What a select leaves out follows from what it gives, and its types are its contract's."""

from __future__ import annotations

from typing import Any

import duckdb
import pytest

from tawt.contracts.contract import Contract, own_contract
from tawt.errors import ContractError
from tawt.sources.held import held_select

PARTS = own_contract("event_parts")
KEYS = "1 as subject_id, 'A' as code, 5 as _row"


def held(text: str, stage: str = "event_parts.x", contract: Contract = PARTS) -> dict[str, Any]:
    """Run a select of one row as it is held; its columns."""
    with duckdb.connect() as connection:
        given = connection.sql(text)
        have = dict(zip(given.columns, map(str, given.types), strict=True))
        relation = connection.sql(held_select(text, contract, stage, have, "staging.x"))
        types = dict(zip(relation.columns, map(str, relation.types), strict=True))
        assert all(types[c.name] == c.sql_type.upper() for c in contract.columns if c.name in types)
        return dict(zip(relation.columns, relation.fetchall()[0], strict=True))


@pytest.mark.parametrize(
    ("columns", "status", "number"),
    [
        ("", "none", None),
        (", 3 as numeric_value", "numeric", 3.0),
        (", null::double as numeric_value", "absent", None),
        (", 'nan'::double as numeric_value", "unparsed", None),
        (", null::double as numeric_value, 'x' as text_value", "category", None),
        (", 3.5 as numeric_value, 'x' as text_value", "numeric", 3.5),
        (", null as text_value", "absent", None),
        (", null::double as numeric_value, '4..1' as raw_value", "unparsed", None),
        (", 3 as numeric_value, 'censored_low' as value_status", "censored_low", 3.0),
    ],
)
def test_the_status_follows_from_the_value(columns: str, status: str, number: float | None) -> None:
    """Of a part that does not say it; what is no number is none."""
    row = held(f"select {KEYS}, timestamp '2020-01-02' as time{columns}")
    assert (row["value_status"], row["numeric_value"]) == (status, number)
    assert row.get("_faults") == ("numeric_value:not_finite" if "nan" in columns else None)


@pytest.mark.parametrize(
    ("columns", "available"),
    [
        (", timestamp '2020-01-02' as time", "2020-01-02 00:00:00"),
        (", date '2020-01-02' as time", "2020-01-02 00:00:00"),
        (", timestamp '2020-01-02' as time, timestamp '2020-01-03' as available_time", "2020-01-03 00:00:00"),
        (", timestamp '2020-01-02' as time, timestamp '2020-01-01' as available_time", "2020-01-02 00:00:00"),
        (", timestamp '2020-01-02' as time, null::timestamp as available_time", "2020-01-02 00:00:00"),
        (", timestamp '2020-01-03' as available_time", "2020-01-03 00:00:00"),
        ("", "None"),
    ],
)
def test_nothing_is_readable_before_its_time(columns: str, available: str) -> None:
    """The time is when it can be read, where nothing later is said; a static fact has none."""
    assert str(held(f"select {KEYS}{columns}")["available_time"]) == available


def test_what_is_left_out_is_null_and_record_ids_are_not_made_up() -> None:
    """Of an event part and of a code; what tells records apart is there where it is given."""
    row = held(f"select {KEYS}")
    assert [row[name] for name in ("time", "text_value", "unit", "raw_value", "_reason")] == [None] * 5
    assert "record_id" not in row and held(f"select {KEYS}, 77 as record_id")["record_id"] == "77"
    code = held("select 'A' as code, 1 as _row", "codes.x", own_contract("codes"))
    assert code == {"code": "A", "description": None, "parent_codes": [], "_row": 1, "_reason": None}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("select 1 as subject_id, 'A' as code", "`_row` is missing"),
        ("select 1 as subject_id, 5 as _row", "`code` is missing"),
        (f"select {KEYS}, 1 as numeric_valu", "`numeric_valu` is not in the contract"),
        ("select '1' as subject_id, 'A' as code, 5 as _row", "`subject_id` is VARCHAR, expected int64"),
        ("select 1.5 as subject_id, 'A' as code, 5 as _row", "`subject_id` is DECIMAL(2,1), expected int64"),
        (f"select {KEYS}, '2020-01-02' as time", "`time` is VARCHAR, expected timestamp[us]"),
        (f"select {KEYS}, now() as time", "`time` is TIMESTAMP WITH TIME ZONE, expected timestamp[us]"),
        (f"select {KEYS}, 3.5 as text_value", "`text_value` is DECIMAL(2,1), expected string"),
        (f"select {KEYS}, 3 as _faults", "`_faults` is INTEGER, expected string"),
    ],
)
def test_what_could_only_be_guessed_at_is_refused(text: str, said: str) -> None:
    """A missing column that follows from nothing, one too many, and a type that is no other without a guess."""
    with pytest.raises(ContractError) as caught:
        held(text)
    assert said in caught.value.what and caught.value.hint


def test_a_text_where_a_number_belongs_is_told_the_macro() -> None:
    """The hint of a type names what reads a text as one."""
    with pytest.raises(ContractError) as caught:
        held("select '1' as subject_id, 'A' as code, 5 as _row")
    assert "`whole(...)`" in caught.value.hint
