"""Finds the files of every raw table below the raw root, and holds their bytes and headers to the contracts.

Nothing is copied.
"""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

from tawt.config.pipeline import Csv, Members, PipelineConfig
from tawt.contracts.contract import Contract
from tawt.errors import SourceError, listed
from tawt.files import digest
from tawt.raw.archives import Passed, passed_over
from tawt.raw.files import files_of
from tawt.raw.formats import format_of, places_of
from tawt.raw.header import about_header, read_header
from tawt.raw.identity import RawFile, identify
from tawt.raw.seen import RawSeen

_HIDDEN = "{:,} files that lie there begin with `.`, `_` or `~`, or lie in such a folder, are no data and are not read"


@dataclass(frozen=True)
class RawTable:
    """A raw table that is there."""

    name: str
    contract: Contract
    files: tuple[RawFile, ...]
    columns: dict[str, str]
    """Contract column -> column in the files; an absent optional column is not in it."""
    members: Members | None = None
    dialect: Csv = field(default_factory=Csv)
    """How the files are written."""
    in_some: dict[str, int] = field(default_factory=dict)
    """Contract column -> files that have it, where others lack it."""
    n_before: int = 0
    """Records of the table that are in other files, before these."""

    @property
    def is_parquet(self) -> bool:
        """Whether the files are Parquet, whose columns keep their types."""
        return self.members is None and format_of(self.files[0].path).is_parquet

    @property
    def is_text(self) -> bool:
        """Whether the engine parses the files as CSV."""
        return self.members is None and not self.is_parquet

    @property
    def header(self) -> tuple[str, ...]:
        """All columns that any file has."""
        return tuple(dict.fromkeys(name for file in self.files for name in file.header))

    @property
    def absent(self) -> list[str]:
        """Optional columns that the files do not have."""
        return [name for name in self.contract.names if name not in self.columns]

    @property
    def n_records(self) -> int:
        """How many records the files hold, as their bytes say."""
        return sum(file.n_records for file in self.files)

    @property
    def identity(self) -> str:
        """What the table is known by: the hash of those of every file, in order, and the columns found."""
        return digest([file.sha256 for file in self.files] + sorted(self.columns))


def find_raw_tables(
    root: Path, pipeline: PipelineConfig, contracts: dict[str, Contract], known: dict[str, RawSeen] | None
) -> tuple[dict[str, RawTable], list[str]]:
    """Find every raw table below the raw root.

    Args:
        root: The raw root.
        pipeline: Says how its files are written.
        contracts: Of the raw tables, by name.
        known: What was read before, by path below the root; None = read everything.

    Returns:
        The tables that are there, and what is to be said of absent optional tables and columns.

    Raises:
        SourceError: A required table or column is absent, or a file is unreadable.
    """
    members = {entry.table: entry for entry in pipeline.members}
    found: dict[str, list[Path]] = {}
    said: list[str] = []
    n_hidden: Counter[str] = Counter()
    for name, contract in sorted(contracts.items()):
        paths = files_of(root, contract.paths, members.get(name), contract.name, n_hidden)
        if paths:
            found[name] = paths
        elif contract.required:
            raise SourceError(
                f"raw.{name}",
                f"no file found below the raw root, expected {_places(contract, members.get(name))}",
                f"`{pipeline.name}` needs this table; is the raw folder the right one?"
                + (f" {_HIDDEN.format(n_hidden[contract.name])}" if n_hidden[contract.name] else ""),
            )
        else:
            said.append(f"raw.{name} is absent (optional): the stages that read it are skipped")
    _hold_each_to_one(root, found)
    dialects = {name: _dialect_of(pipeline, name, paths) for name, paths in found.items()}
    with ThreadPoolExecutor(max_workers=4) as pool:
        jobs = {n: identify(pool, root, paths, dialects[n], members.get(n), known) for n, paths in found.items()}
        identified = {name: tuple(file for job in of_table for file in job.result()) for name, of_table in jobs.items()}
    tables = {}
    for name, files in identified.items():
        table = _with_columns(name, contracts[name], files, dialects[name], members.get(name))
        tables[name] = table
        if name in members:
            passed = _passed_over(table, members[name])
            n_hidden[contracts[name].name] = passed[Passed.HIDDEN]
            if passed[Passed.OTHER]:
                said.append(
                    f"raw.{name}: {passed[Passed.OTHER]:,} files in its folders and archives are not named "
                    f"{members[name].named} and are not read"
                )
        if n := n_hidden[contracts[name].name]:
            said.append(f"raw.{name}: {_HIDDEN.format(n)}")
        said += [f"raw.{name} has no column `{column}` (optional): it reads as empty" for column in table.absent]
        said += [
            f"raw.{name}: column `{column}` is in {n:,} of {len(files):,} files, and reads as empty in the others"
            for column, n in table.in_some.items()
        ]
    return tables, said


def _hold_each_to_one(root: Path, found: dict[str, list[Path]]) -> None:
    """Refuse a file that a pattern or a folder of one table gives, and that is another table's; two contracts may read
    all of the same."""
    owners: dict[Path, str] = {}
    for name, paths in found.items():
        for path in paths:
            owner = owners.setdefault(path, name)
            if owner != name and found[owner] != paths:
                raise SourceError(
                    f"raw.{name}", f"holds {places_of(root, paths)[path]}, which raw.{owner} holds too, expected each "
                    "file in one table", "narrow the `paths` of one of the two",
                )  # fmt: skip


def _dialect_of(pipeline: PipelineConfig, name: str, paths: list[Path]) -> Csv:
    """Return how the files of a table are written: with tabs where their names say so and the table itself does not."""
    dialect, own = pipeline.csv_of(name), pipeline.tables.get(name)
    tabbed = all(format_of(path).is_tabbed for path in paths) and (own is None or own.delimiter is None)
    return dialect.model_copy(update={"delimiter": "\t"}) if tabbed else dialect


def _passed_over(table: RawTable, members: Members) -> Counter[Passed | None]:
    passed: Counter[Passed | None] = Counter()
    for file in table.files:
        passed.update({Passed.OTHER: file.seen.n_passed, Passed.HIDDEN: file.seen.n_hidden})
    folders = {file.path.parent for file in table.files if file.relative != file.place}
    passed.update(
        passed_over(path.name, members) for folder in folders for path in folder.iterdir() if not path.is_dir()
    )
    return passed


def _places(contract: Contract, members: Members | None) -> str:
    if members is not None:
        return " or ".join(f"`{pattern}`" for pattern in members.folders)
    return " or ".join(f"`{path}.csv[.gz]`" for path in contract.paths)


def seen_files(raw: dict[str, RawTable]) -> dict[str, RawSeen]:
    """Return what the raw files were when they were hashed, so that the next command need not read them."""
    return {file.relative: file.seen for table in raw.values() for file in table.files}


def _with_columns(
    name: str, contract: Contract, files: tuple[RawFile, ...], dialect: Csv, members: Members | None
) -> RawTable:
    kinds = [(format_of(file.path).is_parquet, format_of(file.path).is_tabbed) for file in files]
    for file, kind in zip(files, kinds, strict=True):
        if members is None and kind != kinds[0]:
            raise SourceError(
                file.place, f"is of another kind than `{files[0].place}`, expected parts that are written alike",
                "write all parts of the table in one form",
            )  # fmt: skip
    # of small files the one that reads them holds each to the header of the first
    n_read = 1 if members is not None else len(files)
    files = tuple(
        replace(file, header=read_header(file, dialect, members, contract.names)) if i < n_read else file
        for i, file in enumerate(files)
    )
    named = {column.lower() for column in contract.names}
    for file in files[:n_read]:
        twice = [column for column, n in Counter(map(str.lower, file.header)).items() if n > 1]
        if twice:
            # a name that no contract knows may be a cell: its places are said
            places = ", ".join(str(i) for i, column in enumerate(file.header, 1) if column.lower() == twice[0])
            which = f"`{twice[0]}` " if twice[0] in named else ""
            raise SourceError(
                file.place, f"has a column name {which}twice (columns {places}), expected every name once",
                "rename one in the header line",
            )  # fmt: skip
    by_lower = {column.lower(): column for file in files for column in file.header}
    columns = {c.name: by_lower[c.name.lower()] for c in contract.columns if c.name.lower() in by_lower}
    for file in files[:n_read]:
        there = {column.lower(): column for column in file.header if column.lower() in named}
        for column in contract.columns:
            if column.required and column.name.lower() not in there:
                raise SourceError(
                    file.place,
                    f"column `{column.name}` is missing, expected {listed(contract.names)}",
                    about_header(column.name, file.header, set(there.values()), len(contract.columns)),
                )
    n_files = Counter(column.lower() for file in files for column in file.header)
    in_some = {c: n for c, in_files in columns.items() if (n := n_files[in_files.lower()]) < n_read}
    return RawTable(name, contract, files, columns, members, dialect, in_some)
