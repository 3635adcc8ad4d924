"""What differs between two workspaces, or a stage before and after an edit, in counts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow as pa

from tawt.builtin.all import graph_of, seen_graph, stage_of
from tawt.contracts.layers import layer_of
from tawt.database.connect import bounded_memory, looking, wrapped_errors
from tawt.database.limits import Limits
from tawt.errors import ConfigError, StageError
from tawt.pipeline.each_shard import KEPT
from tawt.pipeline.holding import still
from tawt.pipeline.keys import Now
from tawt.pipeline.ledger import Standing, said_of, standing
from tawt.pipeline.manifest import Manifest, read_here, read_manifest, unfinished
from tawt.pipeline.plan import input_of, make_plan
from tawt.pipeline.run import Report
from tawt.pipeline.sql_stage import run_sql
from tawt.pipeline.workspace import Workspace, open_workspace
from tawt.quality.diff import Difference, Output, as_counted, differences, withheld
from tawt.shell import command
from tawt.sources.graph import Graph

_SCHEMA = pa.schema([(name, pa.string()) for name in ("stage", "what", "name", "before", "after")])


@dataclass(frozen=True)
class _Side:
    """A workspace that is compared."""

    workspace: Workspace
    graph: Graph
    there: dict[str, Standing]
    said: tuple[str, ...]
    """What is to be said of its stages and its pipeline."""

    @classmethod
    def of(cls, root: Path) -> _Side:
        opened = open_workspace(root)
        graph, now = seen_graph(opened), Now(opened)
        there = standing(opened, graph, now)
        said = said_of(opened, graph, there, now)
        return cls(opened, graph, {one.stage.name: one for one in there}, tuple(said))

    def output(self, stage: str) -> Output | None:
        """What is there of a stage; None where it is not finished or not of this pipeline."""
        manifest = self.there[stage].manifest if stage in self.there else None
        return _output(self.workspace, manifest) if manifest is not None else None


def diff(
    before: str | Path, after: str | Path | None = None, stage: str | None = None, *, exact: bool = False,
    threads: int | None = None, memory_limit: str | None = None, report: Report = lambda event: None,
) -> pa.Table:  # fmt: skip
    """Tell what differs between two workspaces, or between what is there of a stage and what its SQL gives now.

    Rows are compared as they come, in any order, by all cells but those that say where a row came from; a row that is
    changed counts on both sides. Counts from 1 to 10 are told as `<11`; where there is one, or one could be had from
    others, all counts are told in twenties, as `40+`. A data_type of fewer than 11 subjects is not named. With `exact`
    counts are as they are, which is for oneself.

    Args:
        before: A workspace that `ingest` made.
        after: Another one; None = what the stage's SQL gives now of what it reads there: it is run aside, and nothing
            is written into the workspace.
        stage: Only this stage; all of two workspaces by default.
        exact: Tell all counts as they are. They can point at people: they must not be shared.
        threads: Threads; all cores by default.
        memory_limit: As `2GB`; 60 % of the memory by default.
        report: Hears `{"event": "note", ...}` of each stage that is older than what it was made from.

    Returns:
        One row per difference, none where there is none: `stage`, `what`, `name`, `before`, `after`. `what` is `stage`
        (only one has it), `rows`, `records in`, `drop`, `quarantine`, `fault`, `added` (as the ledger counts them),
        `column` (types), `nulls` (of a column), `status` (rows by value_status) or `rows only here` (which the other
        lacks: of all, and by data_type).

    Raises:
        ConfigError: There is no such workspace or stage, or a command that changes one is at work.
        FileError: A file that is compared is damaged.
        StageError: What the stage's SQL gives now is refused, or the stage is not there yet.
    """
    limits = Limits.of(threads, memory_limit)
    if after is None:
        return as_table(_of_edit(Path(before).expanduser(), stage, limits, report), exact)
    with _both(Path(before).expanduser(), Path(after).expanduser()) as sides:
        found: list[Difference] = []
        for note in dict.fromkeys(note for one in sides for note in one.said):
            report({"event": "note", "text": note})
        for name in _stages(sides, stage):
            for one in sides:
                if name in one.there and one.there[name].stale:
                    text = f"{name} in {one.workspace.root} is {one.there[name].state}"
                    report({"event": "note", "text": text})
                if name in one.there and (made := one.there[name].manifest) is not None and made.let_go:
                    again = command("run", name, workspace=one.workspace.root)
                    text = f"{name} in {one.workspace.root} was let go, so its rows are not compared: `{again}`"
                    report({"event": "note", "text": text})
            found += compared(
                name, sides[0].output(name), sides[1].output(name), [s.workspace.root for s in sides], limits
            )
    return as_table(found, exact)


def _of_edit(root: Path, stage: str | None, limits: Limits, report: Report) -> list[Difference]:
    """Return what differs between what is there of a stage and what it would be now."""
    with still(root), TemporaryDirectory(prefix="tawt-") as aside:
        opened = open_workspace(root)
        graph = graph_of(opened)
        if stage is None:
            example = command("diff", min(graph.stages), workspace=root)
            raise ConfigError("diff", "has one workspace alone, expected another one or a stage of it", f"`{example}`")
        found = stage_of(graph, stage)
        if found.sql is None:
            hint = f"give two workspaces: `{command('diff', root, 'ANOTHER', stage=stage)}`"
            raise ConfigError(f"stage {stage}", "is code, expected a stage with SQL", hint)
        manifest = read_here(opened, stage)
        if manifest is None:
            again = command("run", f"+{stage}", workspace=root)
            raise StageError(stage, f"{unfinished(opened, stage)}, expected it to be finished", f"`{again}`")
        for one in standing(opened, graph):
            if one.stage.name in found.inputs and not one.stands:
                report({"event": "note", "text": f"{stage} reads {one.stage.name}, which is {one.state}"})
        _, plan = make_plan(opened, graph, stage, limits=limits, alone=False)
        (step,) = plan.steps
        report({"event": "note", "text": f"{stage}: {step.reason or 'up to date'}"})
        if step.reason is None:
            return []
        bound = replace(plan.bound(found, plan.there), spill=Path(aside) / "spill")
        result = run_sql(bound, Path(aside) / stage, lambda done, total: None)
        rows = [file for file in (Path(aside) / stage).rglob("*.parquet") if file.name != KEPT]
        now = Output(sorted(rows), result.accounts, {})
        return compared(stage, _output(opened, manifest), now, [root, Path(aside)], limits)


def compared(
    stage: str, before: Output | None, after: Output | None, folders: list[Path], limits: Limits
) -> list[Difference]:
    """Return what differs between two outputs of a stage, each perhaps not there."""
    if before is None or after is None:
        states = ["there" if one is not None else "not there" for one in (before, after)]
        return [Difference(stage, "stage", "", *states)] if before is not after else []
    with looking(limits, folders) as connection, wrapped_errors(stage, limits=limits), bounded_memory(limits):
        return list(differences(connection, stage, before, after))


def as_table(found: list[Difference], exact: bool = False) -> pa.Table:
    """Return differences as a table, as they are told."""
    told = as_counted(found) if exact else withheld(found)
    return pa.Table.from_pylist([asdict(one) for one in told], schema=_SCHEMA)


@contextmanager
def _both(before: Path, after: Path) -> Iterator[list[_Side]]:
    with ExitStack() as held:
        for root in (before, after):
            held.enter_context(still(root))
        yield [_Side.of(before), _Side.of(after)]


def _stages(sides: list[_Side], stage: str | None) -> list[str]:
    if stage is None:
        return list(dict.fromkeys(name for one in sides for name in one.there))
    for one in sides:
        if stage not in sides[0].there and stage not in sides[1].there:
            stage_of(one.graph, stage)
    return [stage]


def _output(workspace: Workspace, manifest: Manifest) -> Output:
    is_read = layer_of(manifest.stage).suffix == ".parquet" and not manifest.let_go
    files = input_of(workspace.root, manifest).rows if is_read else []
    hashes = {name: sha256 for name, sha256 in manifest.hashes.items() if not name.startswith("quarantine/")}
    fitted = read_manifest(workspace, "vocabulary") if manifest.stage == "triplets" else None
    vocabulary = input_of(workspace.root, fitted).rows if fitted is not None else []
    return Output(files, manifest.accounts, hashes, vocabulary)
