"""What a stage was made from and what became of its records: one JSON per stage, and the reason to run it again."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import duckdb
import polars
import pyarrow
from pydantic import Field, model_validator

from tawt.commands import command
from tawt.config.base import Section
from tawt.errors import StageError, TawtError
from tawt.files import digest, write_sealed
from tawt.machine import version_of
from tawt.pipeline.workspace import Workspace, folder_of, quarantine_of
from tawt.places import Below, is_under
from tawt.readers import read_record
from tawt.seals import holds


def make_again(workspace: Workspace, stage: str) -> str:
    """Return the hint for a damaged file of a stage."""
    return f"make it again with `{command('run', stage, workspace=workspace.root, force=True)}`"


class Route(Section):
    """Records that left a stage for one reason."""

    kind: str
    """`drop` or `quarantine`."""
    reason: str
    """`<rule>` or `<column>:<reason>`."""
    n_records: int


class Account(Section):
    """The balance of a stage, counted from its files: in = kept + dropped + quarantined (+ nothing else)."""

    driving: str
    """The input whose records are counted."""
    n_records_in: int
    n_records_kept: int
    n_rows_out: int
    """Rows written; more than the records kept where a record gives several."""
    routes: tuple[Route, ...] = ()
    n_rows_added: dict[str, int] = {}
    """Rows that no record stands behind, by the rule that added them (`not_measured`)."""

    def count(self, kind: str) -> int:
        """Return the records that went one way."""
        return sum(route.n_records for route in self.routes if route.kind == kind)

    def check(self, stage: str) -> None:
        """Hold the balance.

        Raises:
            StageError: Records came in and are nowhere.
        """
        lost = self.n_records_in - self.n_records_kept - self.count("drop") - self.count("quarantine")
        if lost:
            raise StageError(
                stage,
                f"{abs(lost):,} of {self.n_records_in:,} records of {self.driving} "
                + ("have neither an output row nor a _reason" if lost > 0 else "are counted twice")
                + ", expected each once",
                "keep the record, or give it `drop:<rule>` or `quarantine:<column>:<reason>` as _reason",
            )


_STAGE = r"^((staging|codes|event_parts|tasks)\.[^./\\][^/\\]*|events|vocabulary|triplets|dataset)$"


class Manifest(Section):
    """One finished stage."""

    stage: str = Field(pattern=_STAGE)
    fingerprint: str
    components: dict[str, Any]
    """What the fingerprint is made of, so that a change can be named."""
    files: dict[Below, int]
    """File below the workspace -> bytes: the stage's output and its quarantine."""
    hashes: dict[Below, str]
    """File below the workspace -> SHA-256; only `tawt check` reads the files again to compare."""
    accounts: tuple[Account, ...]
    seconds: float
    notes: tuple[str, ...] = ()
    """What the user was told."""
    facts: dict[str, Any] = {}
    """Counts that later stages or reports need."""

    @model_validator(mode="after")
    def _lists_its_own(self) -> Manifest:
        others = [
            name
            for name in {*self.files, *self.hashes}
            if name != quarantine_of(self.stage) and not is_under(name, [folder_of(self.stage)])
        ]
        if others:
            raise ValueError("lists files that are none of its stage")
        return self


def versions() -> dict[str, str]:
    """Return the versions that the bytes depend on."""
    return {
        "tawt": version_of("tawt"),
        "duckdb": duckdb.__version__,
        "pyarrow": pyarrow.__version__,
        "polars": polars.__version__,
    }


def fingerprint(components: dict[str, Any]) -> str:
    """Return the hash of everything that a stage is made from."""
    return digest(components)


def manifest_at(path: Path) -> Manifest | None:
    """Return what a manifest says; None where there is none, it is damaged, or it speaks of another stage's files."""
    try:
        manifest = read_record(path, Manifest) if path.is_file() and holds(path) else None
    except (TawtError, OSError):
        return None
    return manifest if manifest is not None and manifest.stage == path.stem else None


def read_manifest(workspace: Workspace, stage: str) -> Manifest | None:
    """Return a stage's manifest if the stage is finished, its manifest whole and its files there in full size."""
    return _look(workspace, stage)[0]


def torn_files(workspace: Workspace, stage: str) -> tuple[str, ...]:
    """Return what makes a stage that was finished stand for nothing: its manifest, or files that it lists."""
    return _look(workspace, stage)[1]


def _look(workspace: Workspace, stage: str) -> tuple[Manifest | None, tuple[str, ...]]:
    path = workspace.manifest(stage)
    if not os.path.lexists(path):
        return None, ()
    manifest = manifest_at(path)
    if manifest is None:
        return None, (path.relative_to(workspace.root).as_posix(),)
    places = {name: workspace.root / name for name in manifest.files}
    torn = [n for n, file in places.items() if not file.is_file() or file.stat().st_size != manifest.files[n]]
    return (None, tuple(torn)) if torn else (manifest, ())


def write_manifest(workspace: Workspace, manifest: Manifest) -> None:
    """Write a stage's manifest: the act that makes the stage finished."""
    write_sealed(workspace.manifest(manifest.stage), manifest.model_dump(mode="json"))


def stage_files(workspace: Workspace, stage: str, below: str = "", suffix: str = ".parquet") -> list[Path]:
    """Return the files of a finished stage as its manifest lists them, by name; what else lies there is none of it.

    Args:
        workspace: Where.
        stage: Its name.
        below: Only those in this folder of its output.
        suffix: Only those whose names end so.
    """
    manifest = read_manifest(workspace, stage)
    folder = workspace.output(stage) / below
    paths = [workspace.root / name for name in sorted(manifest.files)] if manifest is not None else []
    return [path for path in paths if path.is_relative_to(folder) and path.name.endswith(suffix)]


def own_changes(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """Return what differs of that which a stage hangs on besides its inputs: `sql`, `parameter NAME`, `contract`."""
    before, after = old.get("parameters", {}), new.get("parameters", {})
    # as hashes: a manifest has lists where a pipeline has tuples
    names = sorted(name for name in {*before, *after} if digest(before.get(name)) != digest(after.get(name)))
    sql, contract = (old.get(key) != new.get(key) for key in ("sql", "contract"))
    return ["sql"] * sql + [f"parameter {name}" for name in names] + ["contract"] * contract


def reason_to_run(workspace: Workspace, stage: str, components: dict[str, Any], forced: bool) -> str | None:
    """Return why a stage must run, or None if it is up to date."""
    if forced:
        return "forced"
    manifest = read_manifest(workspace, stage)
    if manifest is None:
        return "new"
    if manifest.fingerprint == fingerprint(components):
        return None
    old, new = manifest.components, components
    changed_own = own_changes(old, new)
    if changed_own:
        name = changed_own[0].removeprefix("parameter ")
        before, after = (one.get("parameters", {}).get(name) for one in (old, new))
        return f"{changed_own[0]} changed" if name == changed_own[0] else f"{changed_own[0]} {before} -> {after}"
    before, after = old.get("inputs", {}), new.get("inputs", {})
    changed = sorted(name for name in {*before, *after} if before.get(name) != after.get(name))
    if changed:
        return f"input changed: {', '.join(changed[:3])}" + (" ..." if len(changed) > 3 else "")
    return "version changed"
