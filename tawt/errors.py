"""Every error that a user can cause, and the exit code that each one ends a command with.

    TawtError
        ConfigError        a YAML file, an option or an override is wrong          exit 2
        SourceError        a raw file is absent, unreadable or lacks a column      exit 1
        StageError         an SQL or built-in stage cannot run or does not balance   exit 1
        StaleError         an output is older than what it was made from           exit 1
        FileError          a file of ours is absent, damaged or unreadable         exit 1
        RoomError          a disk, a quota, a file's size or memory is at its end  exit 1
        ContractError      a file does not hold what its contract promises         exit 1
        DatasetError       the shards given to the trainer are absent or differ    exit 1
        DeviceError        the device that was asked for is not there              exit 1
        CheckpointError    a checkpoint is absent, broken or of another vocabulary exit 1
        TrainingError      a loss or gradient is not finite, or memory ran out     exit 1

A message says where, what is and what was expected, and never holds a cell value.
"""

from __future__ import annotations

import difflib
import unicodedata
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

MOST_LISTED = 30
"""Names that a message lists."""


class TawtError(Exception):
    """The base of every error with a message for the user.

    Args:
        where: The stage, `file:line`, option or config key at fault.
        what: What is there, then what was expected; counts and column names only.
        hint: A command or an edit that mends it.
    """

    exit_code = 1
    path: Path | None = None
    """The file of its author's that is at fault, where that is known."""
    line = 0
    """The line in it; 0 = not known."""

    def __init__(self, where: str, what: str, hint: str = "") -> None:
        self.where, self.what, self.hint = printable(where), printable(what), printable(hint)
        super().__init__(f"{self.where}: {self.what}")

    def of(self, stage: str) -> str:
        """Return what is there, without what was expected, and where, if that is not a stage's own text."""
        what = self.what.partition(", expected")[0]
        return what if self.where.partition(" ")[0] == stage else f"{self.where}: {what}"

    @property
    def mend(self) -> str:
        """Which file is to be mended, and where in it; empty where none is known."""
        if self.path is None:  # a contract is named by its place
            return f"mend {self.where}" if "/" in self.where else ""
        return printable(f"mend {self.path}") + f", line {self.line}" * bool(self.line)


@contextmanager
def faults_of(path: Path) -> Iterator[None]:
    """Say of the errors of stages and macros that come up which file is at fault, where that is not known yet."""
    try:
        yield
    except StageError as error:
        error.path = error.path or path
        raise


class ConfigError(TawtError):
    """A YAML file, an option or an override is wrong."""

    exit_code = 2


class SourceError(TawtError):
    """A raw file is absent, unreadable or lacks a required column."""


class StageError(TawtError):
    """A stage cannot run, or its records do not balance."""

    near = ""
    """The word of its author's text at which the engine stopped, where that is known."""


class StaleError(TawtError):
    """An output is older than what it was made from, or that was edited since."""


class FileError(TawtError):
    """A file of ours is absent, damaged, of another format, or may not be read."""


class RoomError(TawtError):
    """A disk, a quota, the size that a file may have, or the memory is at its end."""


class ContractError(TawtError):
    """A file does not hold what its contract promises."""


class DatasetError(TawtError):
    """The shards given to the trainer are absent or do not match their manifest."""


class DeviceError(TawtError):
    """The device that was asked for is not there."""


class CheckpointError(TawtError):
    """A checkpoint is absent, broken or belongs to another vocabulary."""


class TrainingError(TawtError):
    """A loss or a gradient is not finite, or memory ran out."""


class PrivacyError(TawtError):
    """A gate refuses to publish a synthetic set."""


def printable(text: str, keep: str = "") -> str:
    """Return text without what a terminal obeys or hides: control characters, line ends, changes of direction.

    Args:
        text: A name, a cell or a message.
        keep: Characters that stay.
    """
    if text.isprintable():
        return text
    hidden = ("Cc", "Cf", "Cs", "Zl", "Zp")
    return "".join(
        c.encode("unicode_escape").decode() if unicodedata.category(c) in hidden and c not in keep else c for c in text
    )


def cut(text: str, most: int = 60) -> str:
    """Return a word of the user's, of any length, as a message has it: a line of a screen holds it."""
    return text if len(text) <= most else f"{text[: most - 3]}..."


def nearest(name: str, known: Iterable[str]) -> str:
    """Return the hint of `closest`, else the known names."""
    names = sorted({*known} - {name})
    return closest(name, names) or (f"known: {listed(names)}" if names else "")


def closest(name: str, known: Iterable[str]) -> str:
    """Return "did you mean `x`?" for use as a hint; empty where no name is like it.

    What is meant are the names of which it is the last part, or else the closest one; never what was typed.
    """
    names = sorted({*known} - {name})
    if last := [one for one in names if one.rpartition(".")[2] == name]:
        return f"did you mean {' or '.join(f'`{one}`' for one in last)}?"
    folded = {one.casefold(): one for one in names}
    if close := difflib.get_close_matches(name.casefold(), folded, n=1, cutoff=0.5):
        return f"did you mean `{folded[close[0]]}`?"
    return ""


def listed(names: Collection[str]) -> str:
    """Return names as `a, b, c`; of very many the first ones, and how many more there are."""
    names = [*names]
    if len(names) <= MOST_LISTED:
        return joined(names)
    return f"{joined(names[:MOST_LISTED])} and {len(names) - MOST_LISTED:,} more"


def joined(names: Iterable[str]) -> str:
    """Return all names as `a, b, c`; one that holds a comma stands in marks of its own."""
    return ", ".join(f"`{name}`" if "," in name else name for name in names)
