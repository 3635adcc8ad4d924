"""Raw files below the raw root -> checked, numbered views `raw.<table>`; nothing is copied.

A raw table is text: every CSV column arrives as VARCHAR and is typed in staging. `_row` numbers its records in file
order. A record that breaks the CSV standard is set aside with its line, never padded. The checksum inside every
`.gz` is verified once per content, because the engine itself does not look at it.
"""

from __future__ import annotations

import csv
import fnmatch
import gzip
import io
import zlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import duckdb
import pyarrow.parquet as pq

from tawt.config.data import Csv, Members
from tawt.contracts.contract import Contract
from tawt.errors import SourceError
from tawt.files import read_json, sha256_file, write_json
from tawt.pipeline.engine import identifier, literal
from tawt.pipeline.members import MemberReader, find_members
from tawt.pipeline.workspace import LOCAL, Workspace

SUFFIXES = (".csv", ".csv.gz", ".tsv", ".tsv.gz", ".txt", ".txt.gz", ".parquet")


@dataclass(frozen=True)
class RawFile:
    """One file of a raw table."""

    path: Path
    relative: str
    """Path below the raw root: the only form that is written down."""
    sha256: str


@dataclass(frozen=True)
class RawTable:
    """A raw table that is there."""

    name: str
    contract: Contract
    files: tuple[RawFile, ...]
    columns: dict[str, str]
    """Contract column -> column in the files; an absent optional column is not in it."""
    header: tuple[str, ...]
    """All columns in the files, in order."""
    members: Members | None = None

    @property
    def is_parquet(self) -> bool:
        """Whether the files are Parquet, whose columns keep their types."""
        return self.files[0].path.suffix == ".parquet"

    @property
    def absent(self) -> list[str]:
        """Optional columns that the files do not have."""
        return [name for name in self.contract.names if name not in self.columns]

    @property
    def identity(self) -> list[str]:
        """What the content of the table hangs on: hash of every file, in order, and the columns found."""
        return [file.sha256 for file in self.files] + sorted(self.columns)


def find_raw_tables(
    workspace: Workspace, contracts: dict[str, Contract]
) -> tuple[dict[str, RawTable], list[str]]:
    """Find every raw table below the raw root.

    Returns:
        The tables that are there, and what is to be said of absent optional tables and columns.

    Raises:
        SourceError: The raw root or a required table or column is absent, or a file is unreadable.
    """
    root = workspace.raw_root
    if root is None or not root.is_dir():
        raise SourceError(
            str(root or "raw root"),
            "is not a folder here, expected the raw tables",
            "run `tawt ingest RAW_DIR ...` again with the folder's place on this machine",
        )
    members = {entry.table: entry for entry in workspace.pipeline.members}
    found: dict[str, list[Path]] = {}
    said: list[str] = []
    for name, contract in sorted(contracts.items()):
        paths = find_members(root, members[name]) if name in members else _find_files(root, contract)
        if paths:
            found[name] = paths
        elif contract.required:
            raise SourceError(
                f"raw.{name}",
                f"no file found below the raw root, expected {_places(contract, members.get(name))}",
                f"`{workspace.pipeline.name}` needs this table; is the raw folder the right one?",
            )
        else:
            said.append(f"raw.{name} is absent (optional): the stages that read it are skipped")
    hashes = _identify(workspace, root, [path for paths in found.values() for path in paths])
    tables = {}
    for name, paths in found.items():
        files = tuple(RawFile(path, path.relative_to(root).as_posix(), hashes[path]) for path in paths)
        table = _with_columns(name, contracts[name], files, workspace.pipeline.csv, members.get(name))
        tables[name] = table
        said += [
            f"raw.{name} has no column `{column}` (optional): it reads as empty" for column in table.absent
        ]
    return tables, said


def _places(contract: Contract, members: Members | None) -> str:
    if members is not None:
        return " or ".join(f"`{pattern}`" for pattern in members.folders)
    return " or ".join(f"`{path}.csv[.gz]`" for path in contract.paths)


def _find_files(root: Path, contract: Contract) -> list[Path]:
    """Return the files of the first place that has any; names match in any case, a folder gives all its parts."""
    for place in contract.paths:
        hits = _glob(root, place)
        files = [part for hit in hits for part in (_parts(hit) if hit.is_dir() else [hit])]
        if files:
            return files
    return []


def _glob(root: Path, place: str) -> list[Path]:
    """Match `place` below root part by part, in any case, with any known suffix on the last part."""
    here = [root]
    *folders, last = place.lower().split("/")
    for folder in folders:
        here = [
            c
            for h in here
            for c in sorted(h.iterdir())
            if c.is_dir() and fnmatch.fnmatch(c.name.lower(), folder)
        ]
    hits = []
    for folder_path in here:
        for child in sorted(folder_path.iterdir()):
            name = child.name.lower()
            stem = next(
                (name.removesuffix(s) for s in sorted(SUFFIXES, key=len)[::-1] if name.endswith(s)), None
            )
            if (
                (child.is_dir()
                and fnmatch.fnmatch(name, last))
                or (stem is not None
                and fnmatch.fnmatch(stem, last))
            ):
                hits.append(child)
    return hits


def _parts(folder: Path) -> list[Path]:
    return sorted(p for p in folder.rglob("*") if p.is_file() and p.name.lower().endswith(SUFFIXES))


def _identify(workspace: Workspace, root: Path, paths: list[Path]) -> dict[Path, str]:
    """Hash every file and verify every gzip checksum; remembered by size and time of change."""
    local = read_json(workspace.root / LOCAL) or {}
    known = local.get("files", {})

    def one(path: Path) -> tuple[Path, str, list[int]]:
        stat = path.stat()
        stamp = [stat.st_size, stat.st_mtime_ns]
        entry = known.get(path.relative_to(root).as_posix())
        if entry and entry["stamp"] == stamp:
            return path, entry["sha256"], stamp
        if stat.st_size == 0:
            raise SourceError(
                path.name, "is empty (0 bytes), expected at least a header line", "copy it again"
            )
        if path.suffix == ".gz":
            _verify_gzip(path)
        return path, sha256_file(path), stamp

    with ThreadPoolExecutor(max_workers=4) as pool:
        results = list(pool.map(one, paths))
    local["files"] = {
        path.relative_to(root).as_posix(): {"stamp": stamp, "sha256": sha} for path, sha, stamp in results
    }
    if workspace.root.is_dir():
        write_json(workspace.root / LOCAL, local)
    return {path: sha for path, sha, _ in results}


def _verify_gzip(path: Path) -> None:
    try:
        with gzip.open(path, "rb") as file:
            while file.read(1 << 20):
                pass
    except (EOFError, OSError, zlib.error) as error:
        what = "ends early" if isinstance(error, EOFError) else "is damaged or is not gzip"
        raise SourceError(
            path.name, f"{what}, expected a whole .gz file", "copy it again and compare its hash"
        ) from None


def _with_columns(
    name: str, contract: Contract, files: tuple[RawFile, ...], dialect: Csv, members: Members | None
) -> RawTable:
    headers = [_header(file, dialect, members) for file in files]
    for file, header in zip(files, headers, strict=True):
        if header != headers[0]:
            raise SourceError(
                file.relative, f"has another header than `{files[0].relative}`, expected the same columns"
            )
        if len({column.lower() for column in header}) != len(header):
            raise SourceError(file.relative, "has a column name twice, expected every name once")
    by_lower = {column.lower(): column for column in headers[0]}
    columns = {c.name: by_lower[c.name.lower()] for c in contract.columns if c.name.lower() in by_lower}
    for column in contract.columns:
        if column.required and column.name not in columns:
            raise SourceError(
                files[0].relative,
                f"column `{column.name}` is missing, expected {', '.join(contract.names)}",
                f"found: {', '.join(headers[0])}",
            )
    return RawTable(name, contract, files, columns, headers[0], members)


def _header(file: RawFile, dialect: Csv, members: Members | None) -> tuple[str, ...]:
    if members is not None:
        return ("_member", *MemberReader(members, [file.path]).header())
    if file.path.suffix == ".parquet":
        try:
            return tuple(pq.read_schema(file.path).names)
        except (OSError, ValueError) as error:
            raise SourceError(
                file.relative, f"is not Parquet ({type(error).__name__})", "copy it again"
            ) from None
    opened = gzip.open(file.path, "rb") if file.path.suffix == ".gz" else file.path.open("rb")
    with opened as stream:
        text = io.TextIOWrapper(stream, encoding="utf-8-sig", newline="")
        try:
            row = next(
                csv.reader(text, delimiter=_delimiter(file.path, dialect), quotechar=dialect.quote), None
            )
        except UnicodeDecodeError:
            raise SourceError(
                file.relative, "is not UTF-8 text", "convert it, for example with iconv"
            ) from None
    if not row or not any(row):
        raise SourceError(file.relative, "has no header line, expected the column names")
    return tuple(column.strip() for column in row)


def _delimiter(path: Path, dialect: Csv) -> str:
    return "\t" if ".tsv" in path.name.lower() else dialect.delimiter


def bind_raw(connection: duckdb.DuckDBPyConnection, table: RawTable, dialect: Csv) -> MemberReader | None:
    """Make the view `raw.<table>`: the contract's columns and `_row`.

    Returns:
        The reader behind the view where the table is spread over many small files (it counts what it sets aside).
    """
    reader = None
    if table.members is not None:
        reader = MemberReader(table.members, [file.path for file in table.files])
        source = f"_members_{table.name}"
        connection.register(source, reader.batches())
    elif table.is_parquet:
        files = ", ".join(literal(str(file.path)) for file in table.files)
        source = f"read_parquet([{files}])"
    else:
        source = _read_csv(table, dialect)
    selected = [
        f"{identifier(table.columns[name])} as {identifier(name)}" if name in table.columns
        else f"null::varchar as {identifier(name)}"
        for name in table.contract.names
    ]  # fmt: skip
    number = "_row" if table.members is not None else "row_number() over () as _row"
    connection.execute(
        f"create or replace view raw.{identifier(table.name)} as select {', '.join(selected)}, {number} from {source}"
    )
    return reader


def _read_csv(table: RawTable, dialect: Csv, mark: str = "") -> str:
    files = ", ".join(literal(str(file.path)) for file in table.files)
    # names in the order of the header; nothing is sniffed, so one odd cell cannot change how a file is read
    columns = ", ".join(f"{literal(name)}: 'VARCHAR'" for name in table.header)
    return (
        f"read_csv([{files}], header = true, auto_detect = false, delim = {literal(_delimiter(table.files[0].path, dialect))}, "
        f"quote = {literal(dialect.quote)}, escape = {literal(dialect.quote)}, nullstr = '', columns = {{{columns}}}, "
        f"strict_mode = {str(dialect.strict).lower()}, store_rejects = true, "
        f"rejects_table = '_rejects_{table.name}{mark}', rejects_scan = '_rejects_scan_{table.name}{mark}')"
    )


def rejected_lines(connection: duckdb.DuckDBPyConnection, table: RawTable) -> list[tuple[str, int, str]]:
    """Return file, line and kind of every record that breaks the CSV standard, after the view was read to its end."""
    if table.members is not None or table.is_parquet:
        return []
    rows = connection.execute(
        f"select s.file_path, e.line, min(lower(replace(e.error_type::varchar, ' ', '_'))) "
        f"from _rejects_{table.name} e join _rejects_scan_{table.name} s using (scan_id, file_id) "
        f"group by all order by all"
    ).fetchall()
    relative = {str(file.path): file.relative for file in table.files}
    return [(relative[path], line, kind) for path, line, kind in rows]


def file_places(
    connection: duckdb.DuckDBPyConnection, table: RawTable, dialect: Csv
) -> tuple[tuple[str, ...], list[int]]:
    """Return the table's files and the number of each one's first record; several files cost one more reading."""
    names = tuple(file.relative for file in table.files)
    starts = [1]
    for file in table.files[:-1]:
        one = replace(table, files=(file,))
        source = (
            f"read_parquet([{literal(str(file.path))}])"
            if table.is_parquet
            else _read_csv(one, dialect, "_count")
        )
        row = connection.execute(f"select count(*) from {source}").fetchone()
        starts.append(starts[-1] + (row[0] if row else 0))
    return names, starts
