"""Numbers of subjects whose ids are text."""

from __future__ import annotations

import numpy as np
import pytest

from tawt.transforms import subject_numbers
from tawt.transforms.subject_numbers import numbered, numbers_of

IDS = [f"{i % 7:03d}-{i:05d}" for i in range(5000)]


def test_a_number_never_changes() -> None:
    """Golden values: what a dataset was made with stands in it for good."""
    assert numbers_of(b"key", ["002-1039", "", "Müller"]).tolist() == [
        6646959510139290,
        1322876869867346,
        1735843195586485,
    ]


def test_a_number_tells_nothing_of_the_id_without_the_key() -> None:
    """Another key gives other numbers; the order of the numbers has nothing of that of the ids; all fit a float."""
    numbers = numbers_of(b"a" * 32, IDS)
    assert not np.isin(numbers_of(b"b" * 32, IDS), numbers).any()
    assert abs(np.corrcoef(np.arange(len(IDS)), numbers)[0, 1]) < 0.05
    assert numbers.min() >= 1 and (numbers.astype(np.float64).astype(np.int64) == numbers).all()
    assert numbers.max() > 2**52 and len(np.unique(numbers)) == len(IDS)


def test_a_later_subject_changes_no_earlier_number(monkeypatch: pytest.MonkeyPatch) -> None:
    """Even where numbers clash, as they do of 16 bits: whoever has a number keeps it, and all are different."""
    monkeypatch.setattr(subject_numbers, "_BITS", 16)
    first = numbered(b"key", IDS[1000:], [0] * 4000)
    assert len(np.unique(first)) == 4000 and (first != numbers_of(b"key", IDS[1000:])).sum() > 20
    both = numbered(b"key", IDS, [0] * 1000 + first.tolist())
    assert (both[1000:] == first).all() and len(np.unique(both)) == 5000
    assert (numbered(b"key", IDS, [0] * 1000 + first.tolist()) == both).all()
