"""What a stage is, SQL or code: what the graph knows of it, what it is handed to run, and what it hands back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from tawt.config.pipeline import PipelineConfig
from tawt.contracts.account import Account, Places, Rejected
from tawt.contracts.basis import Basis
from tawt.contracts.contract import Contract, own_contract
from tawt.contracts.layers import Layer, layer_of, raw_table
from tawt.contracts.opted_out import OptedOut
from tawt.contracts.table import Table
from tawt.database.limits import Limits
from tawt.errors import TawtError
from tawt.project import Project
from tawt.raw.find import RawTable
from tawt.sources.sql_file import SqlFile

Tick = Callable[[int, int], None]
"""Called with the shards, or records, that are done and all that there are."""


@dataclass(frozen=True)
class Settings:
    """What the stages of a run hang on besides what they read."""

    pipeline: PipelineConfig
    n_shards: int
    sample: str | None = None
    """As it was asked for: `N` or `P%`; None = everything."""
    sampled_hash: int | str | None = None
    """Largest hash of a subject that is in the sample; None = everything, a word where it is not known yet."""
    raw_root: Path | None = None
    subject_key: str | None = None
    """What numbers of subjects whose ids are text hang on; no part of any artefact but the map of them."""
    project: Project = field(default_factory=Project)
    basis: Basis | None = None
    """What the vocabulary goes on from; None = it stands by itself."""
    dataset: str | None = None
    """What the raw tables call themselves, where they are a MEDS dataset."""
    opted_out: OptedOut | None = None
    """Who asked to be forgotten: no record of theirs is kept."""


@dataclass(frozen=True)
class Input:
    """A finished stage, as its manifest lists it: what else lies in its folder is none of it."""

    name: str
    folder: Path
    files: tuple[Path, ...]
    places: Places
    n_rows: int
    make_again: str
    """The hint where a file of it is damaged."""
    hashes: Mapping[Path, str] = field(default_factory=dict)
    """Each file -> what it holds."""

    @property
    def rows(self) -> list[Path]:
        """The files that hold its rows."""
        layer = layer_of(self.name)
        return self.below(layer.rows, layer.suffix)

    def below(self, folder: str = "", suffix: str = ".parquet") -> list[Path]:
        """Return the files in a folder of it, by name, whose names end so."""
        place = self.folder / folder
        return [path for path in self.files if path.is_relative_to(place) and path.name.endswith(suffix)]


@dataclass(frozen=True)
class Share:
    """The shards of a stage that one of several processes makes, for whoever makes the stage to take."""

    i: int
    """Which of them, from 0."""
    n: int
    folder: Path
    """Where it hands them in, whole."""


@dataclass(frozen=True)
class Gone:
    """What tells records of those who opted out, where these do not name their subject."""

    columns: tuple[str, ...]
    marks: pa.Array
    """Of what stands there in records of theirs, as `OptedOut.sql_of` gives them."""


@dataclass(frozen=True)
class Bound:
    """A stage with all that it reads and may use: nothing else of a workspace is its business."""

    stage: Stage
    inputs: dict[str, Input]
    raw: dict[str, RawTable]
    """Raw tables among its inputs, by name."""
    parameters: dict[str, Any]
    """Values of the `$named` parameters of its SQL."""
    settings: Settings
    limits: Limits
    root: Path
    """The workspace, which is all that its SQL may reach beside the raw tables."""
    spill: Path
    """Where the engine puts what does not fit in memory."""
    made_by: str = ""
    """Hash of all that it hangs on but what it reads."""
    before: Mapping[Path, str] = field(default_factory=dict)
    """Files that it gave the last time -> what they hold: what is made of the same as then is taken from there."""
    gone: Gone | None = None
    """Of a raw table that names no subject, what tells records of those who opted out."""
    share: Share | None = None
    """What alone is to be made of it; None = the whole."""

    @property
    def folders(self) -> list[Path]:
        """The workspace, and the folder that it is written in: another one where a stage is only tried."""
        others = [one.folder for one in self.inputs.values() if not one.folder.is_relative_to(self.root)]
        return [self.root, self.spill.parent, *others]

    @property
    def pipeline(self) -> PipelineConfig:
        """The pipeline that it is of."""
        return self.settings.pipeline

    @property
    def sql(self) -> SqlFile:
        """Its SQL, which it has."""
        assert isinstance(self.stage.made_by, SqlFile), self.stage.name
        return self.stage.made_by

    @property
    def driving(self) -> RawTable | Input:
        """What its records come from: the first of its inputs."""
        name = self.stage.inputs[0]
        table = raw_table(name)
        return self.raw[table] if table is not None else self.inputs[name]


@dataclass(frozen=True)
class StageResult:
    """What a stage hands back, having written its files aside."""

    accounts: tuple[Account, ...]
    facts: dict[str, Any] = field(default_factory=dict)
    """Counts that later stages or reports need."""
    notes: tuple[str, ...] = ()
    """What the user is to be told."""
    places: Places = field(default_factory=Places)
    rejected: Rejected | None = None


@dataclass(frozen=True)
class BuiltIn:
    """A stage that is code: all that the engine knows of it."""

    name: str
    reads: tuple[str, ...]
    """Layers, whole, or built-in stages."""
    schemas: tuple[str, ...]
    """Names of the contracts of what it gives; its rows are of the first."""
    summary: str
    """What one row is."""
    keys: tuple[str, ...]
    """What it hangs on besides what it reads, by the keys of `tawt.pipeline.keys`."""
    run: Callable[[Bound, Path, Tick], StageResult]
    """Writes its files into a folder aside, where shards that a killed run finished for the same inputs lie yet."""
    serves: Callable[[Table], bool] | None = None
    """Whether it gives numbers to ids of a raw table: it reads all such, and what stages them reads it; a pipeline that
    has none is without it. None = of no table."""
    in_shards: bool = False
    """Whether it runs a task per shard, which several processes may share out."""
    of: str = ""
    """A stage without which a pipeline is without it; of SQL stages it reads those that read this one."""

    @property
    def contracts(self) -> tuple[Contract, ...]:
        """What its output promises."""
        return tuple(own_contract(name) for name in self.schemas)


@dataclass(frozen=True)
class Stage:
    """One stage of a pipeline: an SQL file, or one that is built in."""

    name: str
    inputs: tuple[str, ...]
    """Stages and raw tables that it reads."""
    contract: Contract
    """What its rows promise."""
    made_by: SqlFile | BuiltIn
    cells: frozenset[str] = frozenset()
    """Columns of its contract and of all that it came from: what a `_reason` and a `_faults` may name."""
    words: frozenset[str] = frozenset()
    """Words that say what is wrong with a cell: tawt's and those of its contract."""
    fault: TawtError | None = None
    """Why it cannot run as it is written; the rest is then what is known of it."""

    @property
    def layer(self) -> Layer:
        """The layer that it is of."""
        return layer_of(self.name)

    @property
    def sql(self) -> SqlFile | None:
        """Its SQL; None of one that is built in."""
        return self.made_by if isinstance(self.made_by, SqlFile) else None

    @property
    def summary(self) -> str:
        """What one row is."""
        return self.made_by.summary

    @property
    def serves(self) -> bool:
        """Whether it gives numbers to the ids of raw tables."""
        return isinstance(self.made_by, BuiltIn) and self.made_by.serves is not None

    @property
    def numbers(self) -> str:
        """The relation of numbers for ids of the raw tables that it reads; empty where these stand as they are."""
        served = [name for name in self.inputs if self.layer.row_wise and raw_table(name) is None]
        return f"{served[0]}.{served[0]}" if served else ""

    @property
    def raw_tables(self) -> list[str]:
        """The raw tables that it reads."""
        return [table for name in self.inputs if (table := raw_table(name)) is not None]
