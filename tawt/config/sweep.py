"""A sweep: the same config with several groups of settings, each with several seeds."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import Field, model_validator

from tawt.config.base import Section

_NAME = re.compile(r"^\w[\w.-]*$")


class SweepConfig(Section):
    """Arms times seeds, run in turn."""

    config: str = "pretrain_small"
    """Name of a config that comes with tawt, or a YAML file, relative to the sweep's own."""
    settings: tuple[str, ...] = ()
    """Overrides of every arm, as `train.max_steps=500`."""
    arms: dict[str, tuple[str, ...]] = {}
    """Name of an arm -> its overrides, laid on the common ones. The first arm is the one that others are compared
    with."""
    seeds: tuple[Annotated[int, Field(ge=0, lt=2**63)], ...] = Field((0, 1, 2), min_length=1, max_length=10_000)
    """Seeds of each arm. One seed decides weights, batches and masks alike, so arms are compared seed by seed."""

    @model_validator(mode="after")
    def _fits(self) -> SweepConfig:
        if not self.arms:
            raise ValueError("arms is empty: name at least one")
        for name in self.arms:
            if not _NAME.match(name):
                raise ValueError(f"arms has the name {name!r}: letters, digits, `.`, `-` and `_` make a folder's name")
        if len(set(self.seeds)) < len(self.seeds):
            raise ValueError("seeds has one twice")
        for setting in (*self.settings, *(s for arm in self.arms.values() for s in arm)):
            if setting.partition("=")[0].strip() == "train.seed":
                raise ValueError("train.seed is set by `seeds`: take it out of the settings")
        return self
