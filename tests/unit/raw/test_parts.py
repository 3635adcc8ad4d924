"""Tables of several files: every file that belongs to one is read, once, as it is, or is named."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tawt.config.pipeline import PipelineConfig
from tawt.contracts.contract import Column, Contract
from tawt.database.connect import Limits, connect, literal
from tawt.errors import SourceError
from tawt.raw.copies import readable
from tawt.raw.find import find_raw_tables
from tawt.raw.views import bind_raw


def cells(root: Path, columns: str = "a", paths: tuple[str, ...] = ("t",), settings: dict | None = None) -> list[tuple]:
    """The rows of the one raw table of a folder, as its stage would get them, in order."""
    names = columns.split(",")
    contract = Contract(
        name="raw.t", description="One row is one.", paths=paths, columns=tuple(Column(name=n, type="string") for n in names)
    )  # fmt: skip
    found, _ = find_raw_tables(root, PipelineConfig(name="x", source="x", **(settings or {})), {"t": contract}, None)
    scratch = root.with_name("scratch")
    with readable([found["t"]], scratch) as (table,), connect(Limits.of(1, "1GB"), [root, root.parent]) as connection:
        bind_raw(connection, table)
        rows = connection.sql(f"select {columns}, _row from raw.t").fetchall()
        assert [row[-1] for row in rows] == [*range(1, table.n_records + 1)]
    return [row[:-1] for row in rows]


SIGNS = ("o[1]", "o1", "o?", "o*", "o[!a]", "o[[]", "o[", "o]", "o{1}", "code=o%", "o[a-z]", "oa", "o'", "**")
"""Names of files, most of which are patterns that mean others of them."""


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_a_name_is_no_pattern(kind: str, tmp_path: Path) -> None:
    """Whatever signs the names of a raw root, a folder and a file have, each file is read once, whatever lies beside."""

    def write(path: Path, cell: str) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        if kind == "csv":
            path.with_name(f"{path.name}.csv").write_text(f"a,code\n{cell},c\n")
        else:
            pq.write_table(pa.table({"a": [cell], "code": ["c"]}), path.with_name(f"{path.name}.parquet"))

    for root in ("r[1]", "r1"):
        for name in SIGNS:
            write(tmp_path / root / "t" / name, f"{root}/{name}")
            write(tmp_path / root / "t" / name / "part", f"{root}/{name}/part")
    named = [name for sign in SIGNS for name in (sign, f"{sign}/part")]
    contract = Contract(
        name="raw.t", description="One row is one.", paths=("t",),
        columns=(Column(name="a", type="string"), Column(name="code", type="string")),
    )  # fmt: skip
    for root in ("r[1]", "r1"):
        found, _ = find_raw_tables(tmp_path / root, PipelineConfig(name="x", source="x"), {"t": contract}, None)
        with connect(Limits.of(1, "1GB"), [tmp_path / root]) as connection:
            bind_raw(connection, found["t"])
            rows = connection.sql("select a, code from raw.t").fetchall()
            assert sorted(rows) == sorted((f"{root}/{name}", "c") for name in named)
            other = tmp_path / ("r1" if root == "r[1]" else "r[1]") / "t" / f"oa.{kind}"
            with pytest.raises(Exception, match="Permission"):
                connection.sql(f"from {literal(str(other))}")


def test_a_name_that_the_engine_cannot_be_told_is_refused(tmp_path: Path) -> None:
    """A backslash beside a sign of a pattern: the file is named, and no other is read in its place."""
    (tmp_path / "t").mkdir()
    (tmp_path / "t" / "o\\[1].csv").write_text("a\n1\n")
    with pytest.raises(SourceError, match="has a backslash beside"):
        cells(tmp_path)
