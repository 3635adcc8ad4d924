"""A small transformer sees the order of events, which summaries do not hold, and tells no fresh records apart."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tawt.assessment import transformer as module
from tawt.assessment.transformer import transformer
from tawt.dataset.records import Records
from tawt.dataset.vocabulary import Vocabulary, read_vocabulary
from tawt.fidelity.discriminate import logistic, scored, told_apart
from tawt.fidelity.summaries import summary_of

N, N_CODES, FIRST, HOUR = 200, 12, 4, 3_600_000_000


@pytest.fixture(scope="module")
def vocabulary(shards, tmp_path_factory) -> Vocabulary:
    folder = tmp_path_factory.mktemp("vocabulary")
    shards.write_vocabulary(folder, FIRST + N_CODES)
    return read_vocabulary(folder / "vocabulary" / "vocabulary.parquet")


def ring(seed: int) -> Records:
    """An event an hour, each of the data_type after the last one's on a ring."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(6, 16, N)
    bounds = np.concatenate([[0], lengths.cumsum()])
    place = np.arange(bounds[-1]) - np.repeat(bounds[:-1], lengths)
    code = FIRST + (np.repeat(rng.integers(0, N_CODES, N), lengths) + place) % N_CODES
    n = len(place)
    return Records(
        1000 * seed + np.arange(N), np.zeros(N, np.int64), bounds, np.zeros(n, np.bool_), place * HOUR,
        code.astype(np.int32), np.zeros(n, np.float32), np.zeros(n, np.int32), np.zeros(n, np.uint8),
    )  # fmt: skip


def test_it_sees_an_order_that_summaries_do_not_hold(vocabulary: Vocabulary, monkeypatch) -> None:
    """Real records and such as have their events shuffled are told apart; fresh real ones are not."""
    monkeypatch.setattr(module, "MOST_RECORDS", 150)
    test, real = ring(1), ring(2)
    mixed = np.lexsort((np.random.default_rng(0).random(len(real.time)), real.subject))
    shuffled = replace(real, data_type=real.data_type[mixed])
    tell = transformer(vocabulary, "first_event", "none")
    of_summaries = summary_of(test)
    blind = told_apart(*scored(logistic, of_summaries.of(test), of_summaries.of(shuffled)))
    assert abs(blind.value - 0.5) < 0.1
    scores = tell(test, shuffled)
    assert [len(one) for one in scores] == [150, 150] and told_apart(*scores).value > 0.85
    fresh = told_apart(*tell(test, real))
    assert abs(fresh.value - 0.5) < 0.12
