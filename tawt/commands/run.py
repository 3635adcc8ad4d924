"""`tawt run`: stages of a workspace again, all of them or what falls to one of several processes."""

from __future__ import annotations

import secrets
from dataclasses import replace
from functools import partial
from pathlib import Path

from tawt.builtin.all import all_stages
from tawt.commands.executors import executor_of, refuse_both
from tawt.commands.in_store import hold_free, joined
from tawt.database.limits import Limits
from tawt.errors import ConfigError, printable
from tawt.labels.held import label_judges
from tawt.labels.language import duration
from tawt.pipeline.common import SharedFolder
from tawt.pipeline.holding import hold, hold_together
from tawt.pipeline.keys import Now
from tawt.pipeline.ledger import mend_of, stale_of
from tawt.pipeline.parts import Shared, run_part
from tawt.pipeline.presence import PARTS, Part
from tawt.pipeline.run import Report, RunResult
from tawt.pipeline.stale import Why, about_pipeline, roots
from tawt.pipeline.stored import Stored
from tawt.pipeline.undone import Asked
from tawt.pipeline.work import make
from tawt.pipeline.workspace import Workspace, open_workspace
from tawt.project import Project
from tawt.shell import command


def run(
    selection: str,
    workspace: str | Path,
    *,
    threads: int | None = None,
    memory_limit: str | None = None,
    force: bool = False,
    part: str | None = None,
    wait: str = "5m",
    executor: str = "local",
    address: str | None = None,
    store: str | None = None,
    raw: str | Path | None = None,
    dry_run: bool = False,
    check_room: bool = True,
    report: Report = lambda event: None,
) -> RunResult:
    """Run single stages again: `X` only it, `X+` and what follows, `+X` and what it needs; a layer names its stages.

    Args:
        selection: Stages or layers, joined by commas.
        workspace: A workspace that `ingest` made.
        threads: Threads; all cores by default.
        memory_limit: As `2GB`; 60 % of the memory by default.
        force: Run even what is up to date.
        part: `i/N`: this is one of N processes that share the run out, each with another i, from 1. They may start and
            end at any time, on any machine that has the workspace and the raw tables under the same paths.
        wait: How long a part waits for others that give no sign.
        executor: `local`, this process, or `ray`, the workers of a Ray cluster that see workspace and raw tables under
            the same paths; `threads` and `memory_limit` are then those of each.
        address: Of the Ray cluster; by default that of `RAY_ADDRESS`, else one of this machine alone.
        store: A folder in an object store, as `s3://BUCKET/FOLDER`, that `ingest` or `push` put the workspace in; the
            one that is given is then this machine's own part of it, new or kept from before.
        raw: With `store`, the folder of raw tables on this machine; by default where it was the last time.
        dry_run: Only say what would run, and why.
        check_room: Whether it does not begin where its disk has too little room for what it makes.
        report: Hears what happens.

    Raises:
        ConfigError: There is no workspace, the selection names no stage, or an option is wrong.
        RoomError: The disk has too little room.
        StageError: An input is absent, or a stage cannot run.
    """
    root, limits = Path(workspace).expanduser(), Limits.of(threads, memory_limit)
    refuse_both(executor, store)
    do = executor_of(executor, address, threads, memory_limit)
    if store is None and raw is not None:
        raise ConfigError("--raw", "is of a workspace in a store, expected --store too", "`tawt ingest RAW_DIR` else")
    if part is not None and executor != "local":
        what = "a part is what this process does, and an executor has it done by others, expected one of the two"
        raise ConfigError("--part", what, "leave --part or --executor out")
    if store is not None or part is not None:
        shared = _shared_out(part, wait, selection, root, force, store)
    if store is not None:
        with joined(root, store, Path(raw).expanduser() if raw is not None else None, report, dry_run=dry_run) as there:
            assert there is not None
            return _run_there(there, shared, selection, limits, force, report)
    open_workspace(root)
    if part is not None:
        with hold_together(root):
            return _run_part(open_workspace(root), shared, selection, limits, dry_run, report)
    with hold(root, dry_run):
        opened = open_workspace(root)  # as the command before left it
        now = Now(opened)
        said = (*_not_used(opened), *about_pipeline(opened, now))
        for note in said:
            report({"event": "note", "text": note})
        asked = Asked("run", (selection,))
        judges = label_judges(opened, limits)
        graph = all_stages(opened)
        result = make(opened, graph, selection, limits, force, dry_run, report, asked, judges, check_room, do, now=now)
        return replace(result, notes=(*said, *result.notes), following=_following(result, selection, report))


def _shared_out(part: str | None, wait: str, selection: str, root: Path, force: bool, store: str | None) -> Shared:
    if force and part is not None:
        alone = command("run", selection, workspace=root, store=store, force=True)
        what = "cannot be told from what another part has made already, expected no --force with --part"
        raise ConfigError("--force", what, f"make it alone: `{alone}`")
    try:
        seconds = duration(wait) / 1_000_000 if wait != "0" else 0.0
    except ValueError as error:
        raise ConfigError(f"--wait {printable(wait)}", f"is no time, expected {error}", "as `--wait 12h`") from None

    def again(one: Part | None) -> str:
        return command("run", selection, workspace=root, store=store, part=one)

    more = f" --store {store}" if store is not None else ""
    return Shared(Part.of(part if part is not None else "1/1"), seconds, again, more)


def _run_part(
    workspace: Workspace, shared: Shared, selection: str, limits: Limits, dry_run: bool, report: Report
) -> RunResult:  # fmt: skip
    aside = workspace.aside / PARTS
    aside.mkdir(parents=True, exist_ok=True)
    spill = (aside / f"{shared.part.name}-{secrets.token_hex(8)}").relative_to(workspace.root)
    opened = replace(workspace, spill_name=str(spill))
    graph, asked, judges = all_stages(opened), Asked("run", (selection,)), label_judges(opened, limits)
    do = partial(run_part, shared=shared, common=SharedFolder(opened))
    return make(opened, graph, selection, limits, False, dry_run, report, asked, judges, do=do, alone=False)


def _run_there(
    stored: Stored, shared: Shared, selection: str, limits: Limits, force: bool, report: Report
) -> RunResult:  # fmt: skip
    opened = open_workspace(stored.root)
    if shared.part.n > 1 and opened.opted_out is not None:
        what = "is of a workspace whose subjects opted out, which one process alone leaves out, expected no --part"
        raise ConfigError("--part", what, f"`{shared.again(None)}`")
    hold_free(stored, shared.part)
    graph, asked, judges = all_stages(opened), Asked("run", (selection,)), label_judges(opened, limits)
    do = partial(run_part, shared=shared, common=stored)
    there, alone = stored.there(graph), shared.part.n == 1
    return make(opened, graph, selection, limits, force, False, report, asked, judges, do=do, there=there, alone=alone)


def _not_used(workspace: Workspace) -> tuple[str, ...]:
    """Say that the current folder has files of the source which a workspace without a project does not use."""
    here, pipeline = Project.here(), workspace.pipeline
    if workspace.project.root is not None or not here.has(pipeline.source):
        return ()
    again = command("ingest", workspace.raw_root or "RAW_DIR", pipeline=pipeline.name, workspace=workspace.root)
    return (f"the files of {here.root} are not those of this workspace; to use them: `{again}`",)


def _following(result: RunResult, selection: str, report: Report) -> str | None:
    """Say what stages were made from that is stale, and return the command for what is not of them yet."""
    there = result.there
    ran = {one.stage for one in result.stages}
    read = {other for one in there if one.stage.name in ran for other in one.stage.inputs} - ran
    for one in there:
        if one.stage.name in read and one.stale:
            again = mend_of(result.workspace, there, one.stage.name)
            report({"event": "note", "text": f"{one.stage.name}, which is read, is {one.state}: `{again}`"})
    reach, behind = set(ran), False
    for one in there:
        if reach & set(one.stage.inputs):
            reach.add(one.stage.name)
            behind = behind or (one.stage.name not in ran and not one.stands)
    first = {why.why for reasons in roots(stale_of(there)).values() for why in reasons}
    if Why.EDITED in first and any(one.stale and one.stage.name in reach for one in there):
        return mend_of(result.workspace, there, [one.stage.name for one in there if one.stale][-1])
    onward = ",".join(f"{part.strip().rstrip('+')}+" for part in selection.split(","))
    return command("run", onward, workspace=result.workspace.root) if behind else None
