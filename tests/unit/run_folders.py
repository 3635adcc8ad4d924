"""Run folders made by hand: what is read of a run depends on its files alone."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from tawt.config.batching import BatchingConfig
from tawt.config.load import build, dump, merge, overrides
from tawt.config.model import ModelConfig
from tawt.config.train import PretrainConfig
from tawt.dataset.vocabulary import read_vocabulary
from tawt.files import write_hashes
from tawt.models.encoder import Encoder


@pytest.fixture
def config() -> PretrainConfig:
    """A config whose encoder runs in milliseconds."""
    return PretrainConfig(
        model=ModelConfig(d_model=16, n_layers=2, n_heads=2, d_ffn=16),
        batching=BatchingConfig(tokens_per_batch=512, max_length=128),
    )


@pytest.fixture
def workspace(tmp_path: Path, write_dataset: Callable[..., Any]) -> Path:
    """A workspace with 120 tuning subjects."""
    write_dataset(tmp_path / "w", {"train": [20], "tuning": [120], "held_out": [0]}, median_length=20)
    return tmp_path / "w"


def line(step: int, split: str = "tuning", **parts: tuple[float, float, int]) -> dict[str, Any]:
    """Return a line of metrics; `value=(loss, baseline, n)` for each part, all of weight 1."""
    out: dict[str, Any] = {"step": step, "split": split}
    out |= {"loss": sum(p[0] for p in parts.values()), "baseline": sum(p[1] for p in parts.values())}
    for name, (loss, baseline, n) in parts.items():
        out |= {f"loss_{name}": loss, f"baseline_{name}": baseline, f"n_{name}": n}
    return out


@pytest.fixture
def metrics_line() -> Callable[..., dict[str, Any]]:
    """`metrics_line(step, split, value=(loss, baseline, n))`."""
    return line


@pytest.fixture
def make_run(workspace: Path, config: PretrainConfig) -> Callable[..., Path]:
    """`make_run("a", "train.lr=1", metrics=[...])`: a finished run folder with untrained weights, [UNK] and OTHER blank."""

    def make(
        name: str, *settings: str, metrics: Sequence[Mapping[str, Any]] = (), others: Mapping[str, Any] | None = None
    ) -> Path:
        run = workspace / "runs" / name
        run.mkdir(parents=True)
        tree = build(PretrainConfig, merge(config.model_dump(), overrides(settings)), "config")
        (run / "config.yaml").write_text(dump(tree))
        shutil.copyfile(workspace / "vocabulary" / "vocabulary.parquet", run / "vocabulary.parquet")
        (run / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in metrics))
        with torch.random.fork_rng():
            torch.manual_seed(1)
            vocabulary = read_vocabulary(run / "vocabulary.parquet")
            encoder = Encoder(tree.model, vocabulary)
        with torch.no_grad():  # as every shared model has them
            encoder.embedding.data_type.weight[1] = 0
            encoder.embedding.value.category_rows[np.unique(vocabulary.category_offset)] = 0
        weights = {f"encoder.{n}": p.detach().contiguous() for n, p in encoder.named_parameters()}
        save_file(weights | dict(others or {"heads.bias": torch.zeros(2)}), run / "model.safetensors")
        write_hashes(run)
        return run

    return make
