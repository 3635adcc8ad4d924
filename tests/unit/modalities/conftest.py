"""A store with images and waveforms beside the records of an invented dataset, and a modality of a test's own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch

from tawt.batching.host import HostBatch
from tawt.batching.loader import PackedLoader
from tawt.config.batching import BatchingConfig
from tawt.config.modalities import CnnConfig, ImageConfig, ModalitiesConfig, WaveformConfig
from tawt.dataset.reader import Split, open_dataset
from tawt.dataset.vocabulary import Vocabulary
from tawt.modalities.contents import NO_TIME, Contents, content_hash, open_contents, write_events, writing_arrays
from tawt.modalities.encoders.made import make_modalities
from tawt.modalities.encoders.modality import Modality
from tawt.modalities.fusion.beside import Finder

CONFIG = ModalitiesConfig(
    image=ImageConfig(size=16, cnn=CnnConfig(width=8, n_stages=2)), waveform=WaveformConfig(length=64, width=8)
)


@dataclass
class Beds:
    """A split, a batch of it, and what lies beside its subjects; codes of contents are those of ordinary data_types."""

    split: Split
    vocabulary: Vocabulary
    batch: HostBatch
    contents: Contents
    codes: list[str]
    """Of the vocabulary, with two data_types called `IMAGE//a` and `WAVEFORM//b`."""
    modalities: tuple[Modality, ...]

    def finder(self, **changes: Any) -> Finder:
        """Finds what lies beside batches of the split."""
        given = {
            "contents": self.contents, "subject_id": self.split.subject_ids, "origin": self.split.origins,
            "codes": self.codes, "modalities": self.modalities, "encoded": (None, None), **changes,
        }  # fmt: skip
        return Finder(**given)


@pytest.fixture
def beds(tmp_path: Path, write_dataset: Callable[..., Any]) -> Beds:
    """Subjects with no content, one, and many; at times of their own events, and at others."""
    write_dataset(tmp_path, {"train": [10]}, lengths=[1, 2, 3, 40, 60, 8, 50, 33, 20, 12])
    dataset = open_dataset(tmp_path)
    split, vocabulary = dataset.split("train"), dataset.vocabulary
    config = BatchingConfig(tokens_per_batch=400, max_length=100)
    batch = PackedLoader(split, vocabulary, config, 0).batch(0)
    rng = np.random.default_rng(5)
    types = np.unique(batch.data_type[~batch.is_static])
    statics = np.unique(batch.data_type[batch.is_static])
    image, wave = next(t for t in statics if t in types), next(t for t in types[::-1] if t not in statics)
    codes = list(vocabulary.codes)
    codes[image], codes[wave] = "IMAGE//a", "WAVEFORM//b"
    arrays = [rng.integers(0, 256, (int(rng.integers(1, 30)), 20, 1), np.uint8) for _ in range(6)]
    arrays += [rng.normal(size=(int(rng.integers(1, 90)), 1)).astype(np.float32) for _ in range(6)]
    hashes = [content_hash(array) for array in arrays]
    rows = []
    for d in range(1, batch.n_documents):
        own = slice(batch.bounds[d], batch.bounds[d + 1])
        for code, first in ((image, 0), (wave, 6)):
            at = np.flatnonzero(batch.data_type[own] == code) + batch.bounds[d]
            times = [NO_TIME if batch.is_static[i] else int(batch.time[i]) for i in at]
            times += [int(t) for t in batch.end[d] + rng.integers(-9, 3, 2 * (d % 3)) * 3_600_000_000]
            rows += [(int(batch.subject_id[d]), t, t, codes[code], hashes[first + int(rng.integers(6))])
                     for t in times]  # fmt: skip
    with writing_arrays(tmp_path / "contents" / "0.arrow") as add:
        for sha256, array in zip(hashes, arrays, strict=True):
            add(sha256, array)
    columns = ("subject_id", "time", "available_time", "code", "sha256")
    table = pa.table([list(column) for column in zip(*sorted(set(rows)), strict=True)], columns)
    write_events(tmp_path / "content_events" / "content_events.parquet", table)
    contents = open_contents(tmp_path)
    assert contents is not None
    return Beds(split, vocabulary, batch, contents, codes, make_modalities(CONFIG, 0))


@pytest.fixture(autouse=True)
def one_thread() -> None:
    """Small nets lose time with more."""
    torch.set_num_threads(1)
