"""Fixtures of the models' tests."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from tawt.batching.loader import PackedLoader
from tawt.config.batching import BatchingConfig
from tawt.dataset.reader import open_dataset


@pytest.fixture
def data(tmp_path, write_dataset):
    """Vocabulary and a packed batch."""
    write_dataset(tmp_path, {"train": [20]})
    dataset = open_dataset(tmp_path)
    return dataset.vocabulary, PackedLoader(dataset.split("train"), dataset.vocabulary, BatchingConfig(), 0).batch(
        0
    ).tensors()


@pytest.fixture
def small(tmp_path, write_dataset):
    """Vocabulary and a batch of a few short documents, with statics and times that many triplets share."""
    write_dataset(tmp_path, {"train": [8]}, lengths=[1, 2, 3, 40, 60, 8, 90, 33])
    dataset = open_dataset(tmp_path)
    config = BatchingConfig(tokens_per_batch=300, max_length=100)
    batch = PackedLoader(dataset.split("train"), dataset.vocabulary, config, 0).batch(0).tensors()
    assert batch.n_documents > 3 and bool(batch.is_static.any())
    # the prediction time lies a while after the last event
    return dataset.vocabulary, replace(batch, end_hours=batch.end_hours + torch.rand(batch.n_documents) * 5)
