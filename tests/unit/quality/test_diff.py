"""What differs between two outputs, against counts made in Python; nothing small and no cell comes out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tawt.contracts.account import Account, Route
from tawt.quality.diff import RARE, Difference, Output, differences, withheld


@pytest.fixture(scope="module")
def engine() -> Iterator[duckdb.DuckDBPyConnection]:
    """An engine of one thread."""
    with duckdb.connect(config={"threads": 1}) as connection:
        yield connection


@pytest.fixture
def found(engine, tmp_path: Path) -> Callable[..., list[Difference]]:
    """`found(before, after)`: the differences of two tables, each written to a file, or of two lists of tables."""

    def compare(*tables: pa.Table | list[pa.Table], stage: str = "event_parts.x", routes=((), ())) -> list[Difference]:
        outputs = []
        for i, parts in enumerate(tables):
            files = [tmp_path / f"{i}-{j}.parquet" for j in range(len(parts) if isinstance(parts, list) else 1)]
            for file, table in zip(files, parts if isinstance(parts, list) else [parts], strict=True):
                pq.write_table(table, file)
            n = sum(pq.read_metadata(file).num_rows for file in files)
            account = Account(driving="raw.x", n_records_in=n, n_records_kept=n, n_rows_out=n, routes=routes[i])
            outputs.append(Output(files, [account], {}))
        return withheld(list(differences(engine, stage, *outputs)))

    return compare


def rows(n: int, seed: int, n_codes: int = 9) -> list[tuple[int, str, float | None, str]]:
    """Invented rows with many ties: few subjects, few numbers, rare codes, nulls."""
    rng = np.random.default_rng(seed)
    code = [f"C{int(i)}" for i in np.minimum(rng.geometric(0.4, n), n_codes)]
    value = [None if x > 7 else float(x) for x in rng.integers(0, 10, n)]
    return [
        (int(s), c, v, "absent" if v is None else "numeric")
        for s, c, v in zip(rng.integers(1, 41, n), code, value, strict=True)
    ]


def table(of: list[tuple[int, str, float | None, str]], first: int = 1) -> pa.Table:
    """The rows as a relation, each with its number."""
    columns = list(zip(*of, strict=True)) if of else [()] * 4
    names = ("subject_id", "code", "numeric_value", "value_status")
    types = (pa.int64(), pa.string(), pa.float64(), pa.string())
    arrays = {name: pa.array(cells, type_) for name, cells, type_ in zip(names, columns, types, strict=True)}
    return pa.table(arrays | {"_row": pa.array(range(first, first + len(of)), pa.int64())})


def test_rows_are_compared_as_often_as_they_stand_there(found) -> None:
    """The rows that only one side has, of all and by data_type, are those of a multiset difference in Python."""
    before, after = rows(600, 1), rows(640, 2)
    gone, new = Counter(before) - Counter(after), Counter(after) - Counter(before)
    told = {d.name: (d.before, d.after) for d in found(table(before), table(after)) if d.what == "rows only here"}
    total = told.pop("")
    there = [{code: len({s for s, c, *_ in side if c == code}) for _, code, *_ in side} for side in (before, after)]
    often = {code for code in there[0] | there[1] if max(side.get(code, 0) for side in there) > 10}

    def small(n: int) -> str:
        return "<11" if 0 < n < 11 else "<20" if 0 < n < 20 else f"{n // 20 * 20}+" if n else "0"

    by = [Counter(code for _, code, *_ in side.elements()) for side in (gone, new)]
    rare = [sum(n for code, n in side.items() if code not in often) for side in by]
    assert told.pop(RARE) == (small(rare[0]), small(rare[1]))
    assert total == (small(gone.total()), small(new.total()))
    assert told == {code: (small(by[0][code]), small(by[1][code])) for code in often if by[0][code] or by[1][code]}


def test_neither_order_nor_numbers_nor_files_make_a_difference(found) -> None:
    """The same rows in another order, under other numbers and in two files are the same."""
    of = rows(300, 3)
    assert found(table(of), [table(of[100:], 500), table(of[:100][::-1])]) == []
    more = [d for d in found(table(of), table([*of, of[0]])) if d.what == "rows only here"]
    assert [(d.name, d.before, d.after) for d in more] == [("", "0", "<11"), (of[0][1], "0", "<11")]


def test_counts_that_could_point_at_people_are_not_told(found) -> None:
    """No count from 1 to 10 comes out, nor is one a sum or difference of two or three that do; nor a rare data_type,
    were it of many rows of few people."""
    one_has_it = [(7, "RARE", float(i), "odd") for i in range(40)]
    for seed in range(8):
        before, n_gone = rows(300 + 7 * seed, 4 + seed), 4 * seed
        told = found(table(before), table([*before[n_gone:], *one_has_it[seed:], *before[: 2 * seed]]))
        assert {d.what for d in told} >= {"rows", "records in", "rows only here"}
        assert not any(d.name == "RARE" for d in told)
        texts = [text for d in told for text in (d.before, d.after)]
        counts = [int(text.rstrip("+")) for text in texts if not str(text).startswith("<")]
        signed = [0, *counts, *(-n for n in counts)]
        sums = {abs(a + b) for a in signed for b in signed}
        assert not any(0 < abs(n + c) <= 10 for n in sums for c in signed)
    before = rows(500, 4)
    told = found(table(before), table([*before[5:], (1, "RARE", 2.5, "odd")]))
    assert Difference("event_parts.x", "rows", "", "500+", "<11 fewer") in told
    assert Difference("event_parts.x", "status", "odd", "0", "<11") in told


def test_columns_that_are_new_gone_or_of_another_type_are_told(found) -> None:
    """Rows are then compared by what both sides have; a number of another type is the same number."""
    of = rows(50, 5)
    other = table(of).append_column("unit", pa.array(["mg"] * 50)).drop_columns(["numeric_value"])
    other = other.set_column(0, "subject_id", other["subject_id"].cast(pa.int32()))
    assert found(table(of), other) == [
        Difference("event_parts.x", "column", "subject_id", "bigint", "integer"),
        Difference("event_parts.x", "column", "numeric_value", "double", None),
        Difference("event_parts.x", "column", "unit", None, "varchar"),
    ]


def test_reasons_are_told_as_the_ledger_counts_them(found) -> None:
    """Drops and quarantine by reason."""
    routes = [
        (Route(kind="drop", reason="small", n_records=n), Route(kind="quarantine", reason="a:missing", n_records=2))
        for n in (30, 50)
    ]
    assert found(table(rows(20, 6)), table(rows(20, 6)), routes=routes) == [
        Difference("event_parts.x", "drop", "small", "30", "50")
    ]


def test_two_workspaces_are_compared_stage_by_stage(tmp_path: Path, write_meds, tawt, tree) -> None:
    """Triplets by the names of their data_types, whatever index these have; nothing is written."""

    def meds(of: list[tuple[int, str, float | None, str]], name: str) -> Path:
        plain = table(of).select(["subject_id", "code", "numeric_value"])
        times = pa.array(range(len(of)), pa.timestamp("us"))
        raw = write_meds(plain.append_column("time", times), name)
        for words in (("ingest", raw, "-p", "meds"), ("build-vocab",)):
            assert (
                tawt(
                    *words,
                    "-w",
                    tmp_path / "w" / name,
                    "--threads",
                    1,
                    *("--set", "splits.train=1", "--set", "splits.tuning=0", "--set", "splits.held_out=0")
                    * (words[0] == "ingest"),
                ).code
                == 0
            )
        return tmp_path / "w" / name

    of = rows(400, 7)
    a, b = meds(of, "a"), meds([*of, *[(i, "A", 1.0, "") for i in range(30)]], "b")
    before = tree(tmp_path / "w")
    ended = tawt("diff", a, b, "--format", "csv")
    lines = [line.split(",") for line in ended.out.splitlines()[1:]]
    assert ["events", "rows only here", "A", "0", "20+"] in lines
    triplets = {line[2] for line in lines if line[:2] == ["triplets", "rows only here"]}
    assert "A" in triplets
    assert tawt("diff", a, a).err.splitlines()[0] == "no difference"
    assert tree(tmp_path / "w") == before
    refused = tawt("diff", a, b, "--stage", "event_parts.measurement")
    assert refused.code == 2 and "`event_parts.measurements`" in refused.error
    assert "holds nothing of a workspace" in tawt("diff", a, tmp_path).error
