"""Who asked to be forgotten, as a workspace keeps it: not their ids, for that somebody asked is itself told of nobody.

Raw files may hold their records for years, so each ingest has to know them again. Kept is a mark of each subject's
number: a hash that nobody finds a number for who has not the key. The key lies in `local.json`, on the machine that can
read the raw files, which name everybody anyway; a copy of a workspace without that file tells of no one.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import Field

from tawt.arrays import Bools, Ints
from tawt.config.base import Section
from tawt.errors import FileError
from tawt.files import digest, sealed, whole
from tawt.readers import read_record

OPTED_OUT = "opted_out.json"
"""Record of a workspace that holds the marks; sealed, and the owner's alone."""
NOBODY = -1
"""Stands for the number of who opted out where ids are text: the map of subjects has none of theirs."""
_AGAIN = (
    f"put back copies of {OPTED_OUT} and local.json; without them nobody can tell who it was: remove {OPTED_OUT}, and "
    "give all of them to `tawt forget` again before anything is ingested"
)
Hash = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class Marks(Section):
    """What `opted_out.json` says."""

    key: Hash
    """Hash of the key, which tells another key from the right one."""
    marks: tuple[Hash, ...] = ()
    """Of the subjects, sorted: in no order of theirs."""
    theirs: tuple[Hash, ...] = ()
    """Of what tells records of theirs in tables that name no subject, as the numbers of their stays."""
    runs: dict[str, str] = {}
    """Runs that learned from any of them -> how, as it was found when they were forgotten."""


@dataclass(frozen=True)
class OptedOut:
    """Those who asked to be forgotten."""

    key: str
    marks: frozenset[str]
    theirs: frozenset[str] = frozenset()
    """As in `Marks`."""
    runs: Mapping[str, str] = field(default_factory=dict)
    """As in `Marks`."""

    @property
    def known(self) -> str:
        """What stages that leave them out know them by."""
        return digest(sorted(self.marks))

    def mark(self, number: int) -> str:
        """Return the mark of a subject, by its number."""
        return sha256(f"{self.key}{number}".encode()).hexdigest()

    def among(self, numbers: Ints) -> Bools:
        """Return which of some subjects opted out."""
        return np.array([self.mark(number) in self.marks for number in numbers.tolist()], dtype=np.bool_)

    def sql(self, column: str) -> str:
        """Return the SQL that asks the same of a column of numbers."""
        listed = ", ".join(f"'{mark}'" for mark in sorted(self.marks))
        return f"coalesce(sha256('{self.key}' || {column}::varchar) in ({listed}), false)"

    def sql_of(self, column: str) -> str:
        """Return the SQL of the mark of what stands in a column by which other tables tell whose a record is."""
        named, name = column.replace("'", "''"), column.replace('"', '""')
        return f"sha256('{self.key}{named}=' || \"{name}\"::varchar)"

    def joined_by(self, numbers: Iterable[int]) -> OptedOut:
        """Return them with more subjects."""
        return replace(self, marks=self.marks | {self.mark(number) for number in numbers})


def new_opt_out() -> OptedOut:
    """Return nobody yet, under a new key."""
    return OptedOut(secrets.token_hex(32), frozenset())


def read_opted_out(root: Path, key_of: Callable[[], str | None]) -> OptedOut | None:
    """Return who opted out of a workspace; None where nobody has.

    Args:
        root: The workspace.
        key_of: Returns the key, as `local.json` has it.

    Raises:
        FileError: The marks are damaged, or their key is gone: who they are of could come back unseen.
    """
    path = root / OPTED_OUT
    if not path.exists():
        return None
    record, key = read_record(path, Marks, _AGAIN, sealed=True), key_of()
    if key is None or _known(key) != record.key:
        what = "holds marks of those who opted out, and local.json not the key of these, expected both"
        raise FileError(str(path), what, _AGAIN)
    return OptedOut(key, frozenset(record.marks), frozenset(record.theirs), record.runs)


def write_opted_out(root: Path, who: OptedOut) -> None:
    """Write down who opted out; the key is written elsewhere, before."""
    record = Marks(
        key=_known(who.key), marks=tuple(sorted(who.marks)), theirs=tuple(sorted(who.theirs)), runs=dict(who.runs)
    )
    with whole(root / OPTED_OUT, private=True) as aside:
        aside.write_text(sealed(record.model_dump(mode="json")))


def remember(root: Path, who: OptedOut, theirs: Collection[str]) -> OptedOut:
    """Write down what else tells records of theirs; return them with all that is known of it by now."""
    before = read_opted_out(root, lambda: who.key) or who
    after = replace(before, theirs=before.theirs | {*theirs})
    if after != before:
        write_opted_out(root, after)
    return after


def _known(key: str) -> str:
    return sha256(b"tawt opt out key\0" + key.encode()).hexdigest()
