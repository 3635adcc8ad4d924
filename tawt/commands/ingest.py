"""`tawt ingest`: raw tables -> events."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from tawt.builtin.all import stages_of
from tawt.builtin.kept import as_they_ran
from tawt.commands.executors import executor_of, refuse_both
from tawt.commands.in_store import joined, made_there, prepare_there
from tawt.config.named import placed
from tawt.config.pipeline import PipelineConfig
from tawt.contracts.layers import made_by
from tawt.contracts.workspace import is_workspace
from tawt.database.limits import Limits
from tawt.errors import SourceError, TawtError, printable
from tawt.labels.held import label_judges
from tawt.pipeline.foretold import hold_room
from tawt.pipeline.holding import hold, refuse_foreign, refuse_odd_letters, refuse_overlap
from tawt.pipeline.origin import remembered
from tawt.pipeline.plan import make_plan, runnable
from tawt.pipeline.raw_tables import raw_tables
from tawt.pipeline.run import Report, RunResult
from tawt.pipeline.sample import check_sample
from tawt.pipeline.undone import Asked
from tawt.pipeline.work import foresee, make
from tawt.pipeline.workspace import (
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
    store: str | None = None,
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
        store: A folder in an object store, as `s3://BUCKET/FOLDER`, where the workspace is; the one that is given is
            then this machine's own part of it.
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
    refuse_both(executor, store)
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
    with joined(root, store, raw_root, report, dry_run=dry_run, begins=True) as stored:
        given = given_workspace(root, resolved, raw_root, sample, project)
        local, ingested = remembered(pipeline, settings, root, project, given.local, given.ingested)
        given = replace(given, given_local=local, given_ingested=ingested)
        graph = as_they_ran(graph, given)
        # the raw files are held to the contracts before a byte of the workspace changes
        found = raw_tables(given, graph.raw_contracts)
        with hold(root, dry_run), placed(pipeline, settings, project):
            if not dry_run and not is_workspace(root):  # first of all: it tells the folder from somebody else's
                write_records(given)
            said = (*_about_project(root, project), *_settings_that_go(root, resolved))
            said = (*said, *without_keys(graph.stages, graph.raw_contracts), *_not_kept(resolved, found[0]))
            for note in said:
                report({"event": "note", "text": note})
            there = stored.there(graph) if stored is not None else None
            if prepare and not dry_run:
                prepared, plan = make_plan(given, graph, INGEST_LAYERS, limits=limits, found=found, there=there)
                hold_room(plan, prepared, refuse=check_room and stored is None)
                if stored is not None:
                    prepare_there(stored, prepared, plan)
                write_records(prepared)
                return foresee(prepared, plan, report)
            asked = Asked("ingest", settings=settings)
            judges = label_judges(given, limits, go_on=True)  # a sample may be too small: events are not of labels
            result = make(
                given, graph, INGEST_LAYERS, limits, force, dry_run, report, asked, judges, check_room,
                made_there(stored) if stored is not None else do, found=found, there=there,
            )  # fmt: skip
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
