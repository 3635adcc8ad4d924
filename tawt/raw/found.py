"""A table as it lies in a folder, before anybody has described it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from tawt.config.pipeline import Csv, Encoding, Members
from tawt.contracts.contract import Column, Contract
from tawt.raw.find import RawTable
from tawt.raw.formats import format_of
from tawt.raw.identity import RawFile
from tawt.raw.seen import RawSeen


@dataclass(frozen=True)
class FoundTable:
    """A table as it lies there."""

    place: str
    """Where, below the root, as a contract's `paths` has it: in lower case, without suffix."""
    files: tuple[Path, ...]
    header: tuple[str, ...]
    delimiter: str = ","
    encoding: Encoding | None = None
    """None where it is the same in all."""
    members: Members | None = None
    stem: str = ""
    """What is in the names of all its parts, but for their numbers."""
    is_named: bool = False
    """Whether its parts may have the names of people."""

    @property
    def name(self) -> str:
        """The last part of its place, or what its parts have in common."""
        return re.sub(r"\[(.)\]", r"\1", self.stem or self.place.rpartition("/")[2]).strip("-_. *?")

    @property
    def parts(self) -> tuple[str, ...]:
        """The names of the files that are its parts, where they are several that lie beside others."""
        return tuple(file.name for file in self.files) if (self.stem or self.is_named) and self.members is None else ()

    @property
    def is_written(self) -> bool:
        """Whether its numbers are texts."""
        return self.members is not None or not format_of(self.files[0]).is_parquet

    @property
    def is_text(self) -> bool:
        """Whether it is one text file or several."""
        return self.members is None and not format_of(self.files[0]).is_parquet

    def raw(self, name: str) -> RawTable:
        """Return it as an ingest reads it, all columns as text, but for those whose names cannot be said in SQL."""
        columns = tuple(Column(name=c, type="string") for c in self.header if c.isprintable() and c.lower() != "_row")
        files = tuple(
            RawFile(file, file.name, file.name, RawSeen(stamp=(), sha256=""), self.header) for file in self.files
        )
        contract = Contract(name=f"raw.{name}", description="", columns=columns)
        dialect = Csv(delimiter=self.delimiter, encoding=self.encoding or "utf-8", strict=False)
        known = {column: column for column in contract.names}
        return RawTable(name, contract, files, known, self.members, dialect)


@dataclass(frozen=True)
class PassedOver:
    """What lies there and is not read."""

    place: str
    why: str
