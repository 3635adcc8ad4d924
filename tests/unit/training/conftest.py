"""A small workspace and a small config."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tawt.commands.pretrain import pretrain
from tawt.config.batching import BatchingConfig
from tawt.config.model import ModelConfig
from tawt.config.train import PretrainConfig, TrainConfig
from tawt.dataset.reader import open_dataset
from tawt.training import loop

HOUR = 3_600_000_000


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


@pytest.fixture
def labelled(workspace, config, with_train):
    """A pretrained run, and a task: whether a subject's record has more triplets than most."""
    config = config.model_copy(update={"model": config.model.model_copy(update={"pooling": "per_type"})})
    pretrain(workspace, with_train(config, max_steps=3), device="cpu", out=workspace / "runs" / "base")
    dataset, rows = open_dataset(workspace), []
    for name in dataset.split_names:
        split = dataset.split(name)
        for i in range(split.n_subjects):
            if split.lengths[i]:
                last = int(split.columns(i).timestamp[-1] + split.origins[i])
                rows.append((int(split.subject_ids[i]), last + HOUR, bool(split.lengths[i] > 60)))
    subject, time, value = zip(*rows, strict=True)
    (workspace / "labels").mkdir()
    table = pa.table({
        "subject_id": pa.array(subject, pa.int64()), "prediction_time": pa.array(time, pa.timestamp("us")),
        "boolean_value": pa.array(value),
    })  # fmt: skip
    pq.write_table(table, workspace / "labels" / "long.parquet")
    return workspace


@pytest.fixture
def half_labelled(labelled):
    """The same, with a task of which every second subject of train has no label."""
    table = pq.read_table(labelled / "labels" / "long.parquet")
    train = np.isin(table["subject_id"].to_numpy(), open_dataset(labelled).split("train").subject_ids)
    value = pa.array(table["boolean_value"].to_pylist(), mask=train & (np.cumsum(train) % 2 == 0))
    pq.write_table(table.set_column(2, "boolean_value", value), labelled / "labels" / "half.parquet")
    return labelled
