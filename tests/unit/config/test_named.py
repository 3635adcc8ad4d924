"""Which config a run gets: one that comes with tawt, a file, or a tree, with overrides laid on it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tawt.config.load import dump
from tawt.config.named import resolve_config, resolve_pipeline
from tawt.config.train import PretrainConfig, TrainConfig
from tawt.errors import ConfigError


def test_overrides_win_over_each_kind_of_config(tmp_path: Path) -> None:
    """A name, a file and a tree give the same config but for their own values, which an override changes, and its name."""
    tree = PretrainConfig(train=TrainConfig(max_steps=7, seed=3))
    (tmp_path / "mine.yaml").write_text(dump(tree))
    for given, name in ((tree, "pretrain"), (str(tmp_path / "mine.yaml"), "mine"), (tmp_path / "mine.yaml", "mine")):
        assert resolve_config(given, ()) == (name, tree)
        named, changed = resolve_config(given, ("train.max_steps=9", "model.n_layers=2"))
        assert named == name and (changed.train.max_steps, changed.train.seed, changed.model.n_layers) == (9, 3, 2)
        assert changed.model_copy(update={"train": tree.train, "model": tree.model}) == tree
    name, small = resolve_config("pretrain_small", ("train.max_steps=9",))
    assert name == "pretrain_small" and small.train.max_steps == 9
    assert small.train.model_copy(update={"max_steps": 0}) == resolve_config("pretrain_small", ())[1].train.model_copy(
        update={"max_steps": 0}
    )


@pytest.mark.parametrize("given", [PretrainConfig(), "pretrain_small"])
def test_a_wrong_override_is_named(given: PretrainConfig | str) -> None:
    """Whatever it is laid on, the override is the place of the error."""
    with pytest.raises(ConfigError) as caught:
        resolve_config(given, ("train.max_step=9",))
    assert caught.value.where == "--set train.max_step" and "max_steps" in caught.value.hint


def test_a_name_that_is_no_config_brings_the_nearest() -> None:
    """Pipelines are none."""
    for name, hint in (("pretrain_smal", "pretrain_small"), ("mimic_iv", "pretrain")):
        with pytest.raises(ConfigError, match="is no config") as caught:
            resolve_config(name, ())
        assert hint in caught.value.hint


def test_where_a_pipeline_is_looked_for_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that is none here may be one in another folder."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match="`pipelines/` of the current folder, which has none, and among those"):
        resolve_pipeline("mimic_iii")
    (tmp_path / "pipelines").mkdir()
    with pytest.raises(ConfigError, match=f"looked for in {tmp_path}/pipelines and among those"):
        resolve_pipeline("mimic_iii")


def test_a_config_of_the_current_folder_comes_before_those_of_tawt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By its name, below `pipelines/`, as a pipeline is; what is a pipeline is no config."""
    (tmp_path / "pipelines").mkdir()
    for name in ("mine", "pretrain_small"):
        (tmp_path / "pipelines" / f"{name}.yaml").write_text("train: {max_steps: 7}\n")
    (tmp_path / "pipelines" / "clinic.yaml").write_text("extends: mimic_iv\n")
    monkeypatch.chdir(tmp_path)
    for name in ("mine", "pretrain_small"):
        assert resolve_config(name, ())[0] == name and resolve_config(name, ())[1].train.max_steps == 7
    with pytest.raises(ConfigError, match="--config clinic: is no config") as caught:
        resolve_config("clinic", ())
    assert "mine" in caught.value.hint


def test_what_is_no_config_and_a_lone_override_are_told_apart() -> None:
    """A mapping is refused by its type; one override by itself is one, and not its letters."""
    with pytest.raises(ConfigError, match="is a dict, expected a name, a file or a PretrainConfig"):
        resolve_config({"train": {"max_steps": 2}}, ())  # type: ignore[arg-type]
    assert resolve_config("pretrain_small", "train.max_steps=9")[1].train.max_steps == 9
