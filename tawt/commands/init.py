"""`tawt init`: looks at a folder of tables and drafts a project that turns them into events."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

from tawt.errors import ConfigError, SourceError, nearest
from tawt.files import write_text
from tawt.places import real, refuse_links
from tawt.project import asset_root
from tawt.raw.tables import PassedOver, tables_below
from tawt.sources.draft_files import files_of
from tawt.sources.drafted import Drafted
from tawt.sources.relate import Looked, by_name, look_at, said_of_all
from tawt.sources.shapes import shape_of
from tawt.sources.subjects import whose_records

_OF_DICTIONARY = 10
"""So many times the records of a table without subjects are looked at."""
_SEAL = re.compile(r"(?:#|--) draft (?P<hash>[0-9a-f]{12}) of tawt init: .*\n")


@dataclass(frozen=True)
class DraftResult:
    """What was drafted."""

    root: Path
    """The project."""
    pipeline: Path
    tables: tuple[Drafted, ...]
    said: tuple[str, ...]
    """What to look at that is of no table alone."""
    passed: tuple[PassedOver, ...]
    """What lies in the raw folder and is not read."""
    written: tuple[str, ...]
    kept: tuple[str, ...]
    """Drafts of before that were edited since, and so were left as they are."""

    def rows(self) -> list[tuple[str, str, str, str, str]]:
        """Return what each table was taken for: its name, what it is, whose, when, and what it says."""
        rows = []
        for table in self.tables:
            guess = table.guess
            time = guess.time or (f"end of its stay in {table.stays.name}" if table.stays is not None else "")
            whose = guess.subject or (f"of {guess.stay} in {table.owner.name}" if table.owner is not None else "")
            rows.append((table.name, _kind(table), whose, time, _says(table)))
        return rows

    def notes(self) -> list[str]:
        """Return what to look at, a line each: what is surely wrong or undecided first, what is left out last."""
        of_tables: dict[str, list[str]] = {}
        for table in self.tables:
            for note in table.guess.notes:
                of_tables.setdefault(note, []).append(table.name)
        of_files: dict[str, list[str]] = {}
        for one in self.passed:
            of_files.setdefault(one.why, []).append(one.place)
        notes = [*self.said, *(f"{', '.join(names)}: {note}" for note, names in of_tables.items())]
        notes += [f"not read, {why}: {', '.join(places)}" for why, places in of_files.items()]
        return sorted(notes, key=_weight)


def init(
    raw_dir: str | Path,
    name: str,
    out: str | Path | None = None,
    *,
    subject: str | None = None,
    records: int = 20_000,
    force: bool = False,
    dry_run: bool = False,
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

    Raises:
        SourceError: The folder holds no table of subjects.
        ConfigError: The name is taken, or a file of the draft is there already.
    """
    raw, root = Path(raw_dir).expanduser(), Path(out if out is not None else ".").expanduser()
    _hold_place(raw, root, name)
    tables, passed = tables_below(raw)
    looked: dict[str, Looked] = {}
    for table, one in by_name(tables).items():
        cells, n_read = one.columns(records)
        shapes = {column: shape_of(column, found) for column, found in cells.items() if _can_be_named(column)}
        if len(shapes) < len(cells):
            passed.append(PassedOver(one.place, "a column is called `_row`, or has a line end in its name"))
        if any(shape.n for shape in shapes.values()):
            looked[table] = Looked(one, shapes, n_read == records)
        else:
            why = "no record has as many fields as the header" if n_read else "a header and no record"
            passed.append(PassedOver(one.place, why))
    columns = {column for one in looked.values() for column in one.shapes}
    if subject is not None and subject not in columns:
        raise ConfigError(
            f"--subject {subject}", "is a column of no table, expected one that is", nearest(subject, columns)
        )
    whose = whose_records({table: one.shapes for table, one in looked.items()}, subject)
    for table, seen in looked.items():
        # a dictionary whose first records alone were seen would seem not to know the codes behind them
        if seen.is_cut and table not in whose.columns and table not in whose.owners:
            cells, n_read = seen.found.columns(_OF_DICTIONARY * records)
            shapes = {column: shape_of(column, cells[column]) for column in seen.shapes}
            looked[table] = Looked(seen.found, shapes, n_read == _OF_DICTIONARY * records)
    drafted = look_at(looked, whose)
    if not any(table.has_events for table in drafted):
        raise SourceError(
            str(raw), f"holds {len(looked)} tables, none with a column that says whose a record is, expected one",
            "name it: `--subject COLUMN`" if looked else "is it the folder of the raw tables?",
        )  # fmt: skip
    files = {path: _sealed(path, text) for path, text in files_of(name, drafted).items()}
    there = [path for path in files if (root / path).exists() or (root / path).is_symlink()]
    kept = tuple(path for path in there if not _is_own_draft(root / path))
    if there and not force:
        raise ConfigError(
            str(root / there[0]), "is there already, expected a new file",
            "give another `--name` or `--out`; `--force` drafts anew what was not edited",
        )  # fmt: skip
    written = tuple(path for path in files if path not in kept)
    for path in written if not dry_run else ():
        refuse_links(root, (root / path).parent)
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        write_text(root / path, files[path])
    pipeline = root / "pipelines" / f"{name}.yaml"
    said = (*whose.notes, *said_of_all(drafted))
    return DraftResult(root, pipeline, tuple(drafted), said, tuple(passed), written, kept)


def _weight(note: str) -> int:
    """Return how far down a note may stand."""
    if "WRONG" in note or "UNDECIDED" in note:
        return 0 if "WRONG" in note else 1
    return 3 if "left out" in note or "not read, " in note else 2


def _can_be_named(column: str) -> bool:
    return column.isprintable() and column.lower() != "_row"


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
    try:
        text = path.read_text(encoding="utf-8") if not path.is_symlink() else ""
    except (OSError, UnicodeDecodeError):
        return False
    body, last = text[: text.rstrip("\n").rfind("\n") + 1], text.rstrip("\n").rpartition("\n")[2] + "\n"
    found = _SEAL.fullmatch(last)
    return found is not None and found["hash"] == hashlib.sha256(body.encode()).hexdigest()[:12]


def _kind(table: Drafted) -> str:
    kinds = {"results": "a code per record", "wide": "a measurement per column", "dictionary": "names of codes"}
    return "off" if table.off is not None else kinds.get(table.guess.kind, "left out")


def _says(table: Drafted) -> str:
    guess = table.guess
    if guess.kind == "wide":
        counts = {"number": len(guess.measured), "text": len(guess.traits) + len(guess.late)}
        parts = [f"{n} {what}{'s' * (n > 1)}" for what, n in counts.items() if n]
        return ", ".join([*parts, *["birth"] * bool(guess.birth), *["death"] * bool(guess.death)])
    value = next((f": {column}" for column in (guess.number, guess.text) if column is not None), "")
    unit = f" in {guess.unit}" if guess.unit is not None else ""
    return f"{' '.join(guess.codes)}{value}{unit}" if guess.kind != "other" else ""
