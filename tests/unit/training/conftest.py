"""A small workspace and a small config."""

from __future__ import annotations

import pytest

from tawt.commands.pretrain import pretrain
from tawt.config.batching import BatchingConfig
from tawt.config.model import ModelConfig
from tawt.config.train import PretrainConfig, TrainConfig
from tawt.training import loop


@pytest.fixture
def workspace(tmp_path, write_dataset):
    """A workspace of some dozens of subjects."""
    write_dataset(tmp_path / "w", {"train": [40, 20], "tuning": [10], "held_out": [10]}, max_static=2)
    return tmp_path / "w"


@pytest.fixture
def config():
    """A config that makes a step in milliseconds, with dropout, validation and accumulation on."""
    return PretrainConfig(
        model=ModelConfig(d_model=16, n_layers=1, n_heads=2, d_ffn=16, dropout=0.2),
        batching=BatchingConfig(tokens_per_batch=512, max_length=128),
        train=TrainConfig(
            max_steps=12,
            accumulate_tokens=1000,
            validate_every=5,
            validate_batches=2,
            checkpoint_every=4,
            threads=1,
        ),
    )


@pytest.fixture
def with_train():
    """`with_train(config, max_steps=3)`: a config with other settings of training."""

    def change(config, **changes):
        return config.model_copy(update={"train": config.train.model_copy(update=changes)})

    return change


@pytest.fixture
def broken_off(monkeypatch):
    """Trains until an error ends the process in step `stop_after`, counted from 0; what a kill leaves is in
    `test_resume.py`."""

    def train(stop_after: int, *args, **kwargs) -> None:
        real = loop.Trainer._step

        def failing(self, step, *rest):
            if step == stop_after:
                raise RuntimeError("the end")
            return real(self, step, *rest)

        with monkeypatch.context() as patch:
            patch.setattr(loop.Trainer, "_step", failing)
            with pytest.raises(RuntimeError, match="the end"):
                pretrain(*args, **kwargs)

    return train
