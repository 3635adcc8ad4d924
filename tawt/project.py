"""Finds `sql/`, `schemas/` and `pipelines/`: beside the package in a checkout, inside it in a wheel."""

from __future__ import annotations

from pathlib import Path

from tawt.errors import ConfigError

_PACKAGE = Path(__file__).resolve().parent


def asset_root() -> Path:
    """Return the folder that holds `sql/`, `schemas/` and `pipelines/`."""
    packaged = _PACKAGE / "_assets"
    return packaged if packaged.is_dir() else _PACKAGE.parent


def asset(relative: str) -> Path:
    """Return the path of a file or folder that comes with tawt, such as `schemas/events.json`.

    Raises:
        ConfigError: It is not there.
    """
    path = asset_root() / relative
    if not path.exists():
        raise ConfigError(relative, "does not come with this tawt, expected it beside the package", "reinstall tawt")
    return path
