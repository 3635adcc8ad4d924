"""A workspace in an object store, joined from this machine by a command."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tawt.errors import ConfigError
from tawt.pipeline.holding import hold
from tawt.pipeline.of_store import mark_stored
from tawt.pipeline.parts import Shared, run_part
from tawt.pipeline.plan import Plan
from tawt.pipeline.presence import Part, said_in
from tawt.pipeline.records_there import bring_records, send_prepared
from tawt.pipeline.run import Judges, Report, RunResult
from tawt.pipeline.stored import BoardInStore, Stored
from tawt.pipeline.undone import Asked
from tawt.pipeline.workspace import Workspace, open_workspace, write_records
from tawt.shell import command
from tawt.stores import Store

_BEATS = 4


@contextmanager
def joined(
    root: Path, url: str | None, raw_root: Path | None, report: Report, *, dry_run: bool = False, begins: bool = False
) -> Iterator[Stored | None]:
    """Hold the folder of this machine for a workspace in a store, with its records as they are there; None without one.

    Args:
        root: The folder.
        url: Of the workspace in the store; None = it is in none.
        raw_root: Where the raw tables are on this machine; None = as it is remembered.
        report: Hears what is found.
        dry_run: Whether nothing may be written.
        begins: Whether there may be none there yet.

    Raises:
        ConfigError: There is none there, or the folder holds another workspace.
        FileError: The store cannot be reached, or a record there is not as it was written.
    """
    if url is None:
        yield None
        return
    if dry_run:
        what = "needs what is in the store here, and a dry run writes nothing, expected one of the two"
        raise ConfigError("--dry-run", what, "leave --dry-run or --store out")
    store = Store(url)
    with hold(root):
        if not bring_records(store, root, raw_root):
            if not begins:
                raise ConfigError(
                    store.url, "holds no workspace, expected one",
                    f"`{command('ingest', 'RAW_DIR', pipeline='NAME', workspace=root, store=store.url, prepare=True)}`",
                )  # fmt: skip
            mark_stored(root, store.url)
        yield Stored(root, store, lambda text: report({"event": "note", "text": text}))


def made_there(stored: Stored) -> Callable[..., RunResult]:
    """Return what does a plan in a store, alone, and leaves the records there before it begins."""

    def do(workspace: Workspace, plan: Plan, report: Report, asked: Asked, judges: Judges) -> RunResult:
        prepare_there(stored, workspace, plan)
        return run_part(workspace, plan, report, asked, judges, shared=alone_there(stored), common=stored)

    return do


def prepare_there(stored: Stored, workspace: Workspace, plan: Plan) -> None:
    """Write down, here and there, what is to be made."""
    hold_free(stored, None)
    write_records(workspace)
    written = open_workspace(workspace.root)
    send_prepared(stored.store, written, plan.graph, plan.now)


def alone_there(stored: Stored) -> Shared:
    """Return how a run is shared out of which one process does all."""
    return Shared(Part(1, 1), 0.0, lambda part: "", f" --store {stored.store.url}")


def hold_free(stored: Stored, part: Part | None) -> None:
    """Hold that nobody makes the workspace who shares it out otherwise; who was killed is forgotten.

    Raises:
        ConfigError: Somebody is at work.
    """
    board = BoardInStore(stored.store)
    n = part.n if part is not None else None
    others = [name for name in board.names() if not name.endswith(f"-of-{n}.json")]
    before = {name: board.read(name) for name in others}
    at_work = [name for name, said in before.items() if said and "failed" not in said_in(said)]
    for _ in range(_BEATS if at_work else 0):
        time.sleep(board.beat_seconds / 2)
        if changed := [name for name in at_work if board.read(name) not in (b"", before[name])]:
            who = changed[0].removesuffix(".json").replace("-of-", "/")
            raise ConfigError(
                stored.store.url, f"is in use (part {who} is at work), expected to be alone in it",
                "wait for it to end, or take part in it with the same N",
            )  # fmt: skip
    for name in others:
        board.remove(name)
