"""What stages were made from, as it is told without the engine: whoever trains has none, and must know of an edit too.

Each thing has a key: a file below a project (`sql/mimic_iv/event_parts/labs.sql`; a contract without its ending), the
names in a folder of it (a key that ends in `/`), a key of the pipeline (`pipeline.clock`) or of what an ingest found
(`ingest.sample`). It is known by a hash of what it says: remarks, blanks and descriptions are none of it. The data
stage compares what a select means; this is stricter about how it is set (`!=` for `<>`), and such a difference goes
with the next data command.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from tawt.config.load import read_yaml
from tawt.config.named import resolve_pipeline
from tawt.contracts.table import SUFFIXES
from tawt.contracts.workspace import PIPELINE, is_workspace
from tawt.errors import TawtError
from tawt.files import digest
from tawt.pipeline.workspace import Workspace
from tawt.places import real
from tawt.project import Project
from tawt.seals import sha256_file
from tawt.shell import command

_ABSENT = "absent"
_TOKEN = re.compile(
    r"""--[^\n]* | [eE]'(?:\\.|''|[^'\\])*' | '(?:''|[^'])*' | "(?:""|[^"])*" | \$(\w*)\$.*?\$\1\$ |
        /\* | [\w.$]+ | \S""",
    re.VERBOSE | re.DOTALL,
)
_COMMENT = re.compile(r"/\*|\*/")


def tell(keys: Iterable[str], workspace: Workspace) -> dict[str, str]:
    """Return the hash of what is behind each key now; those that cannot be looked at here are left out.

    Args:
        keys: As above.
        workspace: Knows its project and pipeline.
    """
    found = {key: _one(key, workspace) for key in keys}
    return {key: hashed for key, hashed in found.items() if hashed is not None}


def edited(told: Mapping[str, str], workspace: Workspace) -> list[str]:
    """Return what is another by now than when it was told, in words."""
    now = tell(told, workspace)
    return [_in_words(key) for key, hashed in told.items() if now.get(key, hashed) != hashed]


def source_of(name_or_file: str, project: Project) -> dict[str, str]:
    """Return what is remembered of the pipeline that an ingest takes; nothing where it is a workspace's own copy.

    Raises:
        ConfigError: It does not hold without overrides.
    """
    path = Path(name_or_file).expanduser()
    if path.name == PIPELINE and is_workspace(path.parent):
        return {}
    source = str(real(path)) if path.suffix else name_or_file
    return {"pipeline": source, "pipeline_hash": digest(_said_by(source, project))}


def source_edited(workspace: Workspace) -> str | None:
    """Return what to say where the pipeline that was ingested by says something else now; None where it does not."""
    local = workspace.local
    if local.pipeline is None or without_project(workspace):
        return None
    try:
        now = _said_by(local.pipeline, workspace.project)
    except TawtError:  # gone, or no pipeline now: whoever ingests by it is told
        return None
    if digest(now) == local.pipeline_hash:
        return None
    before = workspace.pipeline.model_dump(mode="json")
    keys = ", ".join(sorted(key for key in now if now[key] != before.get(key))) or "overrides alone differ"
    again = command("ingest", local.raw_root or "RAW_DIR", pipeline=local.pipeline, workspace=workspace.root)
    return f"the pipeline {local.pipeline} was edited since the ingest ({keys}); `{again}` takes it over"


def _said_by(source: str, project: Project) -> dict[str, Any]:
    return resolve_pipeline(source, (), project).model_dump(mode="json")


def without_project(workspace: Workspace) -> bool:
    """Return whether the project, whose files stages were made from, is not here to be looked at."""
    try:
        return workspace.project is None
    except TawtError:
        return True


def _one(key: str, workspace: Workspace) -> str | None:
    if key == "ingest.n_shards":
        shards = workspace.pipeline.shards
        return digest(workspace.ingested.n_shards if shards == "auto" else shards)
    section, _, rest = key.partition(".")
    if section == "ingest":
        return digest(getattr(workspace.ingested, rest))
    if key == "pipeline.splits.file":
        return _of_splits(workspace)
    if section == "pipeline" and rest.startswith("csv."):
        return digest(workspace.pipeline.csv_of(rest.removeprefix("csv.")).model_dump())
    if section == "pipeline":
        name = rest.removeprefix("parameters.")
        pipeline = workspace.pipeline
        return digest(pipeline.values.get(name) if name != rest else pipeline.model_dump(mode="json").get(rest))
    if without_project(workspace):
        return None
    return of_file(key, workspace.project)


def _of_splits(workspace: Workspace) -> str | None:
    """The file of splits lies among raw tables, which another machine may lack."""
    name, root = workspace.pipeline.splits.file, workspace.raw_root
    if name is None or not (Path(name).is_absolute() or (root is not None and root.is_dir())):
        return None
    path = (root or Path()) / name
    return sha256_file(path) if path.is_file() else _ABSENT


def of_file(key: str, project: Project) -> str:
    """Return the hash of what a file of a project says, or of the names in a folder; absence has one too."""
    if key.endswith("/"):
        return digest([*project.files(key[:-1], ".sql")])
    path = project.find(key) if Path(key).suffix else _contract(key, project)
    if path is None:
        return _ABSENT
    try:
        if path.suffix == ".sql":
            return _of_sql(path.read_text(encoding="utf-8"))
        if path.suffix == ".csv":
            return digest([*csv.reader(io.StringIO(path.read_text(encoding="utf-8")))])
        return digest(_undescribed(read_yaml(path)[0]))
    except (TawtError, OSError, ValueError) as error:  # whoever reads it for its own sake says more
        return digest(type(error).__name__)


@lru_cache(maxsize=512)
def _of_sql(text: str) -> str:
    return digest(tokens(text))


def _contract(key: str, project: Project) -> Path | None:
    files = (root / f"{key}{suffix}" for root in project.roots for suffix in SUFFIXES)
    return next((path for path in files if path.is_file()), None)


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


def _undescribed(contract: Any) -> Any:
    """A contract without what is only said of its relation and columns."""
    if not isinstance(contract, dict):
        return contract
    bare = {key: value for key, value in contract.items() if key not in ("description", "source", "reasons")}
    columns = bare.get("columns")
    if isinstance(columns, dict):
        bare["columns"] = [[name, _bare(about)] for name, about in columns.items()]
    elif isinstance(columns, list):
        bare["columns"] = [_bare(about) for about in columns]
    return bare


def _bare(column: Any) -> Any:
    if not isinstance(column, dict):
        return column
    return {key: value for key, value in column.items() if key != "description"}


def _in_words(key: str) -> str:
    section, _, rest = key.partition(".")
    if section == "pipeline":
        return f"`{rest}` of the pipeline was changed"
    if section == "ingest":
        return f"an ingest found another `{rest}`"
    return f"{key} has other stages" if key.endswith("/") else f"{key} was edited"
