"""Every number in a config has an upper bound: what no machine could do is an error of the config, not of memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, get_args

import pytest
from pydantic import BaseModel, ValidationError

from tawt.config.load import build, merge, overrides
from tawt.config.sweep import SweepConfig
from tawt.config.train import PretrainConfig
from tawt.errors import ConfigError


def numbers(tree: type[BaseModel], at: str = "") -> Iterator[tuple[str, Any]]:
    """Keys of numbers in a config tree, and their fields."""
    for name, field in tree.model_fields.items():
        kinds = (field.annotation, *get_args(field.annotation))
        section = next((k for k in kinds if isinstance(k, type) and issubclass(k, BaseModel)), None)
        if section is not None:
            yield from numbers(section, f"{at}{name}.")
        elif int in kinds or float in kinds:
            yield f"{at}{name}", field


KEYS = [key for key, _ in numbers(PretrainConfig)]


def test_the_tree_is_walked():
    """The walk finds numbers of every section, in every depth."""
    assert {"model.d_model", "model.decay.tau_hours", "objective.contrastive.views.jitter", "train.seed"} <= {*KEYS}
    assert len(KEYS) > 80


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("value", ["1e39", "1" + "0" * 39, "-1e39"])
def test_no_number_is_without_bound(key, value):
    """A number of forty digits, above or below, is refused with its key."""
    with pytest.raises(ConfigError, match=key.rpartition(".")[2]):
        build(PretrainConfig, merge({}, overrides([f"{key}={value}"])), "config", settings=[f"{key}={value}"])


def test_a_sweep_has_seeds_that_torch_can_take():
    """A seed beyond 63 bits, or below 0, and ten thousand of them, are refused before any run."""
    for seeds in ((2**63,), (-1,), tuple(range(10_001))):
        with pytest.raises(ValidationError, match="seeds"):
            SweepConfig(arms={"a": ()}, seeds=seeds)
