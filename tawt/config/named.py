"""A training config by its name, by its file, or as it is."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from tawt.config.load import build, load, merge, overrides
from tawt.config.train import PretrainConfig
from tawt.errors import ConfigError, nearest
from tawt.project import asset, asset_root


def resolve_config(config: str | Path | PretrainConfig, settings: Sequence[str]) -> tuple[str, PretrainConfig]:
    """Return a config's name and its tree with the overrides laid on.

    Raises:
        ConfigError: There is no such config, or it does not hold.
    """
    if isinstance(config, PretrainConfig):
        tree = merge(config.model_dump(), overrides(settings))
        return "pretrain", build(PretrainConfig, tree, "config", settings=settings)
    if not isinstance(config, str | os.PathLike):
        raise ConfigError("config", f"is a {type(config).__name__}, expected a name, a file or a PretrainConfig",
                          "give single keys as `settings`, as `train.max_steps=80`")  # fmt: skip
    path = Path(config)
    if path.suffix not in (".yaml", ".yml"):
        shipped = asset_root() / "pipelines" / f"{config}.yaml"
        known = [file.stem for file in asset("pipelines").glob("pretrain*.yaml")]
        if str(config) not in known:
            raise ConfigError(
                f"--config {config}", "is no config, expected a name or a .yaml file", nearest(str(config), known)
            )
        path = shipped
    name = path.resolve().parent.name if path.stem == "config" else path.stem
    return name, load(PretrainConfig, path, settings)
