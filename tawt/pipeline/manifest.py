"""What a stage was made from and what became of its records: one JSON per stage, and the reason to run it again."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pydantic import Field, model_validator

from tawt.config.base import Section
from tawt.contracts.account import Account, Count, Places
from tawt.contracts.layers import STAGE
from tawt.contracts.meds import CARD, CROISSANT
from tawt.contracts.subjects import KEY_MARK
from tawt.contracts.workspace import home_of
from tawt.errors import FileError
from tawt.files import digest
from tawt.machine import NOT_INSTALLED, version_of
from tawt.pipeline.keys import SAMPLED, UNKNOWN, changes
from tawt.pipeline.workspace import Workspace, beside, folder_of
from tawt.places import Below, is_under
from tawt.readers import read_record
from tawt.seals import holds
from tawt.shell import command


def make_again(root: Path, stage: str) -> str:
    """Return the hint for a damaged file of a stage."""
    return f"make it again with `{command('run', stage, workspace=root, force=True)}`"


class Components(Section):
    """What a stage was made from."""

    keys: dict[str, Any] = {}
    """What it hangs on besides its inputs -> what was behind it, as `tawt.pipeline.keys` tells it."""
    inputs: dict[str, str] = {}
    """Input -> what it is known by: the hash of what a stage gave, or of a raw table."""
    versions: dict[str, str] = {}

    @property
    def unknown(self) -> bool:
        """Whether one of its inputs is to be made again first."""
        return UNKNOWN in (*self.inputs.values(), self.keys.get(SAMPLED))


class Manifest(Section):
    """One finished stage."""

    stage: str = Field(pattern=f"^({STAGE})$")
    fingerprint: str
    components: Components
    """What the fingerprint is made of, so that a change can be named."""
    files: dict[Below, Count]
    """File below the workspace -> bytes: the stage's output, its quarantine, and what its shards were made of."""
    hashes: dict[Below, str]
    """File below the workspace -> SHA-256; only `tawt check` reads the files again to compare."""
    let_go: dict[Below, Count] = {}
    """Files whose hashes are listed and that are not there any more, as `keep: last` says -> bytes."""
    accounts: tuple[Account, ...]
    seconds: float
    sql: str | None = None
    """The select that made it; None of a stage that is code."""
    macros: dict[str, str] = {}
    """The macros that the select hung on, as they were."""
    notes: tuple[str, ...] = ()
    """What the user was told."""
    facts: dict[str, Count | dict[str, Count]] = {}
    """Counts that later stages or reports need."""
    places: Places = Places()
    """Where the records behind it stand."""

    @model_validator(mode="after")
    def _lists_its_own(self) -> Manifest:
        others = [
            name
            for name in {*self.files, *self.hashes, *self.let_go}
            if name not in beside(self.stage) and not is_under(name, [folder_of(self.stage)])
        ]
        if others:
            raise ValueError("lists files that are none of its stage")
        if "." in self.stage and len(self.accounts) != 1:
            raise ValueError("has not the one account of a stage of SQL")
        return self

    @property
    def content(self) -> str:
        """What the output is known by: its bytes, and the places of the records behind it. Other bytes are another, but
        for what only tells of it.

        Behind it stands the mark of the key, where numbers of subjects hang on one: what reads them tells it too.
        """
        others = {*beside(self.stage), *(f"{folder_of(self.stage)}/{name}" for name in (CARD, CROISSANT))}
        mine = {name: sha256 for name, sha256 in self.hashes.items() if name not in others}
        known = digest([mine, self.places.model_dump()])
        return f"{known}-{self.facts[KEY_MARK]}" if KEY_MARK in self.facts else known

    @property
    def hashes_here(self) -> dict[str, str]:
        """The same of files that were not let go."""
        return {name: self.hashes[name] for name in self.files}

    @property
    def state(self) -> str:
        """What tells it from the stage made of anything else, or with another outcome."""
        return digest([self.fingerprint, self.hashes, [account.model_dump(mode="json") for account in self.accounts]])

    @property
    def n_rows(self) -> int:
        """Rows that it wrote."""
        return sum(account.n_rows_out for account in self.accounts)


def versions() -> dict[str, str]:
    """Return the versions that the bytes depend on."""
    return {name: version_of(name) for name in ("tawt", "duckdb", "pyarrow", "polars")}


def about_versions(root: Path, manifests: Iterable[Manifest | None]) -> list[str]:
    """Return what is to be said of finished stages, in the order of the flow, that another version of what their bytes
    depend on made: whoever only reads them goes on, and a run makes them anew.

    Args:
        root: The workspace.
        manifests: Of its stages; None = not finished.
    """
    here = versions()
    other: dict[str, list[str]] = {}
    for one in manifests:
        before = one.components.versions if one is not None else {}
        named = [(name, was, here.get(name, was)) for name, was in sorted(before.items())]
        found = [f"{name} {was}, and {now} is here" for name, was, now in named if now not in (was, NOT_INSTALLED)]
        other |= {one.stage: found} if one is not None and found else {}
    if not other:
        return []
    last, more = list(other)[-1], f" and {len(other) - 1} more" if len(other) > 1 else ""
    again = command("run", f"+{last}", workspace=root)
    return [f"{last}{more} made by {', '.join(other[last])}: `{again}` makes it anew"]


def manifest_at(path: Path, stage: str | None = None) -> Manifest | None:
    """Return what a manifest says; None where there is none, it is damaged, or it speaks of another stage's files.

    Args:
        path: The file.
        stage: What it must speak of; None = the stage that the file is named like.

    Raises:
        FileError: It may not be read, which says nothing of the stage.
    """
    try:
        whole = stat.S_ISREG(path.stat().st_mode) and holds(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        what = f"cannot be read ({os.strerror(error.errno or errno.EIO)}), expected what a stage wrote"
        raise FileError(str(path), what, "give the right to read it, or run as its owner") from None
    try:
        manifest = read_record(path, Manifest) if whole else None
    except FileError:
        return None
    return manifest if manifest is not None and manifest.stage == (stage or path.stem) else None


def read_manifest(workspace: Workspace, stage: str) -> Manifest | None:
    """Return a stage's manifest if the stage is finished, its manifest whole and its files there in full size."""
    return _look(workspace, stage)[0]


def read_here(workspace: Workspace, stage: str) -> Manifest | None:
    """Return the same if its rows are there too: it was not let go."""
    manifest = read_manifest(workspace, stage)
    return manifest if manifest is not None and not manifest.let_go else None


def torn_files(workspace: Workspace, stage: str) -> tuple[str, ...]:
    """Return what makes a stage that was finished stand for nothing: its manifest, or files that it lists."""
    return _look(workspace, stage)[1]


def unfinished(workspace: Workspace, stage: str) -> str:
    """Return in words why a stage cannot be read: it was not made yet, or let go, or a file of it is damaged."""
    manifest, torn = _look(workspace, stage)
    if manifest is not None:
        return "was let go (`keep: last`)"
    return f"is damaged ({torn[0]})" if torn else "is not made yet"


def _look(workspace: Workspace, stage: str) -> tuple[Manifest | None, tuple[str, ...]]:
    path = workspace.manifest(stage)
    manifest = manifest_at(path)
    if manifest is None:
        home = home_of(workspace.root, stage)
        return None, (path.relative_to(home).as_posix(),) if os.path.lexists(path) else ()
    places = {name: home_of(workspace.root, stage) / name for name in manifest.files}
    torn = [n for n, file in places.items() if not file.is_file() or file.stat().st_size != manifest.files[n]]
    return (None, tuple(torn)) if torn else (manifest, ())


def made_meanwhile(workspace: Workspace, stage: str, components: Components) -> Manifest | None:
    """Return a stage that another process has published while this one makes it of the same; None where none has."""
    manifest = read_here(workspace, stage) if workspace.is_shared else None
    return manifest if manifest is not None and reason_to_run(manifest, components, False) is None else None


def reason_to_run(manifest: Manifest | None, components: Components, forced: bool) -> str | None:
    """Return why a stage must run, or None if it is up to date.

    Args:
        manifest: Of what is there of it; None = it is not finished.
        components: What it would be made from.
        forced: Whether it runs in any case.
    """
    if forced:
        return "forced"
    if manifest is None:
        return "new"
    old, new = manifest.components, components
    if old.versions != new.versions:
        return "version changed"
    own = [str(one) for one in changes(old.keys, new.keys)]
    before, after = old.inputs, new.inputs
    changed = sorted(name for name in {*before, *after} if before.get(name) != after.get(name))
    inputs = [f"input changed: {', '.join(changed[:3])}" + (" ..." if len(changed) > 3 else "")] if changed else []
    return ", ".join(own[:3] or inputs) or None
