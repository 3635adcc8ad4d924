"""What the folder of a machine remembers of the store that its workspace is in: which it is, and what both had alike.

By that it is known who went on: what is as it was then may be replaced by what is there, or here, now.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from tawt.config.base import Section
from tawt.contracts.workspace import is_workspace
from tawt.errors import ConfigError
from tawt.files import write_sealed
from tawt.pipeline.manifest import Manifest
from tawt.pipeline.workspace import STORED
from tawt.readers import read_record
from tawt.shell import command


class Where(Section):
    """Which store a workspace is made in."""

    url: str
    alike: dict[str, str] = {}
    """Stage -> the state in which it was last the same here and there."""


def mark_stored(root: Path, url: str) -> None:
    """Write down which store the workspace of a folder is in."""
    if _where(root).url != url:
        write_sealed(root / STORED, Where(url=url).model_dump())


def remember_alike(root: Path, manifests: Iterable[Manifest]) -> None:
    """Write down that stages are the same here and in the store."""
    before = _where(root)
    after = before.model_copy(update={"alike": before.alike | {one.stage: one.state for one in manifests}})
    if after != before:
        write_sealed(root / STORED, after.model_dump())


def went_on(root: Path, mine: Mapping[str, Manifest], others: Iterable[Manifest]) -> list[str]:
    """Return the stages of others that are not as they are in mine, nor as they were when both were last the same."""
    alike = _where(root).alike
    known = {name: {manifest.state, alike.get(name)} for name, manifest in mine.items()}
    return [one.stage for one in others if one.state not in known.get(one.stage, {one.state})]


def refuse_undoing(where: str, what: str, stages: list[str], hint: str) -> None:
    """Refuse to put what is older in the place of stages.

    Raises:
        ConfigError: There are such.
    """
    if stages:
        more = f" and {len(stages) - 1} more" if stages[1:] else ""
        raise ConfigError(where, f"holds {stages[0]}{more} {what}, expected nothing that would be undone", hint)


def _where(root: Path) -> Where:
    return read_record(root / STORED, Where, absent=Where(url=""), sealed=True)


def hold_own(root: Path, url: str) -> None:
    """Refuse a folder that is no copy of the workspace in a store: what is in it would be replaced.

    Raises:
        ConfigError: It is a workspace of its own, or of another store.
    """
    if (root / STORED).is_file():
        if _where(root).url == url:
            return
        what = "holds a workspace of another store"
    elif is_workspace(root):
        what = "holds a workspace that is in no store"
    else:
        return
    raise ConfigError(
        str(root), f"{what}, expected a folder of this machine for the one of {url}",
        f"give a new folder with -w; `{command('push', url, workspace=root)}` puts the one that is here there",
    )  # fmt: skip
