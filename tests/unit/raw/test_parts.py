"""Tables of several files: every file that belongs to one is read, once, as it is, or is named."""

from __future__ import annotations

import gzip
from contextlib import nullcontext
from datetime import datetime
from itertools import permutations
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tawt.config.pipeline import PipelineConfig
from tawt.contracts.contract import Column, Contract
from tawt.database.connect import connect, literal
from tawt.database.limits import Limits
from tawt.errors import SourceError
from tawt.raw.copies import readable
from tawt.raw.find import find_raw_tables
from tawt.raw.rejects import rejected_lines
from tawt.raw.views import bind_raw


def cells(
    root: Path,
    columns: str = "a",
    paths: tuple[str, ...] = ("t",),
    settings: dict | None = None,
    n_bad: int | None = None,
) -> list[tuple]:
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
        if n_bad is not None:
            lines = [line for _, line, _ in rejected_lines(connection, table)]
            assert len(lines) == n_bad == table.n_records - len(rows) and {*lines} == {3}
        assert [row[-1] for row in rows] == [*range(1, len(rows) + 1)]
    return [row[:-1] for row in rows]


EIGHT = datetime(2024, 3, 1, 8)
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


PARTS = {
    "ids of int64 and float32": ([pa.array([2**24 + 1, 2**53 + 1]), pa.array([1, 2**24], pa.float32())],
        ["16777217", "9007199254740993", "1", "16777216.0"]),
    "ids of float64 and int64": ([pa.array([1.0, 2.0**53]), pa.array([2**53 + 1]), pa.array([3], pa.int32())],
        ["1", "9007199254740992.0", "9007199254740993", "3"]),
    "ids of uint64 and text": ([pa.array([2**64 - 1], pa.uint64()), pa.array(["x 1"])], ["18446744073709551615", "x 1"]),
    "clock times and UTC": ([pa.array([EIGHT], pa.timestamp("us")), pa.array([EIGHT], pa.timestamp("ns", "UTC"))],
        ["2024-03-01 08:00:00", "2024-03-01 08:00:00Z"]),
    "days and times": ([pa.array([EIGHT.date()]), pa.array([EIGHT], pa.timestamp("s"))], ["2024-03-01", "2024-03-01 08:00:00"]),
    "times beyond nanoseconds": ([pa.array([EIGHT], pa.timestamp("ns")), pa.array([datetime(9000, 1, 1)], pa.timestamp("us"))],
        ["2024-03-01 08:00:00", "9000-01-01 00:00:00"]),
    "text and float64": ([pa.array(["5", "n/a"]), pa.array([0.1, 7.0])], ["5", "n/a", "0.1", "7"]),
    "float32 and float64": ([pa.array([0.1], pa.float32()), pa.array([0.1])], ["0.1", "0.1"]),
    "truth and numbers": ([pa.array([True]), pa.array([1])], ["true", "1"]),
    "nothing and text": ([pa.nulls(1), pa.array(["x"]), pa.nulls(1)], [None, "x", None]),
}  # fmt: skip


@pytest.mark.parametrize("kind", PARTS)
def test_parquet_parts_are_read_each_by_its_own_type(kind: str, tmp_path: Path) -> None:
    """No id, time or text is told through the type of another part: each cell is what its file alone would give."""
    parts, expected = PARTS[kind]
    (tmp_path / "raw" / "t").mkdir(parents=True)
    for i, part in enumerate(parts):
        # columns that no contract names agree in nothing
        other = pa.array([{"x": 1}] * len(part)) if i else pa.array(["x"] * len(part))
        pq.write_table(pa.table({"other": other, "A" if i else "a": part}), tmp_path / "raw" / "t" / f"{i}.parquet")
    assert cells(tmp_path / "raw") == [(cell,) for cell in expected]


def test_text_parts_are_read_by_the_names_of_their_columns(tmp_path: Path) -> None:
    """Parts with columns in another order or letter case, with more of them, or packed, are read as one file would be."""
    folder = tmp_path / "raw" / "t"
    folder.mkdir(parents=True)
    (folder / "0.csv").write_text("a,b\n1,x\n2\n3,y\n")
    (folder / "1.csv").write_text("B,A\nz,4\n")
    (folder / "2.csv.gz").write_bytes(gzip.compress(b"c,a,b\n,5,u\n"))
    (folder / "3.csv").write_text("c,a,b\n,6,v\nbad\n,7,w\n")
    expected = [("1", "x"), ("3", "y"), ("4", "z"), ("5", "u"), ("6", "v"), ("7", "w")]
    assert cells(tmp_path / "raw", "a,b") == expected
    (folder / "4.csv").write_text("c,a\n,6\n")
    with pytest.raises(SourceError, match=r"t/ \(file 5\): column `b` is missing"):
        cells(tmp_path / "raw", "a,b")


@pytest.mark.parametrize("paths", ["t-*", "t", "*/t"])
@pytest.mark.parametrize(
    "end", ["csv.bz2", "csv.zst", "zip", "csv.zip", "csv.xz", "xlsx", "dat", "psv", "pq", "csv.bak", "json", ""]
)
def test_a_part_in_another_form_is_refused_by_name(paths: str, end: str, tmp_path: Path) -> None:
    """What fits a pattern, or lies in a folder of parts, and is not read, is named: nothing is quietly less."""
    one, other = {"t-*": ("t-1", "t-2"), "t": ("t/1", "t/2"), "*/t": ("a/t", "b/t")}[paths]
    for path in (tmp_path / f"raw/{one}.csv", other := tmp_path / f"raw/{other}{'.' * bool(end)}{end}"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("a\n1\n")
    # what only tells of a part, or is another form of it, is none
    for beside in ("md5", "xlsx"):
        (tmp_path / f"raw/{one}.csv.{beside}").touch()
    (tmp_path / "raw" / one).with_name("README").touch()
    place = other.relative_to(tmp_path / "raw").as_posix()
    with pytest.raises(SourceError, match=f"{place}: is of a kind that is not read"):
        cells(tmp_path / "raw", paths=(paths,))
    other.unlink()
    assert cells(tmp_path / "raw", paths=(paths,)) == [("1",)]


@pytest.mark.parametrize("end", ["1.2021.xlsx", "9.json", "1.dump.sql", "1.csv.1"])
def test_of_many_parts_the_odd_one_is_told_by_its_ending(end: str, tmp_path: Path) -> None:
    """No beginning of a name makes it another form of a part; papers that are text files are none, nor are files that
    an editor put there."""
    folder = tmp_path / "raw" / "t"
    folder.mkdir(parents=True)
    for i in range(5):
        (folder / f"{i}.csv").write_text(f"a\n{i}\n")
    for name in ("README.txt", "t_readme.txt", "LICENSE", "SHA256SUMS.txt", "1.xlsx", "~$2.csv", "0.csv.md5"):
        (folder / name).write_text("Hello.\n")
    assert cells(tmp_path / "raw") == cells(tmp_path / "raw", paths=("t/*",)) == [(str(i),) for i in range(5)]
    (folder / end).touch()
    for paths in (("t",), ("t/*",)):
        place = r"t/ \(file \d+\)" if end[-1] == "1" else rf"t/\*\.{end.split('.')[-1]}"
        with pytest.raises(SourceError, match=f"{place}: is of a kind that is not read"):
            cells(tmp_path / "raw", paths=paths)


def test_the_order_of_paths_makes_no_difference(tmp_path: Path) -> None:
    """What patterns mean is one table, each file of it once; a table that lies whole in two places is refused."""
    for i, name in enumerate(("o", "o-1", "o-2", "x/o")):
        (tmp_path / "raw" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "raw" / f"{name}.csv").write_text(f"a\n{i}\n")
    read = {tuple(cells(tmp_path / "raw", paths=paths)) for paths in permutations(("o", "o-*", "o-1*", "o-2"))}
    assert [sorted(rows) for rows in read] == [[("0",), ("1",), ("2",)]]
    said = set()
    for paths in permutations(("o", "x/o", "o-*")):
        with pytest.raises(SourceError, match="lies there in two of its `paths`") as refused:
            cells(tmp_path / "raw", paths=paths)
        said.add(str(refused.value))
    assert len(said) == 1


def test_a_file_is_part_of_one_table(tmp_path: Path) -> None:
    """One that a pattern of another table means too would be read twice; two contracts may read all of the same."""
    for name in ("o-1", "o-2"):
        (tmp_path / f"{name}.csv").write_text("a\n1\n")
    column = Column(name="a", type="string")
    for own, refused in ((("o-1",), True), (("o-[12]",), False)):
        contracts = {
            name: Contract(name=f"raw.{name}", description="One row is one.", paths=paths, columns=(column,))
            for name, paths in (("t", ("o-*",)), ("u", own))
        }
        with pytest.raises(SourceError, match=r"raw.u: holds o-1\.csv") if refused else nullcontext():
            find_raw_tables(tmp_path, PipelineConfig(name="x", source="x"), contracts, None)


def test_a_part_that_lies_there_twice_is_refused(tmp_path: Path) -> None:
    """A part beside its packed self in a folder of parts would be read twice."""
    (tmp_path / "t").mkdir()
    (tmp_path / "t" / "1.csv").write_text("a\n1\n")
    (tmp_path / "t" / "1.csv.gz").write_bytes(gzip.compress(b"a\n1\n"))
    with pytest.raises(SourceError, match=r"lies there twice: t/1\.csv and t/1\.csv\.gz"):
        cells(tmp_path)


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1", "utf-16", "cp1252"])
@pytest.mark.parametrize("packed", [False, True])
def test_a_ctrl_z_at_the_end_is_no_record(encoding: str, packed: bool, tmp_path: Path) -> None:
    """Nor are NULs behind the last line: beside a part without them, and with a malformed line before."""
    (tmp_path / "raw" / "t").mkdir(parents=True)
    for i, tail in enumerate(("\x1a", "", "\0" * 600, "\x1a\r\n")):
        text = f"a,b\r\n{i},\u00e4\r\nbad\r\n{tail}".encode(encoding)
        path = tmp_path / "raw" / "t" / f"{i}.csv{'.gz' * packed}"
        path.write_bytes(gzip.compress(text) if packed else text)
    rows = cells(tmp_path / "raw", "a,b", settings={"csv": {"encoding": encoding}}, n_bad=4)
    assert rows == [(str(i), "\u00e4") for i in range(4)]


def test_a_file_of_another_name_is_told_as_such(tmp_path: Path) -> None:
    """`obs.2021.csv` can be read, but `obs` does not mean it."""
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "obs.2021.csv").write_text("a\n1\n")
    with pytest.raises(SourceError, match="a name that the contract does not mean"):
        cells(tmp_path / "raw", paths=("obs",))
    assert cells(tmp_path / "raw", paths=("obs.2021",)) == [("1",)]
