"""A sweep: the same config with several groups of settings, each with several seeds."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import Field, field_validator, model_validator

from tawt.config.base import Conflict, Section

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
            raise Conflict("there is none: name at least one", "arms")
        for name in self.arms:
            if not _NAME.match(name):
                said = f"{name!r} is no name: letters, digits, `.`, `-` and `_` make a folder's"
                raise Conflict(said, "arms")
        if len(set(self.seeds)) < len(self.seeds):
            raise Conflict("one stands there twice", "seeds")
        for key, settings in (("settings", self.settings), *((f"arms.{name}", arm) for name, arm in self.arms.items())):
            if any(setting.partition("=")[0].strip() == "train.seed" for setting in settings):
                raise Conflict("train.seed is set by `seeds`: take it out", key)
        return self


class SweepRecord(Section):
    """What `sweep.json` says of a sweep that ran."""

    vocabulary: str = ""
    """Hash of the vocabulary of all runs."""
    dataset: str = ""
    """Hash of the splits that all runs read."""
    arms: dict[str, dict[str, Any]] = {}
    """Arm -> its config, flat."""
    seeds: tuple[int, ...] = ()
    runs: tuple[dict[str, Any], ...] = ()
    table: tuple[dict[str, Any], ...] = ()

    @field_validator("arms")
    @classmethod
    def _tell_their_steps(cls, arms: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
        if not all(isinstance(arm.get("train.max_steps"), int) for arm in arms.values()):
            raise ValueError("have no train.max_steps")
        return arms
