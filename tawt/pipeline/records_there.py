"""The records of a workspace in a store: what a machine needs to join those that make it, and nothing of this one's."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

from tawt.config.base import Section
from tawt.contracts.basis import BASE, BASE_TABLE, Base
from tawt.contracts.opted_out import OPTED_OUT, Marks
from tawt.contracts.workspace import HOSPITAL, PIPELINE
from tawt.errors import ConfigError, FileError, StaleError
from tawt.files import digest, keep_private, sealed, stamp, whole
from tawt.pipeline.fingerprint import components_of
from tawt.pipeline.keys import CONTENT_FILES, SAMPLED, Now
from tawt.pipeline.keys import OPTED_OUT as WHO
from tawt.pipeline.of_store import hold_own, mark_stored
from tawt.pipeline.plan import Plan
from tawt.pipeline.records import Local
from tawt.pipeline.workspace import INGEST, LEDGER, LOCAL, Workspace, open_workspace
from tawt.places import Below, real, remove
from tawt.project import Project
from tawt.raw.seen import RawSeen, TableSeen
from tawt.readers import read_record
from tawt.seals import holds, sha256_file
from tawt.shell import command
from tawt.sources.graph import Graph
from tawt.sources.stage import Stage
from tawt.stores import Store, each

PREPARED = "prepared.json"
"""Record of a store alone: what is to be made, and of what."""
_RECORDS = (PIPELINE, INGEST, HOSPITAL, BASE, BASE_TABLE, OPTED_OUT)
_KEY = "TAWT_OPT_OUT_KEY"
"""Variable that holds the key of `local.json` by which marks of who opted out are known."""
_FOUND_OUT = (SAMPLED, CONTENT_FILES, WHO)
"""Keys that are known when stages have run."""
Record = TypeVar("Record", bound=Section)


class Prepared(Section):
    """What an ingest into a store found, for others who go on."""

    pipeline: str | None = None
    """The name that the pipeline was asked for by; None = a file."""
    files: dict[Below, RawSeen] = {}
    """Raw files, as in `Local`."""
    tables: dict[str, TableSeen] = {}
    """Raw tables, as in `Local`."""
    made_by: dict[str, str] = {}
    """Stage -> hash of all that it hangs on but what it reads."""


def send_prepared(store: Store, workspace: Workspace, graph: Graph, now: Now) -> None:
    """Write down what is to be made, with all records of a workspace.

    Args:
        store: Where.
        workspace: As it is written down.
        graph: Its stages.
        now: What it has behind keys.
    """
    local = workspace.local
    named = local.pipeline if local.pipeline is not None and "." not in local.pipeline else None
    source = workspace.pipeline.source
    made_by = {name: _made_by(stage, source, now) for name, stage in graph.stages.items()}
    prepared = Prepared(pipeline=named, files=local.files, tables=local.tables, made_by=made_by)
    send_records(store, workspace.root)
    store.write(PREPARED, sealed(prepared.model_dump(mode="json")).encode(), private=True)


def send_records(store: Store, root: Path) -> None:
    """Leave the records of a workspace as they are here, but for those of this machine."""

    def one(name: str) -> None:
        path, there = root / name, store.read(name)
        content = path.read_bytes() if path.is_file() else None
        if content is None and there is not None:
            store.remove([name])
        elif content is not None and content != there:
            store.write(name, content, private=name == OPTED_OUT)

    each((*_RECORDS, LEDGER), one)


def bring_records(store: Store, root: Path, raw_root: Path | None) -> bool:
    """Bring the records of a workspace to the folder of this machine, which holds it; return whether it is one.

    Args:
        store: Where it is.
        root: The folder.
        raw_root: Where the raw tables are on this machine; None = as it is remembered.

    Raises:
        ConfigError: The folder is a workspace of its own, or of another store, or knows of people who opted out and are
            there.
        FileError: A record there is not as it was written.
    """
    hold_own(root, store.url)
    found = {name: content for name in (*_RECORDS, PREPARED) if (content := store.read(name)) is not None}
    if PIPELINE not in found:
        return False
    if _marks_here(root) - _marks_there(store, found.get(OPTED_OUT)):
        raise ConfigError(
            store.url, "holds people who opted out of what is here, expected none: they would come back",
            f"`{command('push', store.url, workspace=root)}` takes them out there; or give a new folder with -w",
        )  # fmt: skip
    for name, content in found.items():
        _hold_record(store, root, name, content)
    base = _read_there(store, BASE, found[BASE], Base) if BASE in found else None
    if base is not None and sha256(found.get(BASE_TABLE, b"")).hexdigest() != base.vocabulary:
        raise _changed(store, root, BASE_TABLE)
    content = found.pop(PREPARED, None)
    prepared = _read_there(store, PREPARED, content, Prepared) if content is not None else Prepared()
    mark_stored(root, store.url)  # from here on the folder is one of it, wherever this ends
    for name, content in found.items():
        with whole(root / name, private=name == OPTED_OUT) as aside:
            aside.write_bytes(content)
    for name in {*_RECORDS} - {*found}:
        remove(root / name)
    _write_local(root, prepared, raw_root)
    return True


def bring_ledger(store: Store, root: Path) -> None:
    """Bring the ledger, once all stages that it was counted from are here.

    Raises:
        FileError: It is not as it was written.
    """
    if (content := store.read(LEDGER)) is not None:
        _hold_record(store, root, LEDGER, content)
        with whole(root / LEDGER) as aside:
            aside.write_bytes(content)


def hold_forgotten(store: Store, root: Path) -> None:
    """Refuse to put a workspace over one that more people opted out of: they would come back.

    Raises:
        ConfigError: It is an older state.
        FileError: The record of who opted out there is not as it was written.
    """
    if _marks_there(store, store.read(OPTED_OUT)) - _marks_here(root):
        raise ConfigError(
            str(root),
            f"holds people who opted out of the workspace of {store.url}, expected none: they would come back",
            f"`{command('pull', store.url, workspace='FOLDER')}` brings what is there into a new folder, to go on from",
        )  # fmt: skip


def _marks_here(root: Path) -> set[str]:
    path = root / OPTED_OUT
    return {*read_record(path, Marks, sealed=True).marks} if path.exists() else set()


def _marks_there(store: Store, content: bytes | None) -> set[str]:
    """Return the marks that a record in a store has."""
    return {*_read_there(store, OPTED_OUT, content, Marks).marks} if content is not None else set()


def _hold_record(store: Store, root: Path, name: str, content: bytes) -> None:
    with _laid_aside(name, content) as aside:
        if name != BASE_TABLE and not holds(aside):  # which another record knows
            raise _changed(store, root, name)


def _changed(store: Store, root: Path, name: str) -> FileError:
    again = command("ingest", "RAW_DIR", pipeline="NAME", workspace=root, store=store.url)
    what = "is not as it was written, expected what tawt wrote"
    return FileError(store.place(name), what, f"write it anew: `{again}`")


def _read_there(store: Store, name: str, content: bytes, record: type[Record]) -> Record:
    """Return what a record in a store says."""
    with _laid_aside(name, content) as aside:
        try:
            return read_record(aside, record, sealed=True)
        except FileError as error:  # names the place aside
            raise FileError(store.place(name), error.what, error.hint) from None


@contextmanager
def _laid_aside(name: str, content: bytes) -> Iterator[Path]:
    """Lay what a store has of a record where it can be looked into by its owner alone: it may tell who opted out."""
    with TemporaryDirectory(prefix="tawt-") as folder:
        aside = Path(folder) / name
        aside.touch(0o600)
        aside.write_bytes(content)
        yield aside


def _write_local(root: Path, prepared: Prepared, raw_root: Path | None) -> None:
    """Write down where the raw tables and the project are on this machine; raw files are as they were if they hold the
    same."""
    before = Local()
    if (root / LOCAL).is_file():
        before = read_record(root / LOCAL, Local, f"remove {root / LOCAL}")
    place = str(real(raw_root)) if raw_root is not None else before.raw_root
    here = Project.here()
    project = here if here.has(open_workspace(root).pipeline.source) else Project()
    known = before.files if before.raw_root == place else {}
    files = dict(each(prepared.files.items(), lambda one: (one[0], _as_here(place, *one, known))))
    local = Local(
        raw_root=place, project=str(project.root) if project.root is not None else None, pipeline=prepared.pipeline,
        subject_key=before.subject_key, opt_out_key=os.environ.get(_KEY) or before.opt_out_key, files=files,
        tables=prepared.tables,
    )  # fmt: skip
    with whole(root / LOCAL) as aside:
        keep_private(aside, root / LOCAL)
        aside.write_text(sealed(local.model_dump(mode="json")), encoding="utf-8")


def _as_here(place: str | None, name: str, seen: RawSeen, known: dict[str, RawSeen]) -> RawSeen:
    """Return what was seen of a raw file with the stamp that it has on this machine, where it holds the same here."""
    path = Path(place or "") / name
    now = stamp(path) if place is not None else ()
    if not seen.is_as_large(now):
        return seen
    before = known.get(name)
    same = before is not None and (before.stamp, before.sha256) == (now, seen.sha256)
    with suppress(OSError):  # whoever reads it tells
        if same or sha256_file(path) == seen.sha256:
            return seen.model_copy(update={"stamp": now})
    return seen


def hold_prepared(store: Store, plan: Plan) -> None:
    """Hold the stages of a plan to what was prepared: who has other files or versions would make others.

    Raises:
        StaleError: One would be made otherwise here.
    """
    content = store.read(PREPARED)
    if content is None:
        return
    prepared = _read_there(store, PREPARED, content, Prepared)
    source = plan.settings.pipeline.source
    for step in plan.steps:
        expected = prepared.made_by.get(step.stage.name)
        if expected is not None and expected != _made_by(step.stage, source, plan.now):
            raise StaleError(
                step.stage.name, "is of other files or versions here than were prepared, expected the same on all "
                "machines", "install the same tawt, duckdb, pyarrow and polars on all, with the same project; or "
                f"prepare it anew from here: `{_prepare_again(store, plan)}`",
            )  # fmt: skip


def _prepare_again(store: Store, plan: Plan) -> str:
    raw = plan.settings.raw_root or "RAW_DIR"
    return command("ingest", raw, pipeline=plan.root / PIPELINE, workspace=plan.root, store=store.url, prepare=True)


def _made_by(stage: Stage, source: str, now: Now) -> str:
    components = components_of(stage, source, now, {})
    return digest([{k: v for k, v in components.keys.items() if k not in _FOUND_OUT}, components.versions])
