"""The stages of a pipeline, found by looking into its folders, and the order that their references imply."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from graphlib import TopologicalSorter

from tawt.contracts.contract import Contract
from tawt.contracts.layers import raw_table
from tawt.errors import ConfigError, StageError, TawtError, listed, nearest
from tawt.project import Project
from tawt.sources.stage import BuiltIn, Stage


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
            of = stage.made_by.of if isinstance(stage.made_by, BuiltIn) else ""
            if of in gone:
                skipped[name] = Skip(of)
            elif stage.sql is None:  # it takes what is there
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


def in_order(stages: Mapping[str, Stage]) -> dict[str, Stage]:
    """Return stages, each after those that it reads; no circle can arise, as a stage reads earlier layers alone."""
    order = TopologicalSorter(
        {name: (*stage.inputs, *stage.layer.after) for name, stage in stages.items()}
    ).static_order()
    return {name: stages[name] for name in order if name in stages}
