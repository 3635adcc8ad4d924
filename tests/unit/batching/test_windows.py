"""Windows: which rows of a record a document holds."""

from __future__ import annotations

import numpy as np
import pytest

from tawt.batching.windows import cut_windows, document_lengths, sliding_windows
from tawt.chance import draw, shuffled

LENGTHS = np.array([1, 9, 10, 11, 30, 30, 30, 12, 40])
STATICS = np.array([0, 9, 3, 0, 4, 0, 10, 12, 25])
SUBJECTS = np.arange(len(LENGTHS)) + 70


def rows(windows, i: int) -> list[int]:
    start = int(windows.start[i])
    return [*range(int(windows.n_static[i])), *range(start, start + int(windows.n_timed[i]))]


def naive_last(length: int, n_static: int, max_length: int) -> list[int]:
    statics, timed = list(range(length))[:n_static], list(range(length))[n_static:]
    kept = statics[:max_length]
    room = max_length - len(kept)
    return kept + (timed[-room:] if room else [])


@pytest.mark.parametrize("max_length", [1, 10, 25, 100])
def test_last_keeps_statics_and_the_latest_events(max_length):
    """`last` equals: the first statics, then as many of the last timed rows as fit; the rest is counted as cut."""
    windows = cut_windows(LENGTHS, STATICS, max_length, "last", SUBJECTS)
    for i, (length, n_static) in enumerate(zip(LENGTHS, STATICS, strict=True)):
        expected = naive_last(length, n_static, max_length)
        assert rows(windows, i) == expected
        assert windows.n_cut[i] == length - len(expected)


@pytest.mark.parametrize("max_length", [1, 10, 25, 100])
def test_random_takes_one_run_of_full_length(max_length):
    """`random` keeps the same statics and as many timed rows as `last`, in one run that lies within the record."""
    last = cut_windows(LENGTHS, STATICS, max_length, "last", SUBJECTS)
    for epoch in range(20):
        windows = cut_windows(LENGTHS, STATICS, max_length, "random", SUBJECTS, 1, epoch)
        np.testing.assert_array_equal(windows.n_static, last.n_static)
        np.testing.assert_array_equal(windows.n_timed, last.n_timed)
        np.testing.assert_array_equal(windows.n_cut, last.n_cut)
        assert (windows.start >= STATICS).all()
        assert (windows.start + windows.n_timed <= LENGTHS).all()
        np.testing.assert_array_equal(windows.n_static + windows.n_timed, document_lengths(LENGTHS, max_length))


def test_random_ends_anywhere_alike():
    """Over epochs each possible end of a window is drawn about equally often."""
    starts = [
        int(cut_windows(np.array([30]), np.array([2]), 20, "random", np.array([5]), 0, epoch).start[0])
        for epoch in range(2_200)
    ]
    counts = np.bincount(np.array(starts) - 2, minlength=11)
    assert len(counts) == 11
    assert counts.min() > 140 and counts.max() < 260


def test_random_depends_on_seed_epoch_and_subject_alone():
    """A subject's window is the same among other subjects; another seed, epoch or subject moves it."""
    long = np.full(200, 5_000)
    none = np.zeros(200, np.int64)
    subjects = np.arange(200) * 7 - 300

    def starts(chosen, seed=0, epoch=0):
        n = len(chosen)
        return cut_windows(long[:n], none[:n], 100, "random", subjects[chosen], seed, epoch).start

    everyone = starts(np.arange(200))
    some = np.array([150, 3, 77])
    np.testing.assert_array_equal(starts(some), everyone[some])
    assert len(np.unique(everyone)) > 150
    for other in (starts(np.arange(200), seed=1), starts(np.arange(200), epoch=1)):
        assert (other != everyone).mean() > 0.95


def test_draws_are_uniform_and_independent_of_position():
    """Numbers fill 64 bits evenly, differ between salts, and do not depend on which others are asked for."""
    many = draw(np.arange(50_000), 3, 4)
    bits = (many[:, None] >> np.arange(64, dtype=np.uint64)) & np.uint64(1)
    assert abs(bits.mean(0) - 0.5).max() < 0.02
    assert len(np.unique(many)) == len(many)
    np.testing.assert_array_equal(draw([41, 7], 3, 4), many[[41, 7]])
    assert not np.isin(draw(np.arange(1000), 4, 3), many).any()


def test_draws_never_change():
    """Golden values: a run that is resumed years later sees the same windows and the same order."""
    assert draw([0, 1, -1], 0).tolist() == GOLDEN
    assert shuffled(8, 2, 0, 0).tolist() == GOLDEN_ORDER


def splitmix(word: int) -> int:
    """SplitMix64's step from its paper, in Python integers."""
    mask = (1 << 64) - 1
    word = (word + 0x9E3779B97F4A7C15) & mask
    word = ((word ^ (word >> 30)) * 0xBF58476D1CE4E5B9) & mask
    word = ((word ^ (word >> 27)) * 0x94D049BB133111EB) & mask
    return word ^ (word >> 31)


def test_draws_follow_splitmix64():
    """Salts and key pass through SplitMix64 one after another; from state 0 its first output is the published one."""
    assert splitmix(0) == 0xE220A8397B1DCDAF
    for key in (0, 1, 12345, -1):
        expected = splitmix((splitmix(splitmix(5) + 9) + key) & ((1 << 64) - 1))
        assert draw([key], 5, 9).tolist() == [expected]


GOLDEN = [12035550249420947055, 3069472533636442495, 627405149472732430]
GOLDEN_ORDER = [2, 3, 7, 1, 0, 5, 6, 4]


@pytest.mark.parametrize("max_length", [1, 10, 25, 100])
def test_sliding_windows_tile_the_record(max_length):
    """The windows of a record hold each timed row once, in order of time, behind the same statics; the last is `last`."""
    subject, number, tokens = sliding_windows(LENGTHS, STATICS, max_length)
    windows = cut_windows(LENGTHS[subject], STATICS[subject], max_length, "sliding", SUBJECTS[subject], number=number)
    np.testing.assert_array_equal(windows.n_static + windows.n_timed, tokens)
    last = cut_windows(LENGTHS, STATICS, max_length, "last", SUBJECTS)
    for i, (length, n_static) in enumerate(zip(LENGTHS, STATICS, strict=True)):
        own = np.flatnonzero(subject == i)
        kept = min(n_static, max_length)
        timed = [row for w in own for row in rows(windows, w)[kept:]]
        assert all(rows(windows, w)[:kept] == list(range(kept)) for w in own)
        assert timed == (list(range(n_static, length)) if n_static < max_length else [])
        assert rows(windows, own[-1]) == rows(last, i)
        assert windows.n_cut[own].sum() == length - kept - len(timed)
        assert max(tokens[own]) <= max_length and min(tokens[own]) > 0
    assert len(subject) > len(LENGTHS) or max_length == 100
