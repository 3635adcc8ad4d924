"""What a run will do, made once: stages, raw tables, shards, sample, and what each stage hangs on and why it runs.

A dry run ends with the plan.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tawt.contracts.layers import raw_table
from tawt.contracts.meds import dataset_name
from tawt.contracts.workspace import home_of
from tawt.database.limits import Limits
from tawt.errors import ConfigError, StageError
from tawt.pipeline.commit import others_of
from tawt.pipeline.fingerprint import components_of
from tawt.pipeline.keys import UNKNOWN, Now
from tawt.pipeline.letting_go import asked_for, made_again, passing, wanted
from tawt.pipeline.manifest import Manifest, make_again, read_here, read_manifest, reason_to_run
from tawt.pipeline.raw_tables import RawTables, raw_tables
from tawt.pipeline.sample import sampled_hash, shard_count
from tawt.pipeline.step import Step
from tawt.pipeline.subject_map import is_as_written, key_for
from tawt.pipeline.workspace import Workspace, folder_of
from tawt.raw.find import RawTable, seen_files
from tawt.raw.seen import TableSeen
from tawt.shell import command
from tawt.sources.graph import Graph
from tawt.sources.owners import asked_of
from tawt.sources.sql_file import parameters_for
from tawt.sources.stage import Bound, Input, Settings, Stage


@dataclass(frozen=True)
class Plan:
    """What a run will do."""

    root: Path
    """The workspace."""
    spill: Path
    """Where the engine puts what does not fit in memory."""
    graph: Graph
    """The stages that run here."""
    raw: dict[str, RawTable]
    settings: Settings
    limits: Limits
    there: dict[str, Manifest]
    """What is finished of the stages that run here."""
    now: Now
    """What there is behind the keys that stages hang on."""
    others: dict[str, Manifest]
    """What is finished of stages that this pipeline and the tables as they are now do not have."""
    notes: tuple[str, ...]
    """What is to be said of the raw tables."""
    steps: tuple[Step, ...] = ()
    """The stages that were asked for, in order, and those that are made again for them."""
    passing: frozenset[str] = frozenset()
    """Stages that are let go once all that reads them is made."""

    def bound(self, stage: Stage, there: Mapping[str, Manifest]) -> Bound:
        """Return a stage with all that it reads, of what is there, and may use.

        Raises:
            StageError: A parameter has no value.
        """
        inputs = {name: input_of(self.root, there[name]) for name in stage.inputs if name in there}
        raw = {name: self.raw[name] for name in stage.raw_tables}
        values = self.settings.pipeline.values
        parameters = parameters_for(stage.sql, values) if stage.sql is not None else {}
        return Bound(stage, inputs, raw, parameters, self.settings, self.limits, root=self.root, spill=self.spill)

    def drawn(self, there: Mapping[str, Manifest], to_be_made: Collection[str] = ()) -> Plan:
        """Return it with the sample that was asked for, which is not known before all that its subjects come from is.

        Raises:
            ConfigError: The pipeline names no stage to draw subjects from.
            StageError: The stage that it names has none, or does not run.
        """
        sample, name = self.settings.sample, self.settings.pipeline.sample_from
        subjects = None
        if sample is not None and not sample.endswith("%"):
            if name is None:
                raise ConfigError(
                    "--sample", "a number of subjects needs `sample_from:`, expected a stage there", "give a percentage"
                )
            stage = self.graph.stages.get(name)
            if stage is None or not stage.layer.row_wise or "subject_id" not in stage.contract.names:
                raise StageError(
                    name, "is off or has no subject_id, expected a stage of subjects",
                    "name another stage under `sample_from:`",
                )  # fmt: skip
            made = [one for one in stage.inputs if raw_table(one) is None]
            if any(one not in there or one in to_be_made for one in made):
                return self.with_sample(UNKNOWN)
            subjects = self.bound(stage, there)
        return self.with_sample(sampled_hash(sample, subjects))

    def with_sample(self, sampled: int | str | None) -> Plan:
        """Return it with the largest hash of a subject that is in the sample."""
        return replace(self, settings=replace(self.settings, sampled_hash=sampled), now=self.now.with_sample(sampled))


def make_plan(
    workspace: Workspace,
    graph: Graph,
    selection: str | Sequence[str],
    *,
    limits: Limits,
    force: bool | Collection[str] = False,
    found: RawTables | None = None,
    there: Mapping[str, Manifest | None] | None = None,
    now: Now | None = None,
    alone: bool = True,
    also: Collection[str] = (),
) -> tuple[Workspace, Plan]:
    """Return what a run of the selected stages will do, and the workspace with what is to be written down of it.

    Args:
        workspace: Where.
        graph: All stages of its pipeline.
        selection: A selection (`X`, `X+`, `+X`), or names of layers and stages.
        limits: Threads and memory.
        force: Run even what is up to date; or the stages for which that holds.
        found: The raw tables, where somebody has found them already.
        there: What is finished of stages, where somebody has looked already.
        now: What the workspace has behind keys, where somebody has looked already.
        alone: Whether stages that were let go, and are not of these, may be made again; parts all make the same.
        also: Those stages.

    Raises:
        ConfigError: The selection names no stage.
        SourceError: A raw table that is needed is absent or unreadable.
        StageError: What a stage reads is not there, or will not be.
    """
    given = workspace, graph
    try:
        reads_raw = any(graph.stages[name].raw_tables for name in (*runnable(graph, selection), *also))
    except ConfigError:  # told again, of the stages that run here
        runnable(graph.without_tables(workspace.ingested.absent_tables), selection)
        raise
    raw, notes = ({}, []) if not reads_raw else found or raw_tables(workspace, graph.raw_contracts)
    notes = [*graph.told_faults(), *notes]
    settings = settings_of(workspace, raw)
    if raw:
        files = {name: [file.sha256 for file in raw[name].files] for name in sorted(raw)}
        for name in (name for name, stage in graph.stages.items() if stage.serves):
            settings = replace(settings, subject_key=key_for(workspace, name, settings.subject_key, files))
        absent = tuple(sorted(set(graph.raw_contracts) - set(raw)))
        settings = replace(settings, dataset=dataset_name(workspace.raw_root))
        counted = {"n_shards": settings.n_shards, "absent_tables": absent, "dataset": settings.dataset}
        ingested = workspace.ingested.model_copy(update=counted)
        known = {
            "files": seen_files(raw),
            "tables": {name: _seen(table) for name, table in raw.items()}
            | {name: TableSeen(places=graph.raw_contracts[name].paths) for name in absent},
            "subject_key": settings.subject_key,
        }
        local = workspace.local.model_copy(update=known)
        workspace = replace(workspace, given_local=local, given_ingested=ingested)
    graph = graph.without_tables(workspace.ingested.absent_tables)
    looked, finished = there or {}, {}
    for name in graph.stages:
        if (manifest := looked[name] if name in looked else read_manifest(workspace, name)) is not None:
            finished[name] = manifest
    for name in [name for name in finished if graph.stages[name].serves]:
        if not is_as_written(workspace.output(name), finished[name].hashes):
            del finished[name]  # it runs again first, and looks whether the map is a copy put back, or damaged
    others = others_of(workspace.root, graph)
    now = now.of(workspace) if now is not None else Now(workspace)
    plan = Plan(workspace.root, workspace.spill, graph, raw, settings, limits, finished, now, others, tuple(notes))
    chosen = {*runnable(graph, selection), *also}
    stages = [stage for name, stage in graph.stages.items() if name in chosen]
    steps: list[Step] = []
    drawn = False
    for stage in stages:
        to_be_made = {step.stage.name for step in steps if step.reason is not None}
        if stage.layer.row_wise and not drawn:
            plan, drawn = plan.drawn(plan.there, to_be_made), True
        forced = (force is True or (not isinstance(force, bool) and stage.name in force)) and stage.name not in also
        steps.append(_step(plan, stage, to_be_made, forced))
    named = asked_for(graph, selection)
    who = wanted(graph, finished, [step.stage.name for step in steps if step.reason is not None], named)
    lacking = [name for name in who if name in finished and finished[name].let_go and name not in chosen]
    if lacking and not alone:
        raise StageError(
            lacking[0], f"was let go (`keep: last`), and {who[lacking[0]]}, expected its rows to be there",
            f"`{command('run', ','.join(lacking), workspace=plan.root)}` makes them again",
        )  # fmt: skip
    if lacking:
        return make_plan(
            *given, selection, limits=limits, force=force, found=found, there=there, now=now, also=(*also, *lacking)
        )
    steps = [replace(one, wanted=who.get(one.stage.name)) for one in steps]
    steps = [replace(one, reason=one.reason or made_again(one.manifest, one.wanted)) for one in steps]
    among = chosen if isinstance(selection, str) else graph.stages  # one stage that is made leaves others alone
    goes = passing(plan.root, workspace.pipeline.keep, graph, named, among)
    return workspace, replace(plan, steps=tuple(steps), passing=goes)


def _seen(table: RawTable) -> TableSeen:
    files = tuple(dict.fromkeys(file.relative for file in table.files))
    return TableSeen(identity=table.identity, files=files, places=table.contract.paths)


def _step(plan: Plan, stage: Stage, to_be_made: Collection[str], force: bool) -> Step:
    """Return what a stage will be made from, and why it runs; what stages give that run before is not known yet."""
    inputs = {}
    for name in stage.inputs:
        if (table := raw_table(name)) is not None:
            inputs[name] = plan.raw[table].identity
        elif name in to_be_made:
            inputs[name] = UNKNOWN
        elif name in plan.there:
            if plan.graph.stages[name].serves:
                _hold_served(plan, stage, plan.there[name])
            inputs[name] = plan.there[name].content
        else:
            raise StageError(
                stage.name, f"needs {name}, which is not there, expected it to be finished",
                command("run", f"+{stage.name}", workspace=plan.root),
            )  # fmt: skip
    asked = asked_of(stage, plan.graph) if plan.settings.opted_out is not None else ()
    inputs |= {f"raw.{table}": plan.raw[table].identity for table in asked if table in plan.raw}
    components = components_of(stage, plan.settings.pipeline.source, plan.now, inputs)
    manifest = plan.there.get(stage.name)
    reason = reason_to_run(manifest, components, force)
    if reason is None and components.unknown:
        reason = "the sample may be of other subjects"
    return Step(stage, components, manifest, reason, force)


def _hold_served(plan: Plan, stage: Stage, manifest: Manifest) -> None:
    """Hold numbers of ids to the raw tables of a stage that reads them: who is not in them would have none."""
    for table in stage.raw_tables:
        if manifest.components.inputs.get(f"raw.{table}") != plan.raw[table].identity:
            raise StageError(
                stage.name, f"needs {manifest.stage} made from raw.{table} as it is now, expected it to be up to date",
                f"`{command('run', f'+{stage.name}', workspace=plan.root)}`",
            )  # fmt: skip


def runnable(graph: Graph, selection: str | Sequence[str]) -> list[str]:
    """Return the names of the selected stages, in order, less those that cannot run and are not named for themselves.

    Raises:
        ConfigError: The selection names no stage.
        TawtError: One that is named cannot run as it, or what it hangs on, is written.
    """
    if isinstance(selection, str):
        return graph.whole(graph.select(selection), [part.strip().strip("+") for part in selection.split(",")])
    names = [name for name, stage in graph.stages.items() if name in selection or stage.layer.name in selection]
    return graph.whole(names, selection)


def settings_of(workspace: Workspace, raw: dict[str, RawTable] | None = None) -> Settings:
    """Return what the stages of a workspace hang on; without raw tables, as the last ingest counted shards."""
    n_shards = shard_count(workspace.pipeline, raw or {}, workspace.ingested.n_shards)
    return Settings(
        workspace.pipeline, n_shards, workspace.ingested.sample, raw_root=workspace.raw_root, project=workspace.project,
        subject_key=workspace.local.subject_key, basis=workspace.basis, dataset=workspace.ingested.dataset,
        opted_out=workspace.opted_out,
    )  # fmt: skip


def input_of(root: Path, manifest: Manifest) -> Input:
    """Return a finished stage of a workspace as others read it.

    Raises:
        StageError: It was let go.
    """
    stage, home = manifest.stage, home_of(root, manifest.stage)
    if manifest.let_go:
        again = f"`{command('run', stage, workspace=root)}` makes it again"
        raise StageError(stage, "was let go (`keep: last`), expected its rows to be there", again)
    files = tuple(home / name for name in sorted(manifest.files))
    hashes = {home / name: sha256 for name, sha256 in manifest.hashes.items()}
    again = make_again(root, stage)
    return Input(stage, home / folder_of(stage), files, manifest.places, manifest.n_rows, again, hashes)


def inputs_of(workspace: Workspace, stage: Stage) -> dict[str, Input]:
    """Return the finished stages that a stage reads, as far as their rows are there."""
    read = {name: read_here(workspace, name) for name in stage.inputs if raw_table(name) is None}
    return {name: input_of(workspace.root, manifest) for name, manifest in read.items() if manifest is not None}
