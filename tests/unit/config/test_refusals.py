"""What a config refuses though each key by itself would do: every rule, from both of its sides."""

from __future__ import annotations

from typing import Any

import pytest

from tawt.config.base import Section
from tawt.config.load import build, merge, overrides
from tawt.config.objective import MASKED
from tawt.config.pipeline import PipelineConfig
from tawt.config.sweep import SweepConfig
from tawt.config.train import PretrainConfig
from tawt.errors import ConfigError

Tree = dict[str, Any]
LAB: Tree = {"name": "lab", "source": "lab"}
ARMS: Tree = {"arms": {"a": ["train.lr=1e-3"]}}
NO_PART: Tree = {f"{part}_weight": 0 for part in MASKED}

RULES: dict[str, tuple[type[Section], Tree, Tree, Tree, str]] = {
    "a negative share": (
        PipelineConfig, LAB,
        {"splits": {"train": 1.2, "tuning": -0.2, "held_out": 0.0}}, {"splits": {"train": 1.0, "tuning": 0, "held_out": 0}}, "splits.train",
    ),
    "another negative share": (
        PipelineConfig, LAB,
        {"splits": {"train": 0.6, "tuning": 0.6, "held_out": -0.2}}, {"splits": {"train": 0.4, "tuning": 0.6, "held_out": 0}}, "splits.held_out",
    ),
    "shares that sum to less": (
        PipelineConfig, LAB,
        {"splits": {"train": 0.7, "tuning": 0.1, "held_out": 0.1}}, {"splits": {"train": 0.7, "tuning": 0.2, "held_out": 0.1}}, "shares",
    ),
    "a range without a number": (
        PipelineConfig, {**LAB, "data_types": {"a": {"low": 5}}},
        {"data_types": {"a": {"high": 4.9}}}, {"data_types": {"a": {"high": 5}}}, "`data_types.a.low` and `data_types.a.high`",
    ),
    "a quote between cells": (PipelineConfig, LAB, {"csv": {"delimiter": '"'}}, {"csv": {"delimiter": '"', "quote": "'"}}, "`csv.delimiter` and `csv.quote`"),
    "a line end between cells": (PipelineConfig, LAB, {"csv": {"delimiter": "\n"}}, {"csv": {"delimiter": "\t"}}, "csv.delimiter"),
    "bins": (PipelineConfig, LAB, {"vocabulary": {"n_bins": 1}}, {"vocabulary": {"n_bins": 2}}, "n_bins"),
    "shards": (PipelineConfig, LAB, {"shards": 0}, {"shards": 1}, "shards"),
    "a window without length": (
        PipelineConfig, LAB,
        {"panels": [{"name": "p", "data_types": ["a"], "window_hours": 0}]},
        {"panels": [{"name": "p", "data_types": ["a"], "window_hours": 0.5}]}, "window_hours",
    ),
    "a quote of two characters": (PipelineConfig, LAB, {"csv": {"quote": "''"}}, {"csv": {"quote": "'"}}, "quote"),
    "an empty delimiter": (PipelineConfig, LAB, {"csv": {"delimiter": ""}}, {"csv": {"delimiter": ";"}}, "delimiter"),
    "an anchor that is no date": (PipelineConfig, LAB, {"anchor": "2001-02-29"}, {"anchor": "2004-02-29"}, "anchor"),
    "heads that do not divide": (PretrainConfig, {}, {"model": {"d_model": 96, "n_heads": 5}}, {"model": {"d_model": 100, "n_heads": 5}}, "n_heads"),
    "more free heads than heads": (
        PretrainConfig, {},
        {"model": {"n_heads": 4, "decay": {"n_free_heads": 5}}}, {"model": {"n_heads": 4, "decay": {"n_free_heads": 4}}}, "n_free_heads",
    ),
    **{
        f"wavelengths of {name}": (
            PretrainConfig, {},
            {"model": {name: {"shortest_hours": 9.0, "longest_hours": 8.0}}},
            {"model": {name: {"shortest_hours": 8.0, "longest_hours": 8.0}}}, f"{name}.longest_hours",
        )
        for name in ("time2vec", "sinusoidal", "rotary", "bucket", "cosine")
    },
    "rotation of less than a pair": (
        PretrainConfig, {"model": {"d_model": 96, "n_heads": 4}},
        {"model": {"rotary": {"fraction": 1.9 / 24}}}, {"model": {"rotary": {"fraction": 2 / 24}}}, "rotary.fraction",
    ),
    "rotation that is not asked for": (
        PretrainConfig, {"model": {"rotary": {"fraction": 0.0}}},
        {"model": {"attention": ["decay", "rotary"]}}, {"model": {"attention": ["decay"]}}, "rotary.fraction",
    ),
    "a time encoding twice": (PretrainConfig, {}, {"model": {"time": ["delta", "delta"]}}, {"model": {"time": ["delta", "time2vec"]}}, "time names"),
    "an attention twice": (PretrainConfig, {}, {"model": {"attention": ["decay", "decay"]}}, {"model": {"attention": ["decay"]}}, "attention names"),
    "more is hidden than there is": (
        PretrainConfig, {},
        {"objective": {"masked": {"value": 0.5, "data_type": 0.25, "event": 0.3125}}},
        {"objective": {"masked": {"value": 0.5, "data_type": 0.25, "event": 0.25}}}, "at most 1",
    ),
    **{
        f"nothing is masked but for {name}": (
            PretrainConfig, {"objective": {"masked": {"value": 0, "data_type": 0, "event": 0}}},
            {"objective": {"masked": {name: 0}}}, {"objective": {"masked": {name: some}}}, "nothing is masked",
        )
        for name, some in (("value", 0.1), ("data_type", 0.1), ("event", 0.1), ("spans", 1), ("variables", 0.1))
    },
    "nothing is masked by an objective that is on": (
        PretrainConfig, {"objective": {"masked": {"value": 0, "data_type": 0, "event": 0}, "forecast": {"weight": 1}}},
        {"objective": {"masked": {"weight": 0.5}}}, {"objective": {"masked": {"weight": 0}}}, "nothing is masked",
    ),
    **{
        f"nothing that is hidden weighs anything, but for {part}": (
            PretrainConfig, {"objective": {"masked": NO_PART | {"variables": 0.1}, "forecast": {"weight": 1}}},
            {"objective": {"masked": {f"{part}_weight": 0}}}, {"objective": {"masked": {f"{part}_weight": 0.1}}}, "nothing that is hidden",
        )
        for part in MASKED
    },
    "what alone weighs something is never hidden": (
        PretrainConfig, {"objective": {"masked": NO_PART | {"value": 0, "data_type": 0.1, "event": 0}}},
        {"objective": {"masked": {"value_weight": 1}}}, {"objective": {"masked": {"data_type_weight": 1}}}, "nothing that is hidden",
    ),
    **{
        f"nothing that is forecast weighs anything, but for {part}": (
            PretrainConfig, {"objective": {"forecast": {"weight": 1, "value_weight": 0, "presence_weight": 0}}},
            {"objective": {"forecast": {f"{part}_weight": 0}}}, {"objective": {"forecast": {f"{part}_weight": 0.1}}},
            "nothing that is forecast",
        )
        for part in ("value", "presence")
    },
    "summaries without variables": (
        PretrainConfig, {"objective": {"masked": {"summary_weight": 1}}},
        {"objective": {"masked": {"variables": 0}}}, {"objective": {"masked": {"variables": 0.1}}}, "summary_weight",
    ),
    "no objective": (
        PretrainConfig, {"objective": {"masked": {"weight": 0}}},
        {"objective": {"contrastive": {"weight": 0}}}, {"objective": {"contrastive": {"weight": 0.1}}}, "weight 0",
    ),
    "the best of none": (PretrainConfig, {"train": {"final": "best"}}, {"train": {"keep_best": 0}}, {"train": {"keep_best": 1}}, "keep_best"),
    "the mean of none": (PretrainConfig, {"train": {"final": "average"}}, {"train": {"keep_best": 0}}, {"train": {"keep_best": 2}}, "keep_best"),
    "the best of what is never looked at": (
        PretrainConfig, {"train": {"validate_every": 0}}, {"train": {"keep_best": 1}}, {"train": {"keep_best": 0}}, "validate_every",
    ),
    "patience with what is never looked at": (
        PretrainConfig, {"train": {"validate_every": 0}}, {"train": {"patience": 1}}, {"train": {"patience": 0}}, "validate_every",
    ),
    "a document larger than a batch": (
        PretrainConfig, {"batching": {"tokens_per_batch": 64}},
        {"batching": {"max_length": 65}}, {"batching": {"max_length": 64}}, "max_length",
    ),
    "no arms": (SweepConfig, {}, {"arms": {}}, ARMS, "`arms`: there is none"),
    "an arm that is no folder": (SweepConfig, ARMS, {"arms": {"../a": []}}, {"arms": {"b-1.5": []}}, "folder"),
    "a hidden arm": (SweepConfig, ARMS, {"arms": {".a": []}}, {"arms": {"a.b": []}}, "folder"),
    "a seed twice": (SweepConfig, ARMS, {"seeds": [1, 1]}, {"seeds": [1, 2]}, "`seeds`: one stands there twice"),
    "no seeds": (SweepConfig, ARMS, {"seeds": []}, {"seeds": [0]}, "seeds"),
    "the seed as a setting": (SweepConfig, ARMS, {"settings": ["train.seed = 3"]}, {"settings": ["train.seeds = 3"]}, "train.seed"),
    "the seed as a setting of an arm": (
        SweepConfig, ARMS, {"arms": {"b": ["train.seed=3"]}}, {"arms": {"b": ["train.lr=3"]}}, "`arms.b`",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", RULES)
def test_each_rule_refuses_one_side_and_takes_the_other(name: str) -> None:
    """What breaks the rule is refused by its name, as an error of use with a hint; its nearest neighbour is taken."""
    tree_type, base, wrong, right, said = RULES[name]
    with pytest.raises(ConfigError) as caught:
        build(tree_type, merge(base, wrong), "a.yaml")
    assert said in str(caught.value) and caught.value.hint
    assert build(tree_type, merge(base, right), "a.yaml").model_dump()


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        (("data_types.a.low=5", "data_types.a.high=1"), ("data_types.a.low", "data_types.a.high")),
        (("splits.train=0.5", "shards=2"), ("splits.train",)),
        (("csv.quote=;", "name=b", "csv.delimiter=;"), ("csv.quote", "csv.delimiter")),
    ],
)
def test_overrides_that_do_not_fit_together_are_named(settings: tuple[str, ...], named: tuple[str, ...]) -> None:
    """Of all overrides those stand in front that the broken rule compares, and the keys of the rule behind."""
    with pytest.raises(ConfigError) as caught:
        build(PipelineConfig, merge(LAB, overrides(settings)), "a.yaml", settings=settings)
    where, _, what = str(caught.value).partition(": ")
    assert where == " ".join(f"--set {key}" for key in named)
    assert all(f"`{key}`" in what for key in named)
