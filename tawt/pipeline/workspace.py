"""The one handle: a folder with the resolved pipeline, every stage's files, the shards and the runs."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tawt.config.data import PipelineConfig
from tawt.config.load import build, dump, load, merge, overrides, read_yaml
from tawt.errors import ConfigError, nearest
from tawt.files import ASIDE, alone, read_json, write_json, write_text
from tawt.resources import asset

LOCAL = "local.json"
"""Where the raw root is, for this machine only; not part of any artefact."""
INGEST = "ingest.json"
"""What the last ingest was asked for and found."""


@dataclass(frozen=True)
class Workspace:
    """A workspace and its pipeline."""

    root: Path
    pipeline: PipelineConfig
    given_raw_root: Path | None = None
    """Instead of the one written down; a dry run has written nothing."""
    given_options: dict[str, Any] | None = None

    @property
    def aside(self) -> Path:
        """Where files are written before they are published."""
        return self.root / ASIDE

    @property
    def spill(self) -> Path:
        """Where the engine puts what does not fit in memory; it makes this folder, one level deep, when it needs it."""
        return self.root / ".spill"

    @property
    def raw_root(self) -> Path | None:
        """The folder of raw tables, as this machine knows it."""
        if self.given_raw_root is not None:
            return self.given_raw_root
        local = read_json(self.root / LOCAL)
        return Path(local["raw_root"]) if local and "raw_root" in local else None

    @property
    def sample(self) -> str | None:
        """The sample asked for at ingest, `N` or `P%`; None = everything."""
        return self.ingest_options.get("sample")

    @property
    def ingest_options(self) -> dict[str, Any]:
        """What `tawt ingest` was asked for."""
        if self.given_options is not None:
            return self.given_options
        return read_json(self.root / INGEST) or {}

    def output(self, stage: str) -> Path:
        """Return the folder that a stage's files lie in."""
        layer, _, name = stage.partition(".")
        folder = "labels" if layer == "tasks" else layer
        return self.root / folder / name if name else self.root / folder

    def manifest(self, stage: str) -> Path:
        """Return the path of a stage's manifest."""
        return self.root / "manifests" / f"{stage}.json"

    def quarantine(self, stage: str) -> Path:
        """Return the path of a stage's quarantined records."""
        return self.root / "quarantine" / f"{stage}.parquet"

    @contextmanager
    def alone(self, dry_run: bool = False) -> Iterator[None]:
        """Keep other data commands out of the workspace.

        Raises:
            ConfigError: Another command is at work in it.
        """
        with ExitStack() as held:
            if not dry_run:
                try:
                    held.enter_context(alone(self.root / ".lock"))
                except BlockingIOError:
                    raise ConfigError(
                        str(self.root),
                        "is in use by another tawt command, expected to be alone in it",
                        "wait for it to end, or work in another workspace",
                    ) from None
            yield

    def start_clean(self, stage: str) -> Path:
        """Return an empty folder to write a stage in, free of what a killed run left."""
        folder = self.aside / stage
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        return folder


def resolve_pipeline(name_or_file: str, settings: tuple[str, ...] = ()) -> PipelineConfig:
    """Return the pipeline of that name (one that comes with tawt) or of that YAML file.

    Raises:
        ConfigError: There is no such pipeline or file, or it is wrong.
    """
    path = Path(name_or_file).expanduser()
    if path.suffix not in (".yaml", ".yml"):
        folder = asset("pipelines")
        path = folder / f"{name_or_file}.yaml"
        known = sorted(p.stem for p in folder.glob("*.yaml") if "source" in read_yaml(p)[0])
        if name_or_file not in known:
            raise ConfigError(
                f"--pipeline {name_or_file}",
                "is no pipeline, expected a name or a .yaml file",
                nearest(name_or_file, known),
            )
    return load(PipelineConfig, path, settings)


def create_workspace(
    root: Path, pipeline: PipelineConfig, raw_root: Path, options: dict[str, Any], dry_run: bool = False
) -> Workspace:
    """Write the pipeline and the raw root into a workspace, new or old; stages notice what changed.

    A dry run writes nothing and hands back a workspace that knows the same.

    Raises:
        ConfigError: The root is a file.
    """
    if root.exists() and not root.is_dir():
        raise ConfigError(str(root), "is a file, expected a folder for the workspace", "give another with -w")
    raw_root = raw_root.resolve()
    if dry_run:
        return Workspace(root, pipeline, raw_root, options)
    root.mkdir(parents=True, exist_ok=True)
    write_text(root / "pipeline.yaml", dump(pipeline))
    write_json(root / LOCAL, {**(read_json(root / LOCAL) or {}), "raw_root": str(raw_root)})
    write_json(root / INGEST, options)
    return Workspace(root, pipeline)


def open_workspace(root: Path, settings: tuple[str, ...] = (), keep: bool = False) -> Workspace:
    """Open a workspace that `tawt ingest` made; `keep` writes the overrides into its pipeline.

    Raises:
        ConfigError: There is none.
    """
    path = root / "pipeline.yaml"
    if not path.is_file():
        raise ConfigError(
            str(root),
            "is no workspace (it has no pipeline.yaml), expected a folder that `tawt ingest` made",
            f"tawt ingest RAW_DIR --pipeline NAME -w {root}",
        )
    data, lines = read_yaml(path)
    pipeline = build(PipelineConfig, merge(data, overrides(settings)), str(path), lines, settings)
    if settings and keep:
        write_text(path, dump(pipeline))
    return Workspace(root, pipeline)
