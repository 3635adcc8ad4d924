"""The public data commands ingest and run."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

from tawt.builtin.all import all_stages, stages_of
from tawt.builtin.kept import as_they_ran
from tawt.commands.executors import executor_of
from tawt.config.named import placed
from tawt.config.pipeline import PipelineConfig
from tawt.contracts.layers import made_by
from tawt.contracts.workspace import is_workspace
from tawt.database.limits import Limits
from tawt.errors import ConfigError, SourceError, TawtError, printable
from tawt.labels.held import label_judges
from tawt.labels.language import duration
from tawt.pipeline.foretold import hold_room
from tawt.pipeline.holding import hold, hold_together, refuse_foreign, refuse_odd_letters, refuse_overlap
from tawt.pipeline.keys import Now
from tawt.pipeline.ledger import mend_of, stale_of
from tawt.pipeline.origin import remembered
from tawt.pipeline.parts import Shared, run_part
from tawt.pipeline.plan import make_plan, raw_tables, runnable
from tawt.pipeline.presence import PARTS, Part
from tawt.pipeline.run import Report, RunResult, foresee, make
from tawt.pipeline.sample import check_sample
from tawt.pipeline.stale import Why, about_pipeline, roots
from tawt.pipeline.undone import Asked
from tawt.pipeline.workspace import (
    Workspace,
    given_pipeline,
    given_workspace,
    open_workspace,
    write_records,
)
from tawt.project import Project
from tawt.raw.find import RawTable
from tawt.shell import command
from tawt.sources.tables import without_keys
from tawt.transforms.units import Units

INGEST_LAYERS = made_by("ingest")
_SHOWN = 10


def ingest(
    raw_dir: str | Path,
    pipeline: str,
    workspace: str | Path,
    *,
    sample: str | int | None = None,
    settings: tuple[str, ...] = (),
    threads: int | None = None,
    memory_limit: str | None = None,
    force: bool = False,
    prepare: bool = False,
    executor: str = "local",
    address: str | None = None,
    dry_run: bool = False,
    check_room: bool = True,
    report: Report = lambda event: None,
) -> RunResult:
    """Turn raw tables into events: stage, check, merge, split, sort.

    Args:
        raw_dir: The folder of raw tables; nothing in it is copied or changed.
        pipeline: Name of a pipeline, looked for in `pipelines/` of the current folder and then among tawt's, or a YAML
            file, which is of the project that it lies in.
        workspace: The folder to work in, new or old.
        sample: Only these subjects, whole, by hash: a number or a percentage (`"500"`, `"5%"`).
        settings: Overrides of the pipeline, `key=value`.
        threads: Threads; all cores by default.
        memory_limit: As `2GB`; 60 % of the memory by default. What does not fit spills to the workspace.
        force: Run every stage, even what is up to date.
        prepare: Only read the raw files and write down what is to be made of them, for parts of a `run`.
        executor: `local`, this process, or `ray`, the workers of a Ray cluster that see workspace and raw tables under
            the same paths; `threads` and `memory_limit` are then those of each.
        address: Of the Ray cluster; by default that of `RAY_ADDRESS`, else one of this machine alone.
        dry_run: Only say what would run, and why; nothing is written, not even the workspace.
        check_room: Whether it does not begin where its disk has too little room for what it makes.
        report: Hears what happens.

    Returns:
        What ran, why, and where every record went.

    Raises:
        ConfigError: The pipeline, an override or an option is wrong.
        RoomError: The disk has too little room.
        SourceError: The raw folder or a required table or column is absent, or a file is unreadable.
        StageError: A stage cannot run, or does not balance.
        ContractError: A stage's output is not what its contract promises.
    """
    root, raw_root = Path(workspace).expanduser(), Path(raw_dir).expanduser()
    sample = check_sample(sample)
    limits, do = Limits.of(threads, memory_limit), executor_of(executor, address, threads, memory_limit)
    resolved, project = given_pipeline(pipeline, settings)
    if not raw_root.is_dir():
        raise SourceError(str(raw_dir), "is not a folder, expected the folder of raw tables", "check the path")
    with placed(pipeline, settings, project):
        graph = stages_of(resolved, project)
        runnable(graph, INGEST_LAYERS)  # else it is told before anything changes
        Units.of(resolved, project).hold()
    refuse_foreign(root)
    refuse_overlap(root, raw_root)
    if project.root is not None:
        refuse_odd_letters(project.root)
    given = given_workspace(root, resolved, raw_root, sample, project)
    local, ingested = remembered(pipeline, settings, root, project, given.local, given.ingested)
    given = replace(given, given_local=local, given_ingested=ingested)
    graph = as_they_ran(graph, given)
    # the raw files are held to the contracts before a byte of the workspace changes
    found = raw_tables(given, graph.raw_contracts)
    with hold(root, dry_run), placed(pipeline, settings, project):
        if not dry_run and not is_workspace(root):  # before anything else: it tells the folder from somebody else's
            write_records(given)
        said = (*_about_project(root, project), *_settings_that_go(root, resolved))
        said = (*said, *without_keys(graph.stages, graph.raw_contracts), *_not_kept(resolved, found[0]))
        for note in said:
            report({"event": "note", "text": note})
        if prepare and not dry_run:
            prepared, plan = make_plan(given, graph, INGEST_LAYERS, limits=limits, found=found)
            hold_room(plan, prepared, refuse=check_room)
            write_records(prepared)
            return foresee(prepared, plan, report)
        asked = Asked("ingest", settings=settings)
        judges = label_judges(given, limits, go_on=True)  # a sample may be too small for one, and events are not of it
        result = make(
            given, graph, INGEST_LAYERS, limits, force, dry_run, report, asked, judges, check_room, do, found=found
        )
        return replace(result, notes=(*said, *result.notes))


def _about_project(root: Path, project: Project) -> tuple[str, ...]:
    """Say whose files the stages are made of, and when those of another project run no more."""
    now = str(project.root) if project.root is not None else None
    try:
        before = open_workspace(root).local.project
    except TawtError:  # a new one, or one that this ingest mends
        before = None
    if before not in (None, now):
        return (f"project {now or 'none, tawt alone'}, in the place of {before}, whose files run no more",)
    return (f"project {now}",) if now is not None else ()


def _not_kept(pipeline: PipelineConfig, found: Mapping[str, RawTable]) -> tuple[str, ...]:
    """Say which columns of a MEDS dataset are not those of the events that are made of it."""
    table = found.get("measurements") if pipeline.source == "meds" else None
    names = [one for one in table.header if one not in table.columns.values()] if table is not None else []
    if not names:
        return ()
    shown = ", ".join(f"`{printable(one)}`" for one in names[:_SHOWN]) + (" and others" if len(names) > _SHOWN else "")
    return (f"columns of the dataset that are not kept: {shown}",)


def _settings_that_go(root: Path, pipeline: PipelineConfig) -> tuple[str, ...]:
    """Say which settings, kept in a workspace by `build-vocab --set`, go with its pipeline when that is replaced."""
    try:
        kept = open_workspace(root).pipeline.vocabulary
    except TawtError:  # a new one, or one that this ingest mends
        return ()
    now = pipeline.vocabulary
    changed = [key for key in type(now).model_fields if getattr(kept, key) != getattr(now, key)]
    if not changed:
        return ()
    values = ", ".join(f"{key} {getattr(kept, key)} -> {getattr(now, key)}" for key in changed)
    again = command(
        "build-vocab", workspace=root, set=tuple(f"vocabulary.{key}={getattr(kept, key)}" for key in changed)
    )
    return (f"the pipeline replaces settings of this workspace's vocabulary: {values}; to keep them: {again}",)


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
        dry_run: Only say what would run, and why.
        check_room: Whether it does not begin where its disk has too little room for what it makes.
        report: Hears what happens.

    Raises:
        ConfigError: There is no workspace, the selection names no stage, or an option is wrong.
        RoomError: The disk has too little room.
        StageError: An input is absent, or a stage cannot run.
    """
    root, limits = Path(workspace).expanduser(), Limits.of(threads, memory_limit)
    open_workspace(root)
    do = executor_of(executor, address, threads, memory_limit)
    if part is not None:
        if executor != "local":
            what = "a part is what this process does, and an executor has it done by others, expected one of the two"
            raise ConfigError("--part", what, "leave --part or --executor out")
        shared = _shared_out(part, wait, selection, root, force)
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


def _shared_out(part: str, wait: str, selection: str, root: Path, force: bool) -> Shared:
    if force:
        what = "cannot be told from what another part has made already, expected no --force with --part"
        raise ConfigError("--force", what, f"make it alone: `{command('run', selection, workspace=root, force=True)}`")
    try:
        seconds = duration(wait) / 1_000_000 if wait != "0" else 0.0
    except ValueError as error:
        raise ConfigError(f"--wait {printable(wait)}", f"is no time, expected {error}", "as `--wait 12h`") from None

    def again(one: Part | None) -> str:
        return command("run", selection, workspace=root, part=one)

    return Shared(Part.of(part), seconds, again)


def _run_part(
    workspace: Workspace, shared: Shared, selection: str, limits: Limits, dry_run: bool, report: Report
) -> RunResult:  # fmt: skip
    aside = workspace.aside / PARTS
    aside.mkdir(parents=True, exist_ok=True)
    spill = (aside / f"{shared.part.name}-{secrets.token_hex(8)}").relative_to(workspace.root)
    opened = replace(workspace, spill_name=str(spill))
    graph, asked, judges = all_stages(opened), Asked("run", (selection,)), label_judges(opened, limits)
    do = partial(run_part, shared=shared)
    return make(opened, graph, selection, limits, False, dry_run, report, asked, judges, do=do)


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
