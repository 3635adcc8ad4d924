"""Every number in a config has an upper bound: what no machine could do is an error of the config, not of memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, get_args

import pytest
from pydantic import BaseModel, ValidationError

from tawt.config.load import build, load, merge, overrides
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


@pytest.mark.parametrize(
    ("settings", "keys"),
    [
        (["model.n_layers=2", "model.d_model=97", "train.lr=0.1"], ["model.d_model"]),
        (["model.d_model=97", "model.n_heads=3"], ["model.d_model", "model.n_heads"]),
        (["batching.max_length=99999", "batching.window=last"], ["batching.max_length"]),
        (["objective.masked.event=0.9", "objective.masked.value=0.9"],
         ["objective.masked.event", "objective.masked.value"]),
        (["train.final=best", "train.seed=3"], ["train.final"]),
        (["objective.masked.weight=0", "model.n_layers=1"], ["objective.masked.weight"]),
    ],
)  # fmt: skip
def test_an_error_over_several_keys_names_those_it_compared(settings, keys):
    """Of several overrides, those that do not fit together are named, and no other."""
    with pytest.raises(ConfigError) as error:
        build(PretrainConfig, merge({}, overrides(settings)), "config", settings=settings)
    assert error.value.where == " ".join(f"--set {key}" for key in keys)
    assert all(f"`{key}`" in error.value.what for key in keys)


def test_an_error_over_several_keys_of_a_file_names_the_line(tmp_path):
    """Without overrides, the line of the first key that was compared is told."""
    (tmp_path / "c.yaml").write_text("model:\n  n_layers: 1\n  d_model: 97\n  n_heads: 4\n")
    with pytest.raises(ConfigError, match=r"c\.yaml:3: `model\.d_model` and `model\.n_heads`: d_model 97"):
        load(PretrainConfig, tmp_path / "c.yaml")
