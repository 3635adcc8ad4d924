"""A workspace: the folder that every command works in, with the resolved pipeline, all files and the runs."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from tawt.config.load import build, dump, merge, overrides, read_yaml
from tawt.config.named import resolve_pipeline
from tawt.config.pipeline import PipelineConfig
from tawt.contracts.basis import BASE, Basis, read_basis, write_basis
from tawt.contracts.dataset import DATASET
from tawt.contracts.layers import LAYERS, SHARDS
from tawt.contracts.opted_out import OPTED_OUT, OptedOut, read_opted_out
from tawt.contracts.workspace import CARRIED, HOSPITAL, PIPELINE, hold_workspace, home_of, is_workspace, origin_of
from tawt.errors import ConfigError, FileError
from tawt.files import ASIDE, keep_private, sealed, sync, whole
from tawt.pipeline.records import Ingested, Local, laid_on
from tawt.places import real, remove
from tawt.project import Project, is_project
from tawt.readers import read_record
from tawt.seals import BLANK, filled
from tawt.shell import command

Record = TypeVar("Record", "Local", "Ingested")
SPILL = ".spill"
LOCK = ".lock"
"""File that the command which changes a workspace holds."""
LOCAL = "local.json"
INGEST = "ingest.json"
STORED = "store.json"  # which store the workspace is in, of which this folder is one machine's part
LEDGER = "ledger.parquet"
UNDONE = "undone.json"
"""What the command that is at work, or the last one that did not end, set out to make."""
RECORDS = (PIPELINE, LOCAL, INGEST, LEDGER, HOSPITAL, UNDONE, BASE, OPTED_OUT, STORED)
"""Files of a workspace that hold the hash of their own rest, written by who holds it."""
OF_STAGES = (*LAYERS, "quarantine", SHARDS, "manifests")
"""Folders that hold what manifests list, and nothing else."""
_KEPT = ("subject_key", "opt_out_key", "pipeline")
OWN_FOLDERS = (*OF_STAGES, CARRIED, "runs", "embeddings", ASIDE, SPILL)


def folder_of(stage: str) -> str:
    """Return the folder of a workspace that a stage's files lie in."""
    return stage.replace(".", "/", 1)


def manifest_path(root: Path, stage: str) -> Path:
    """Return the path of a stage's manifest in a workspace."""
    return home_of(root, stage) / "manifests" / f"{stage}.json"


def beside(stage: str) -> tuple[str, str]:
    """Return the files of a workspace that a stage has beside its output: its quarantined records, and its shards."""
    return f"quarantine/{stage}.parquet", f"{SHARDS}/{stage}.parquet"


@dataclass(frozen=True)
class Workspace:
    """A workspace and its pipeline."""

    root: Path
    pipeline: PipelineConfig
    given_local: Local | None = None
    """Instead of what is written down, until `write_records`."""
    given_ingested: Ingested | None = None
    given_basis: Basis | None = None
    given_pipeline: bool = False
    """Whether the pipeline may be another than what is written down."""
    local_lost: bool = False
    """Whether what is given stands for a damaged `local.json`, which alone says where the project is."""
    spill_name: str = SPILL  # of those that share a run out each has another

    @property
    def is_shared(self) -> bool:
        """Whether this process is one of several that share a run out: each has a spill of its own."""
        return self.spill_name != SPILL

    @property
    def as_written(self) -> bool:
        """Whether it is as it is written down, with nothing given instead."""
        return not (self.given_pipeline or self.given_local or self.given_ingested or self.given_basis)

    @property
    def place(self) -> Path:
        """The workspace that was ingested: this one, or that whose events it is made of."""
        return origin_of(self.root) or self.root

    @property
    def aside(self) -> Path:
        """Where files are written before they are published."""
        return self.root / ASIDE

    @property
    def spill(self) -> Path:
        """Where the engine puts what does not fit in memory; it makes this folder, one level deep, when it needs it."""
        return self.root / self.spill_name

    @property
    def ingest_again(self) -> str:
        """The hint to read the raw tables again, by the pipeline that is there."""
        raw = None
        with suppress(FileError):  # a damaged record does not tell
            raw = (self.given_local or read_record(self.place / LOCAL, Local, absent=Local())).raw_root
        raw = raw if raw is not None and Path(raw).is_dir() else "RAW_DIR"
        again = command("ingest", raw, pipeline=self.place / PIPELINE, workspace=self.place)
        return f"run `{again}` again, in the folder of its project if it has one"

    @property
    def local(self) -> Local:
        """Where the raw tables are.

        Raises:
            FileError: `local.json` is damaged.
        """
        return self.given_local or self._record(LOCAL, Local)

    @property
    def ingested(self) -> Ingested:
        """What the last ingest was asked for and found.

        Raises:
            FileError: `ingest.json` is damaged.
        """
        return self.given_ingested or self._record(INGEST, Ingested)

    def _record(self, name: str, record: type[Record]) -> Record:
        return read_record(self.place / name, record, self.ingest_again, absent=record())

    @property
    def basis(self) -> Basis | None:
        """What its vocabulary goes on from; None where it stands by itself.

        Raises:
            FileError: The record is damaged.
        """
        hint = (
            f"take it from a copy, or fit a vocabulary anew: `{command('build-vocab', workspace=self.root, anew=True)}`"
        )
        return self.given_basis or read_basis(self.root, hint)

    @property
    def opted_out(self) -> OptedOut | None:
        """Who asked to be forgotten, as `read_opted_out` tells it; None where nobody has."""
        return read_opted_out(self.place, lambda: self.local.opt_out_key)

    @property
    def raw_root(self) -> Path | None:
        """The folder of raw tables, as this machine knows it."""
        return Path(raw) if (raw := self.local.raw_root) is not None else None

    @property
    def project(self) -> Project:
        """The files that its stages are made of: the project's that the last ingest was given, and tawt's.

        Where that project is gone, the current folder may be the place where it is now.

        Raises:
            ConfigError: The project is neither where it was nor here.
        """
        folder, source = self.local.project, self.pipeline.source
        if folder is None and not self.local_lost and (self.given_local or Project().brings(source)):
            return Project()
        if folder is not None and is_project(Path(folder)):
            return Project.at(Path(folder))
        if (here := Project.here()).has(source):
            return here
        if folder is None:
            what = f"is damaged or gone, expected where the project of `{source}` is"
            raise ConfigError(str(self.root / LOCAL), what, self.ingest_again)
        place = real(self.root)
        again = command("ingest", self.raw_root or "RAW_DIR", pipeline=place / PIPELINE, workspace=place)
        raise ConfigError(
            str(self.root), f"was made with the project {folder}, which is not there, expected it with its `sql/`",
            f"put it back; or go to the folder where it is now: commands find it there, and `{again}` remembers it",
        )  # fmt: skip

    def output(self, stage: str) -> Path:
        """Return the folder that a stage's files lie in."""
        return home_of(self.root, stage) / folder_of(stage)

    def manifest(self, stage: str) -> Path:
        """Return the path of a stage's manifest."""
        return manifest_path(self.root, stage)

    def quarantine(self, stage: str) -> Path:
        """Return the path of a stage's quarantined records."""
        return home_of(self.root, stage) / beside(stage)[0]

    def start(self, stage: str, key: str | None) -> Path:
        """Return the folder to write a stage in, and remove those of other runs of it: what a killed one finished of it
        is kept where it is of the same `key`, of what it is made from."""
        shared = key is None and self.is_shared  # others may be at work on it
        folder = self.aside / (f"{stage}-{self.spill.name if shared else key}" if shared or key is not None else stage)
        if not shared:
            self.forget_aside(stage, kept=folder if key is not None else None)
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def forget_aside(self, stage: str, kept: Path | None = None) -> None:
        """Remove what killed runs of a stage left aside."""
        for left in (self.aside / stage, *self.aside.glob(f"{stage}-*")):
            if kept is None or not left.name.startswith(kept.name):
                remove(left)


def given_pipeline(name_or_file: str, settings: tuple[str, ...] = ()) -> tuple[PipelineConfig, Project]:
    """Return a pipeline, by its name or file, and the project that it belongs to: that of a workspace, if it is one's.

    Raises:
        ConfigError: There is no such pipeline or file, or it is wrong.
    """
    path = Path(name_or_file).expanduser()
    project = Project.of(name_or_file)
    if path.name == PIPELINE and is_workspace(path.parent):
        own = open_workspace(path.parent)
        try:
            project = own.project
        except FileError:  # what it remembers is damaged: the current folder is asked, as for a name
            if not project.has(own.pipeline.source) and not project.brings(own.pipeline.source):
                raise
    return resolve_pipeline(name_or_file, settings, project), project


def given_workspace(
    root: Path, pipeline: PipelineConfig, raw_root: Path, sample: str | None, project: Project | None = None
) -> Workspace:
    """Return a workspace, new or old, as an ingest will make it; nothing is written."""
    folder = project.root if project is not None else None
    local = Local(raw_root=str(real(raw_root)), project=str(folder) if folder is not None else None)
    with suppress(FileError):  # what was seen spares reading the raw files again, no more
        seen = Workspace(root, pipeline).local
        there = {"files": seen.files, "tables": seen.tables} if seen.raw_root == local.raw_root else {}
        local = local.model_copy(update={**there, **{key: getattr(seen, key) for key in _KEPT}})
    asked = Ingested(sample=sample)
    with suppress(FileError):
        asked = asked.model_copy(update={"settings": Workspace(root, pipeline).ingested.settings})
    return Workspace(root, pipeline, local, asked, given_pipeline=True)


def write_records(workspace: Workspace) -> None:
    """Write down what is given of a workspace that is held, where it is another than what is there.

    That is its pipeline, the last line of which is a remark with the hash of the rest, where the raw tables are, and
    what an ingest was asked for and found.
    """
    texts = {}
    if workspace.given_pipeline:  # first: it is what tells the folder from somebody else's
        texts[PIPELINE] = filled(f"{dump(workspace.pipeline)}# {BLANK}\n")
    for name, record in ((LOCAL, workspace.given_local), (INGEST, workspace.given_ingested)):
        if record is not None:
            texts[name] = sealed(record.model_dump(mode="json"))
    for name, text in texts.items():
        path = workspace.root / name
        if not path.is_file() or path.read_bytes() != text.encode():
            if name != LOCAL:  # which the ledger does not hang on
                forget_ledger(workspace.root)
            with whole(path) as aside:
                if name == LOCAL:  # it holds the key of the map of subjects
                    keep_private(aside, path)
                aside.write_text(text, encoding="utf-8")
    if workspace.given_basis is not None:
        write_basis(workspace.root, workspace.given_basis)


def forget_ledger(root: Path) -> None:
    """Remove the ledger before anything that it was counted from changes: it is written anew in the end."""
    if (root / LEDGER).exists():
        remove(root / LEDGER)
        sync(root)


def open_workspace(root: Path, settings: tuple[str, ...] = ()) -> Workspace:
    """Open a workspace that `tawt ingest` made, with overrides laid on its pipeline.

    Raises:
        ConfigError: There is none, or its pipeline or an override is wrong.
    """
    if (origin := origin_of(root)) is not None:
        return Workspace(root, open_workspace(origin).pipeline)
    if not (path := root / PIPELINE).is_file():
        hold_workspace(root)
        if (root / "dataset" / DATASET).is_file():
            raise ConfigError(
                str(root), "holds what a training needs alone (it has no pipeline.yaml), expected a whole workspace",
                f"`{command('pretrain', workspace=root)}`, `embed`, `plot` and `compare` work here; all else works "
                "where the dataset was made",
            )  # fmt: skip
        raise ConfigError(
            str(root), "is no workspace (it has no pipeline.yaml), expected a folder that `tawt ingest` made",
            command("ingest", "RAW_DIR", pipeline="NAME", workspace=root),
        )  # fmt: skip
    data, places = read_yaml(path)
    opened = Workspace(root, build(PipelineConfig, merge(data, overrides(settings)), str(path), places, settings))
    if not settings:
        return opened
    asked = opened.ingested.model_copy(update={"settings": laid_on(opened.ingested.settings, settings)})
    return replace(opened, given_ingested=asked, given_pipeline=True)
