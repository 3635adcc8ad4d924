"""A small dataset, and models whose weights are not at their start."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from tawt.batching.host import HostBatch
from tawt.batching.left import make_cutter
from tawt.batching.loader import PackedLoader
from tawt.config.train import PretrainConfig
from tawt.dataset.reader import TripletDataset, open_dataset
from tawt.objectives.baselines import Baselines, count_baselines
from tawt.objectives.prepare import Preparer
from tawt.objectives.pretrain_model import PretrainModel, build_model

MODEL = {"d_model": 16, "n_layers": 1, "n_heads": 2, "d_ffn": 16}


@dataclass(frozen=True)
class Case:
    """Everything between a dataset and a loss."""

    config: PretrainConfig
    dataset: TripletDataset
    loader: PackedLoader
    batch: HostBatch
    baselines: Baselines
    prepare: Preparer
    model: PretrainModel


@pytest.fixture(scope="session")
def workspace(tmp_path_factory: pytest.TempPathFactory, shards: Any) -> Path:
    """40 invented subjects; not to be changed."""
    folder = tmp_path_factory.mktemp("objectives")
    shards.write_dataset(folder, {"train": [40]}, median_length=60)
    return folder


@pytest.fixture
def make(workspace: Path) -> Callable[..., Case]:
    """`make(objective={...}, model={...}, augment={...}, fresh=False)`: a case; `fresh` models start at the
    baselines."""

    def make_case(
        objective: dict[str, Any] | None = None,
        model: dict[str, Any] | None = None,
        augment: dict[str, Any] | None = None,
        fresh: bool = False,
        training: bool = True,
    ) -> Case:
        tree = {"model": MODEL | (model or {}), "objective": objective or {}, "augment": augment or {}}
        config = PretrainConfig.model_validate(tree | {"batching": {"tokens_per_batch": 2048}})
        dataset = open_dataset(workspace)
        train, vocabulary = dataset.split("train"), dataset.vocabulary
        loader = PackedLoader(train, vocabulary, config.batching, 0, with_available=True)
        batch = loader.batch(0)
        timed = make_cutter(config, training).timed(batch, 0)
        baselines = count_baselines(train.shards, vocabulary, config.objective, [timed])
        built = build_model(config, vocabulary, 0).eval()
        if fresh:
            built.start_at(baselines)
        else:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(1)
                for parameter in built.parameters():
                    torch.nn.init.normal_(parameter, std=0.3)
        prepare = Preparer(config, vocabulary, baselines, training)
        return Case(config, dataset, loader, batch, baselines, prepare, built)

    return make_case
