"""The public data commands: ingest, build_vocab and run."""

from __future__ import annotations

from pathlib import Path

from tawt.errors import SourceError
from tawt.pipeline.engine import Limits
from tawt.pipeline.run import Report, RunResult, check_sample, run_stages
from tawt.pipeline.sample import shard_count
from tawt.pipeline.sources import find_raw_tables, remember_files
from tawt.pipeline.stages import load_graph
from tawt.pipeline.workspace import Ingested, create_workspace, open_workspace, resolve_pipeline

INGEST_LAYERS = ("staging", "codes", "event_parts", "events", "tasks")
VOCABULARY_STAGES = ("vocabulary", "triplets", "dataset")


def ingest(
    raw_dir: str | Path,
    pipeline: str,
    workspace: str | Path,
    *,
    sample: str | None = None,
    settings: tuple[str, ...] = (),
    threads: int | None = None,
    memory_limit: str | None = None,
    force: bool = False,
    dry_run: bool = False,
    report: Report = lambda event: None,
) -> RunResult:
    """Turn raw tables into events: stage, check, merge, split, sort.

    Args:
        raw_dir: The folder of raw tables; nothing in it is copied or changed.
        pipeline: Name of a pipeline that comes with tawt, or a YAML file.
        workspace: The folder to work in, new or old.
        sample: Only these subjects, whole, by hash: a number or a percentage (`"500"`, `"5%"`).
        settings: Overrides of the pipeline, `key=value`.
        threads: Threads; all cores by default.
        memory_limit: As `2GB`; 60 % of the memory by default. What does not fit spills to the workspace.
        force: Run every stage, even what is up to date.
        dry_run: Only say what would run, and why; nothing is written, not even the workspace.
        report: Hears what happens.

    Returns:
        What ran, why, and where every record went.

    Raises:
        ConfigError: The pipeline, an override or an option is wrong.
        SourceError: The raw folder or a required table or column is absent, or a file is unreadable.
        StageError: A stage cannot run, or does not balance.
        ContractError: A stage's output is not what its contract promises.
    """
    root, raw_root = Path(workspace).expanduser(), Path(raw_dir).expanduser()
    check_sample(sample)
    limits = Limits.of(threads, memory_limit)
    resolved = resolve_pipeline(pipeline, settings)
    if not raw_root.is_dir():
        raise SourceError(str(raw_dir), "is not a folder, expected the folder of raw tables", "check the path")
    graph = load_graph(resolved)
    # the raw files are held to the contracts before a byte of the workspace changes
    opened = create_workspace(root, resolved, raw_root, sample, dry_run=True)
    raw, _ = find_raw_tables(opened, graph.raw_contracts)
    if not dry_run:
        opened = create_workspace(root, resolved, raw_root, sample)
        remember_files(opened, raw)
        absent = tuple(sorted(name for name in graph.raw_contracts if name not in raw))
        opened.remember(ingested=Ingested(sample=sample, n_shards=shard_count(opened, raw), absent_tables=absent))
    with opened.alone(dry_run):
        return run_stages(opened, INGEST_LAYERS, limits=limits, force=force, dry_run=dry_run, report=report)


def build_vocab(
    workspace: str | Path,
    *,
    settings: tuple[str, ...] = (),
    threads: int | None = None,
    memory_limit: str | None = None,
    force: bool = False,
    dry_run: bool = False,
    report: Report = lambda event: None,
) -> RunResult:
    """Turn events into a vocabulary, triplets and a memory-mapped dataset.

    Args:
        workspace: A workspace that `ingest` made.
        settings: Overrides of its pipeline, `key=value`; they are kept in the workspace.
        threads: Threads; all cores by default.
        memory_limit: As `2GB`; 60 % of the memory by default.
        force: Run every stage, even what is up to date.
        dry_run: Only say what would run, and why.
        report: Hears what happens.

    Raises:
        ConfigError: There is no workspace, or an override is wrong.
        StageError: Events are absent, or a stage does not balance.
    """
    opened = open_workspace(Path(workspace).expanduser(), settings, keep=not dry_run)
    limits = Limits.of(threads, memory_limit)
    with opened.alone(dry_run):
        return run_stages(opened, VOCABULARY_STAGES, limits=limits, force=force, dry_run=dry_run, report=report)


def run(
    selection: str,
    workspace: str | Path,
    *,
    threads: int | None = None,
    memory_limit: str | None = None,
    force: bool = False,
    dry_run: bool = False,
    report: Report = lambda event: None,
) -> RunResult:
    """Run single stages again: `X` only it, `X+` and what follows, `+X` and what it needs; a layer names its stages.

    Args:
        selection: Stages or layers, joined by commas.
        workspace: A workspace that `ingest` made.
        threads: Threads; all cores by default.
        memory_limit: As `2GB`; 60 % of the memory by default.
        force: Run even what is up to date.
        dry_run: Only say what would run, and why.
        report: Hears what happens.

    Raises:
        ConfigError: There is no workspace, or the selection names no stage.
        StageError: An input is absent, or a stage cannot run.
    """
    opened = open_workspace(Path(workspace).expanduser())
    limits = Limits.of(threads, memory_limit)
    with opened.alone(dry_run):
        return run_stages(opened, selection, limits=limits, force=force, dry_run=dry_run, report=report)
