"""The stages of a pipeline, found by looking into its folders, and the order that their references imply."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from graphlib import TopologicalSorter

from tawt.config.pipeline import PipelineConfig
from tawt.contracts.contract import Contract
from tawt.contracts.layers import SQL_LAYERS, TASKS, raw_table
from tawt.contracts.table import Table, read_table
from tawt.database.macros import load_macros
from tawt.database.parse import is_zone
from tawt.errors import ConfigError, ContractError, StageError, TawtError, faults_of, listed, nearest
from tawt.project import Project
from tawt.sources.hold import held_stage, hold_inputs, stage_of
from tawt.sources.sql_file import SqlFile, hold_parameters, read_sql
from tawt.sources.stage import BuiltIn, Stage
from tawt.sources.tables import declared_stage, table_files


@dataclass(frozen=True)
class Skip:
    """Why a stage does not run."""

    absent: str | None = None
    """What it drives from, which is not there; None = the pipeline lists the stage under `off:`."""

    def __str__(self) -> str:
        return "off in the pipeline" if self.absent is None else f"{self.absent} is absent"


@dataclass(frozen=True)
class Graph:
    """All stages of a pipeline in an order in which they can run."""

    stages: dict[str, Stage]
    raw_contracts: dict[str, Contract]
    skipped: dict[str, Skip]
    project: Project = field(default_factory=Project)
    """What they were read from."""
    fault: TawtError | None = None
    """What keeps all stages from being read: then these are those that a workspace holds, as they ran."""

    @property
    def faulty(self) -> dict[str, TawtError]:
        """The stages that cannot run as they are written -> why."""
        return {name: stage.fault for name, stage in self.stages.items() if stage.fault is not None}

    @property
    def behind_fault(self) -> dict[str, str]:
        """The stages that cannot run, as they are faulty or hang on one that is -> that one."""
        found: dict[str, str] = {}
        for name, stage in self.stages.items():
            cause = name if stage.fault is not None else next((found[i] for i in stage.inputs if i in found), None)
            found |= {name: cause} if cause is not None else {}
        return found

    def whole(self, names: Sequence[str], asked: Collection[str]) -> list[str]:
        """Return those of some stages that can run.

        Args:
            names: The stages.
            asked: Those among them without which nothing is to run, each named for itself.

        Raises:
            TawtError: Nothing is to run, because of this fault.
        """
        behind = self.behind_fault
        can = [name for name in names if name not in behind]
        for name in names:
            if name in behind and (name in asked or not can):
                raise self.faulty[behind[name]]
        return can

    @property
    def left_out(self) -> dict[str, str]:
        """The stages that do not run here -> why, in words."""
        cannot = {
            name: f"{f'{cause} ' * (cause != name)}cannot run ({self.faulty[cause].of(cause)})"
            for name, cause in self.behind_fault.items()
        }
        return {name: str(skip) for name, skip in self.skipped.items()} | cannot

    def told_faults(self) -> list[str]:
        """Return what is to be said of stages that cannot run as they are written, a line each, with what to mend."""
        behind, said = self.behind_fault, []
        for name, fault in self.faulty.items():
            others = [other for other, cause in behind.items() if cause == name != other]
            more = f"; what hangs on it cannot either: {listed(others)}" if others else ""
            mend = f": `{fault.mend}`" if fault.mend else ""
            said.append(f"{name} cannot run as it is written ({fault.of(name)}){mend}{more}")
        return said

    def without(self, absent: set[str]) -> Graph:
        """Return the graph less the stages whose driving input is absent, and whatever drives from those.

        Raises:
            StageError: A stage that stays would join something absent.
        """
        skipped = dict(self.skipped)
        kept: dict[str, Stage] = {}
        for name, stage in self.stages.items():
            gone = [i for i in stage.inputs if i in absent or i in skipped]
            if stage.sql is None:  # it takes what is there
                kept[name] = replace(stage, inputs=tuple(i for i in stage.inputs if i not in gone))
            elif stage.fault is not None:  # what it will read is not known
                kept[name] = stage
            elif gone and gone[0] == stage.inputs[0]:
                skipped[name] = Skip(gone[0])
            elif gone:
                root = gone[0]
                while (skip := skipped.get(root)) is not None and skip.absent is not None:
                    root = skip.absent
                table = raw_table(root)
                because = f"raw table `{table}` was not found" if table is not None else f"{root} is {skipped[root]}"
                way = "add the table" if table is not None else f"let {root} run"
                raise StageError(
                    name, f"needs {gone[0]}, but {because}, expected it there",
                    f"{way}, or leave the stage out with `off: [{name}]`",
                )  # fmt: skip
            else:
                kept[name] = stage
        return replace(self, stages=kept, skipped=skipped)

    def without_tables(self, absent: Iterable[str]) -> Graph:
        """Return the graph without raw tables that are not there, as `without`.

        Raises:
            StageError: A stage that stays would join one.
        """
        return self.without({f"raw.{name}" for name in absent})

    def select(self, selection: str) -> list[str]:
        """Return the stages of `X`, `X+` (and what follows) or `+X` (and what it needs), in order; commas join.

        Raises:
            ConfigError: There is no such stage, or it does not run here.
        """
        chosen: set[str] = set()
        for part in selection.split(","):
            before, name, after = part.startswith("+"), part.strip().strip("+"), part.endswith("+")
            # a layer's name stands for all its stages
            starts = [s for s in self.stages if s == name or s.partition(".")[0] == name]
            if not starts:
                last = [s for s in self.stages if s.rpartition(".")[2] == name]
                meant = [s for s in self.skipped if s == name or (name in s.split(".", 1) and not last)]
                what, hint = "no stage", nearest(name, [*self.stages, *(s.layer.name for s in self.stages.values())])
                if meant:
                    why, hint = self.why_not(meant[0])
                    what = f"`{meant[0]}`, which does not run here: {why}"
                raise ConfigError(f"selection `{part}`", f"names {what}, expected a stage or a layer that runs", hint)
            chosen.update(starts)
            if before:
                self._reach(chosen, starts, {s: stage.inputs for s, stage in self.stages.items()})
            if after:
                self._reach(chosen, starts, self._readers())
        return [name for name in self.stages if name in chosen]

    def why_not(self, name: str) -> tuple[str, str]:
        """Return why a stage that is skipped does not run, and what makes it: at the root, not at what lies between."""
        skip = self.skipped[name]
        while skip.absent in self.skipped:
            skip = self.skipped[skip.absent]
        way = "take it out of `off:` in the pipeline"
        return str(skip), way if skip.absent is None else "give a raw folder that has it to `tawt ingest`"

    def _readers(self) -> dict[str, tuple[str, ...]]:
        return {
            name: tuple(other for other, stage in self.stages.items() if name in stage.inputs) for name in self.stages
        }

    def _reach(self, chosen: set[str], starts: list[str], edges: dict[str, tuple[str, ...]]) -> None:
        todo = list(starts)
        while todo:
            for other in edges.get(todo.pop(), ()):
                if other in self.stages and other not in chosen:
                    chosen.add(other)
                    todo.append(other)


def load_graph(pipeline: PipelineConfig, project: Project | None = None, built_in: Iterable[BuiltIn] = ()) -> Graph:
    """Read every stage of a pipeline's source, the files of a project before tawt's, and add those that are built in.

    Raises:
        ConfigError: The source has no stages, `off:` or `order:` names none of them, or the project has what it cannot.
        ContractError: The contract of a raw table is refused.
        StageError: A macro is refused. What is wrong with a stage is a fault of that stage.
    """
    files = project or Project()
    files.hold()
    folder, said, macros = f"sql/{pipeline.source}", table_files(files, pipeline.source), load_macros(files)
    if not files.folders(folder) and not said:
        known = [name for name in (*files.folders("sql"), *files.folders("schemas")) if name != "shared"]
        raise ConfigError(
            f"source `{pipeline.source}`", f"has no folder below sql/ or schemas/, expected one{_looked_in(files)}",
            nearest(pipeline.source, known),
        )  # fmt: skip
    _refuse_others(files, folder)
    if pipeline.zone is not None and not is_zone(pipeline.zone):
        raise ConfigError(
            "zone", f"`{pipeline.zone}` is no time zone, expected one by its name",
            "for example `Europe/Berlin`, or `UTC`",
        )  # fmt: skip
    raw = {name: read_table(path) for name, path in said.items()}
    by_hand = {
        f"{layer.name}.{name}": (path, layer.name)
        for layer in SQL_LAYERS
        for name, path in files.files(f"{folder}/{layer.name}", ".sql").items()
    }
    built_in = tuple(built_in)
    serving = {one.name: {t for t in raw if one.serves(raw[t])} for one in built_in if one.serves is not None}
    found = {
        name: stage
        for table in raw
        if (name := f"staging.{table}") not in by_hand
        for stage in [stage_of(declared_stage(raw[table], said[table], macros), files, pipeline.source, raw, serving)]
    }
    for name, (path, layer_name) in by_hand.items():
        sql = SqlFile(name, path, "", (), ())
        try:
            with faults_of(path):
                sql = read_sql(path, layer_name, macros)
                found[name] = stage_of(sql, files, pipeline.source, raw, serving)
        except (StageError, ContractError, ConfigError) as fault:
            unknown = Contract(name=name, description="", columns=())
            found[name] = Stage(name, sql.references, unknown, sql, fault=fault)
    named = {f"off.{i}": name for i, name in enumerate(pipeline.off)}
    named |= {f"order.{i}": f"event_parts.{family}" for i, family in enumerate(pipeline.order)}
    named |= {"sample_from": pipeline.sample_from} if pipeline.sample_from is not None else {}
    for key, name in named.items():
        if name not in found:
            parts = [one.partition(".")[2] for one in found if one.startswith("event_parts.")]
            near = nearest(name.partition(".")[2], parts) if key.startswith("order.") else nearest(name, found)
            raise ConfigError(key, f"names the stage `{name}`, which is not there, expected a stage", near)
    for key, names in (("tables", list(pipeline.tables)), ("members", [one.table for one in pipeline.members])):
        for name in sorted(set(names) - set(raw)):
            raise ConfigError(
                f"tables.{name}" if key == "tables" else key,
                f"says under `{key}` how raw table `{name}` is written, which has no contract, expected one that has",
                nearest(name, raw),
            )
    skipped = dict.fromkeys(pipeline.off, Skip())
    behind: set[str] = set()  # what they read is not known
    for name, stage in found.items():  # each after those that it reads
        if stage.fault is not None or behind.intersection(stage.inputs):
            behind.add(name)
        elif stage.sql is not None:
            try:
                with faults_of(stage.sql.path):
                    hold_inputs(stage, found, raw)
                    found[name] = held_stage(stage, found, raw, macros)
            except StageError as fault:
                found[name] = replace(stage, fault=fault)
                behind.add(name)
            if name not in skipped:
                hold_parameters(stage.sql, pipeline.values)
    _hold_subjects(found, raw)
    for code in built_in:
        read = [n for n in sorted(found) if n not in skipped and (n in code.reads or found[n].layer.name in code.reads)]
        read += [f"raw.{table}" for table in sorted(serving.get(code.name, ()))]
        if read or code.name not in serving:
            found[code.name] = Stage(code.name, tuple(read), code.contracts[0], code)
    return Graph(in_order({n: s for n, s in found.items() if n not in skipped}), {**raw}, skipped, files)


def in_order(stages: Mapping[str, Stage]) -> dict[str, Stage]:
    """Return stages, each after those that it reads; no circle can arise, as a stage reads earlier layers alone."""
    order = TopologicalSorter(
        {name: (*stage.inputs, *stage.layer.after) for name, stage in stages.items()}
    ).static_order()
    return {name: stages[name] for name in order if name in stages}


def _hold_subjects(found: dict[str, Stage], raw: Mapping[str, Table]) -> None:
    """Hold the tables of a source to one kind of subjects: a number that stands in a table is none that was given."""
    by_text = sorted(name for name, table in raw.items() if table.subjects)
    for stage in found.values() if by_text else ():
        table = raw.get(raw_table(stage.inputs[0]) or "") if stage.fault is None else None
        if table is None or "subject_id" not in stage.contract.names:
            continue
        own = [column.type for column in table.columns if column.plain == "subject_id"]
        if "subject" not in (own or [column.type for column in table.columns]):
            raise StageError(
                stage.name, f"takes subjects as numbers, and raw.{by_text[0]} has them as text, expected one kind",
                f"say `type: subject` of the column in the contract of {table.name}",
            )  # fmt: skip


def _refuse_others(files: Project, folder: str) -> None:
    """Refuse a folder of stages that is no layer's: nothing would ever read what is in it."""
    known = [*(layer.name for layer in SQL_LAYERS), TASKS]
    for name in files.folders(folder):
        if name not in known and name[0] not in "._":
            raise ConfigError(f"{folder}/{name}", f"is no layer, expected {', '.join(known)}", nearest(name, known))


def _looked_in(project: Project) -> str:
    return f" in {project.root} or in what comes with tawt" if project.root is not None else ""
