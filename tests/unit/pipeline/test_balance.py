"""What a stage wrote is held to its contract by the files alone."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tawt.contracts.account import Account
from tawt.contracts.contract import Contract
from tawt.errors import ContractError, StageError
from tawt.pipeline.balance import check_nulls

CONTRACT = Contract.model_validate(
    {
        "name": "staging.notes",
        "description": "One row is one note.",
        "columns": [{"name": "words", "type": "list<string>", "nullable": False}, {"name": "n", "type": "int64", "nullable": False}],
    }
)  # fmt: skip


def _file(path: Path, words: list[object], n: list[int | None], with_statistics: bool) -> list[Path]:
    table = pa.table(
        {"words": pa.array(words, pa.list_(pa.string())), "n": n, "_row": pa.array(range(len(n)), pa.int64())}
    )
    pq.write_table(table, path / "0.parquet", row_group_size=2, write_statistics=with_statistics)
    return [path / "0.parquet"]


@pytest.mark.parametrize("with_statistics", [True, False])
def test_nulls_are_counted_in_columns_of_lists_too(tmp_path: Path, with_statistics: bool) -> None:
    """A list that is null is counted; one that is empty or holds a null is none, with and without statistics."""
    kept = _file(tmp_path, [[], [None], ["a", None]], [1, 2, 3], with_statistics)
    check_nulls(CONTRACT, kept, "staging.notes")
    kept = _file(tmp_path, [[], None, [None], None], [1, 2, 3, 4], with_statistics)
    with pytest.raises(ContractError, match="column `words` is null in 2 kept rows"):
        check_nulls(CONTRACT, kept, "staging.notes")
    kept = _file(tmp_path, [[], [], []], [None, 2, None], with_statistics)
    with pytest.raises(ContractError, match="column `n` is null in 2 kept rows"):
        check_nulls(CONTRACT, kept, "staging.notes")


def test_records_that_are_nowhere_may_be_another_relations() -> None:
    """Whoever reads several relations is told which of them could be named first; of one alone there is no such way."""
    lost = Account(driving="staging.stays", n_records_in=5, n_records_kept=3, n_rows_out=3)
    with pytest.raises(StageError, match=r"2 of 5 records of staging\.stays have neither") as error:
        lost.check("event_parts.x", ("staging.people",))
    assert "name staging.people first in the text" in error.value.hint and "_reason" in error.value.hint
    with pytest.raises(StageError) as alone:
        lost.check("event_parts.x")
    assert "first in the text" not in alone.value.hint
