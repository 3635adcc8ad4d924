"""What files of a project say, by hash and without an engine: remarks, blanks, descriptions and other words for the
same are none of it."""

from __future__ import annotations

import csv
import io
import re
from functools import lru_cache
from pathlib import Path

from tawt.contracts.contract import read_contract
from tawt.contracts.table import SUFFIXES, read_table
from tawt.errors import TawtError
from tawt.files import digest
from tawt.project import Project

ABSENT = "absent"
"""In the place of a hash, where there is no such file."""
_OF_TABLE = 3
"""Parts of the path of a raw table's contract: `schemas/SOURCE/TABLE`."""
_TOKEN = re.compile(
    r"""--[^\n]* | [eE]'(?:\\.|''|[^'\\])*' | '(?:''|[^'])*' | "(?:""|[^"])*" | \$(\w*)\$.*?\$\1\$ |
        /\* | [\w.$]+ | \S""",
    re.VERBOSE | re.DOTALL,
)
_COMMENT = re.compile(r"/\*|\*/")


def of_file(key: str, project: Project) -> str | list[str]:
    """Return the hash of what a file of a project says, or the names in a folder; absence has one too.

    Args:
        key: Its path; a contract's without the ending, a folder's with `/` at its end.
        project: Where it is looked for.
    """
    if key.endswith("/"):
        return [*project.files(key[:-1], ".sql")]
    path = project.find(*([key] if Path(key).suffix else [f"{key}{suffix}" for suffix in SUFFIXES]))
    if path is None:
        return ABSENT
    try:
        if path.suffix == ".sql":
            return of_sql(path.read_text(encoding="utf-8"))
        if path.suffix == ".csv":
            return digest([*csv.reader(io.StringIO(path.read_text(encoding="utf-8")))])
        # below a source lies what a raw table is
        return (read_table(path) if len(Path(key).parts) == _OF_TABLE else read_contract(path)).digest
    except (TawtError, OSError, ValueError) as error:  # whoever reads it for its own sake says more
        return digest(type(error).__name__)


@lru_cache(maxsize=512)
def of_sql(text: str) -> str:
    """Return the hash of what a text of SQL says."""
    return digest(tokens(text))


def tokens(text: str) -> list[str]:
    """Return the words and signs of SQL, without remarks and blanks; what stands in no quotes is in small letters."""
    found: list[str] = []
    at = 0
    while (match := _TOKEN.search(text, at)) is not None:
        token, at = match[0], match.end()
        if token == "/*":  # one may stand in another
            depth = 1
            while depth and (mark := _COMMENT.search(text, at)) is not None:
                depth, at = depth + (1 if mark[0] == "/*" else -1), mark.end()
            at = len(text) if depth else at
        elif not token.startswith("--"):
            found.append(token if token[0] in "'\"$" or token[:2] in ("e'", "E'") else token.lower())
    return found
