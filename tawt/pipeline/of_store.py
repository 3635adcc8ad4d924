"""What the folder of a machine remembers of the store that its workspace is in."""

from __future__ import annotations

from pathlib import Path

from tawt.config.base import Section
from tawt.contracts.workspace import is_workspace
from tawt.errors import ConfigError
from tawt.files import write_sealed
from tawt.pipeline.workspace import STORED
from tawt.readers import read_record
from tawt.shell import command


class Where(Section):
    """Which store a workspace is made in."""

    url: str


def mark_stored(root: Path, url: str) -> None:
    """Write down which store the workspace of a folder is in."""
    write_sealed(root / STORED, Where(url=url).model_dump())


def hold_own(root: Path, url: str) -> None:
    """Refuse a folder that is no copy of the workspace in a store: what is in it would be replaced.

    Raises:
        ConfigError: It is a workspace of its own, or of another store.
    """
    if (root / STORED).is_file():
        if read_record(root / STORED, Where, sealed=True).url == url:
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
