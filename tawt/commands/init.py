"""`tawt init`: looks at a folder of tables and drafts a project that turns them into events."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from tawt.errors import ConfigError
from tawt.files import alone_at, made_folder, write_text
from tawt.pipeline.cases import rows_of
from tawt.places import real, refuse_links
from tawt.project import asset_root
from tawt.shell import command
from tawt.sources.draft_files import files_of
from tawt.sources.look import Look, look_below

_SEAL = re.compile(r"(?:#|--) draft (?P<hash>[0-9a-f]{12}) of tawt init: .*\n")


@dataclass(frozen=True)
class DraftResult:
    """What was drafted."""

    root: Path
    """The project."""
    pipeline: Path
    look: Look
    """What was seen, and what to look at."""
    written: tuple[str, ...]
    kept: tuple[str, ...]
    """Drafts of before that were edited since, and so were left as they are."""
    removed: tuple[str, ...]
    """Drafts of before, as they were, of tables that are left out now."""


def init(
    raw_dir: str | Path,
    name: str,
    out: str | Path | None = None,
    *,
    subject: str | None = None,
    records: int = 20_000,
    force: bool = False,
    dry_run: bool = False,
    report: Callable[[str], None] = lambda table: None,
) -> DraftResult:
    """Look at the tables of a folder and draft a project: contracts, SQL, a pipeline and cases.

    No cell is stored or shown, and nothing in the raw folder is changed. Every guess is marked with `guessed:`.

    Args:
        raw_dir: The folder of raw tables.
        name: Of the pipeline and its source.
        out: The folder of the project; the current one by default.
        subject: The column that says whose a record is, where it is not found by its name.
        records: How many records of each table are looked at, from its beginning.
        force: Draft again what was drafted before; what was edited since stays.
        dry_run: Write nothing.
        report: Is told the name of a table before it is read.

    Raises:
        SourceError: The folder holds no table of subjects.
        ConfigError: The name is taken, or a file of the draft is there already.
    """
    raw, root = Path(raw_dir).expanduser(), Path(out if out is not None else ".").expanduser()
    _hold_place(raw, root, name)
    look = look_below(raw, records, subject, report)
    files = {path: _sealed(path, text) for path, text in files_of(name, look.tables, rows_of, look.images).items()}
    with nullcontext() if dry_run else _alone(root, name):
        there = [path for path in files if (root / path).exists() or (root / path).is_symlink()]
        kept = tuple(path for path in there if not _is_own_draft(root / path))
        if there and not force:
            raise ConfigError(
                str(root / there[0]), "is there already, expected a new file",
                "draft anew what was not edited: `"
                + command("init", raw_dir, "--name", name, out=out, subject=subject, force=True)
                + "`; or give another `--name` or `--out`",
            )  # fmt: skip
        written = tuple(path for path in files if path not in kept)
        for path in written if not dry_run else ():
            refuse_links(root, (root / path).parent)
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            write_text(root / path, files[path])
        of_before = [path for path in _drafts_below(root, name) if path not in files] if force else []
        removed = tuple(path for path in of_before if _is_own_draft(root / path))
        for path in removed if not dry_run else ():
            refuse_links(root, (root / path).parent)
            (root / path).unlink()
        kept = (*kept, *(path for path in of_before if path not in removed))
    return DraftResult(root, root / "pipelines" / f"{name}.yaml", look, written, kept, removed)


@contextmanager
def _alone(root: Path, name: str) -> Iterator[None]:
    """Wait for another draft of the same name that is being written there: then its files are seen."""
    with made_folder(root), alone_at(root / name, taken=lambda: None):
        yield


def _drafts_below(root: Path, name: str) -> list[str]:
    """Return the drafts of contracts and stages of a source in a project, edited since or not, by their paths there."""
    found = [path for folder in (f"sql/{name}", f"schemas/{name}") for path in sorted((root / folder).rglob("*"))]
    return [path.relative_to(root).as_posix() for path in found if path.is_file() and _cut(path)[1] is not None]


def _hold_place(raw: Path, root: Path, name: str) -> None:
    if not re.fullmatch(r"[A-Za-z]\w*", name, re.ASCII):
        raise ConfigError("--name", "is no name of a source, expected letters, digits and `_`", "for example `clinic`")
    if (asset_root() / "sql" / name).is_dir() or name == "shared":
        raise ConfigError("--name", f"`{name}` comes with tawt, expected a name of your own", "for example `my_clinic`")
    if real(root).is_relative_to(real(raw)):
        raise ConfigError(
            str(root), "lies in the raw folder, expected a place beside it: nothing is written there",
            "give another folder with `--out`",
        )  # fmt: skip


def _sealed(path: str, text: str) -> str:
    """Return a draft with a last line by which it is known as long as nobody edits it."""
    mark = "--" if path.endswith(".sql") else "#"
    seal = hashlib.sha256(text.encode()).hexdigest()[:12]
    return f"{text}{mark} draft {seal} of tawt init: `--force` makes it anew as long as it is not edited\n"


def _is_own_draft(path: Path) -> bool:
    body, seal = _cut(path)
    return seal is not None and seal == hashlib.sha256(body.encode()).hexdigest()[:12]


def _cut(path: Path) -> tuple[str, str | None]:
    """Return the text of a draft, and what its seal says; None = it has none."""
    try:
        text = path.read_text(encoding="utf-8") if not path.is_symlink() else ""
    except (OSError, UnicodeDecodeError):
        return "", None
    body, last = text[: text.rstrip("\n").rfind("\n") + 1], text.rstrip("\n").rpartition("\n")[2] + "\n"
    found = _SEAL.fullmatch(last)
    return body, found["hash"] if found is not None else None
