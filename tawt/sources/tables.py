"""The raw tables of a source: `schemas/SOURCE/TABLE.yaml` or `.json`, each with the stage that follows from it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from tawt.contracts.contract import Contract, read_contract
from tawt.contracts.layers import LAYERS
from tawt.contracts.table import SUFFIXES, Table, key_is_named, read_table
from tawt.database.macros import Macros
from tawt.errors import ConfigError
from tawt.project import SHARED, Project
from tawt.sources.declare import staging_contract, staging_select
from tawt.sources.sql_file import SqlFile, checked
from tawt.sources.stage import Stage


def table_files(project: Project, source: str) -> dict[str, Path]:
    """Return the files that say what the raw tables of a source are, by table; a project's before tawt's, and its own
    before those that all sources share.

    Raises:
        ConfigError: A table is said twice in one folder, as YAML and as JSON, or in `raw/`, where they were before.
    """
    found: dict[str, Path] = {}
    of_all, of_source = ([root / "schemas" / name for root in reversed(project.roots)] for name in (SHARED, source))
    for folder in (*of_all, *of_source):
        for path in sorted((folder / "raw").glob("[!.]*.json")):
            raise ConfigError(
                str(path), f"lies where no raw table is said any more, expected schemas/{source}/{path.name}",
                "move it there, and say of each column what it is: docs/guides/add-a-source.md",
            )  # fmt: skip
        here: dict[str, Path] = {}
        for path in sorted(folder.glob("[!.]*")):
            if path.suffix not in SUFFIXES or not path.is_file():
                continue
            if path.stem in here:
                raise ConfigError(
                    str(path), f"says what {here[path.stem].name} says too, expected one file of a table", "remove one"
                )
            here[path.stem] = path
        found |= here
    return dict(sorted(found.items()))


class Tables(Mapping[str, Table]):
    """The raw tables of a source by name, each read when it is asked for."""

    def __init__(self, project: Project, source: str) -> None:
        self.project, self.source = project, source
        self.files = table_files(project, source)
        self._read: dict[str, Table] = {}

    def __getitem__(self, name: str) -> Table:
        """Return what a table is.

        Raises:
            ConfigError: Its contract does not hold.
            ContractError: It is named otherwise than its file.
        """
        if name not in self._read:
            self._read[name] = read_table(self.files[name])
        return self._read[name]

    def __contains__(self, name: object) -> bool:
        """Return whether there is such a table."""
        return name in self.files

    def __iter__(self) -> Iterator[str]:
        """Yield their names."""
        return iter(self.files)

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self.files)

    def contract(self, layer: str, name: str) -> Contract | None:
        """Return what a stage of the source promises, as `contract_of`."""
        return contract_of(self.project, self.source, layer, name, self)


def declared_stage(table: Table, path: Path, macros: Macros) -> SqlFile:
    """Return the stage that follows from a table.

    Raises:
        ContractError: A column has a name in staging that SQL reads as a function.
        StageError: A table or a column has a name that no select can hold.
    """
    place = "/".join(path.parts[-3:])
    return checked(path, LAYERS["staging"], staging_select(table, place), macros, declared=True)


def contract_of(project: Project, source: str, layer: str, name: str, tables: Mapping[str, Table]) -> Contract | None:
    """Return what a stage promises: what all stages of its layer do, or its own file in `schemas/SOURCE/staging`, or
    what follows from the raw table of its name; None where nothing says it."""
    relative = f"schemas/{LAYERS[layer].contract.format(source=source, layer=layer, name=name)}"
    if (path := project.find(*(f"{relative}{suffix}" for suffix in SUFFIXES))) is not None:
        return read_contract(path)
    return staging_contract(tables[name]) if layer == "staging" and name in tables else None


def without_keys(stages: Mapping[str, Stage], raw: Mapping[str, Contract]) -> tuple[str, ...]:
    """Say which raw tables that are staged by their contracts name no key there."""
    tables = {stage.inputs[0].partition(".")[2] for stage in stages.values() if stage.sql and stage.sql.declared}
    named = [one.name for name, one in raw.items() if name in tables and not key_is_named(one)]
    if not named:
        return ()
    return (
        f"no `key:` in the contract of {', '.join(named)}: a record there is set aside only where it has no subject, "
        "any other cell that cannot be read is left out; name under `key:` what a record is of no use without, as its "
        "code and its time",
    )
