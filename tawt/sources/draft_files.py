"""Every file of a draft, by its path in the project."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from tawt.sources.draft import contract_of, quoted
from tawt.sources.draft_cases import EPOCH, RowsOf, cases_of
from tawt.sources.draft_sql import codes, event_part
from tawt.sources.drafted import Drafted


def files_of(name: str, drafted: Sequence[Drafted], rows_of: RowsOf, images: bool = False) -> dict[str, str]:
    """Return the text of every file of a project.

    Args:
        name: Of the pipeline and its source.
        drafted: The tables.
        rows_of: Runs a stage on the rows of a case.
        images: Whether a table of images lies beside them.
    """
    files: dict[str, str] = {}
    for table in drafted:
        if table.guess.kind == "other":
            continue
        files[f"schemas/{name}/{table.name}.yaml"] = contract_of(table)
        if table.has_events:
            files[f"sql/{name}/event_parts/{table.name}.sql"] = event_part(table)
        if (of := table.names or ([table] if table.guess.label else [])) and table.guess.label is not None:
            files[f"sql/{name}/codes/{table.name}.sql"] = codes(table, of)
    cases = cases_of(name, drafted, files, rows_of)
    return {f"pipelines/{name}.yaml": pipeline(name, drafted, images), **files, f"tests/sql/{name}.yaml": cases}


def pipeline(name: str, drafted: Sequence[Drafted], images: bool = False) -> str:
    """Return the pipeline as YAML."""
    return "\n".join(_pipeline(name, drafted, images)) + "\n"


def _pipeline(name: str, drafted: Sequence[Drafted], images: bool) -> Iterator[str]:
    read = [table for table in drafted if table.guess.kind != "other"]
    events = [table for table in read if table.has_events]
    counted = any(table.is_counted for table in events)
    born = any(table.guess.birth for table in events)
    yield f"name: {name}"
    yield f"source: {name}"
    yield f"description: {quoted(f'Records of {name}.')}  # guessed: say whose they are and where they are described"
    if images:
        yield "images: true  # guessed: the table of images lists them, docs/guides/images.md"
    people = [table for table in events if table.guess.subject is not None and table.off is None]
    people.sort(key=lambda table: (not table.is_once, not table.guess.birth, table.name))
    if people:
        yield f"sample_from: staging.{people[0].name}  # guessed: the table of the subjects"
        first = [table.name for table in people if table.is_once]
        if first:
            yield f"order: [{', '.join(first)}]  # guessed: at one time these come first"
    if counted:
        yield "parameters:"
        yield f'  pseudo_epoch: "{EPOCH}"  # guessed: there is no calendar, so every record begins on this day'
        yield "time_origin: anchor"
        yield f'anchor: "{EPOCH}"'
        yield "calendar: none  # guessed: times count from an admission"
    else:
        origin = "birth" if born else "first_event"
        yield f"time_origin: {origin}  # guessed"
        if any(table.is_shifted for table in events):
            yield "calendar: shifted  # guessed: days lie in the future, so they were moved to protect the subjects"
        else:
            yield "calendar: kept  # guessed: `shifted` where dates were moved by days to protect the subjects"
    if any(table.has_zone for table in events):
        yield "zone: UTC  # guessed: UNDECIDED where the clock stood: times with a zone are told in this one"
    yield from _dialect(read)
    for table in events:
        if table.off is not None:
            yield f"off: [{', '.join(f'event_parts.{one.name}' for one in events if one.off)}]  # guessed: {table.off}"
            break
    members = [table for table in read if table.found.members is not None]
    if members:
        yield "members:  # guessed: tables of one small file per subject"
    for table in members:
        found = table.found.members
        assert found is not None
        yield f"  - table: {table.name}"
        yield f"    folders: [{', '.join(map(quoted, found.folders))}]"
        yield f"    suffix: {quoted(found.suffix)}"
        if found.delimiter != ",":
            yield f"    delimiter: {quoted(found.delimiter)}"


def _dialect(read: Sequence[Drafted]) -> Iterator[str]:
    """Yield how text is written, where that is not with commas and in UTF-8: of most tables, and of the others."""
    written = {
        table.name: (
            None if _is_tabbed(table) or table.found.members is not None else table.found.delimiter,
            table.found.encoding,
        )
        for table in read
        if table.found.is_written
    }
    if not written:
        return
    delimiters, encodings = zip(*written.values(), strict=True)
    usual = (
        (Counter(filter(None, delimiters)).most_common(1) or [(",", 0)])[0][0],
        (Counter(filter(None, encodings)).most_common(1) or [("utf-8", 0)])[0][0],
    )
    if said := _written(usual, (",", "utf-8")):
        yield f"csv: {said}  # guessed"
    others = {name: said for name, one in written.items() if (said := _written(one, usual))}
    if others:
        yield "tables:  # guessed: how these are written, otherwise than the rest"
    for name, said in others.items():
        yield f"  {name}: {said}"


def _written(one: tuple[str | None, str | None], usual: tuple[str, str]) -> str:
    pairs = zip(("delimiter", "encoding"), one, usual, strict=True)
    parts = [f"{key}: {quoted(own)}" for key, own, other in pairs if own is not None and own != other]
    return f"{{{', '.join(parts)}}}" if parts else ""


def _is_tabbed(table: Drafted) -> bool:
    return table.found.files[0].name.lower().removesuffix(".gz").endswith(".tsv")
