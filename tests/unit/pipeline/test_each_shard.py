"""Shard tasks: resumed after a kill, ended early by an error."""

from __future__ import annotations

import threading
import weakref
from pathlib import Path
from typing import Any

import pytest

from tawt.pipeline.each_shard import each_shard, forget_shards

SHARDS = [f"{i:05d}" for i in range(40)]


def files(folder: Path) -> dict[str, list[Path]]:
    return {shard: [folder / f"{shard}.txt", folder / f"{shard}.not-every-shard-has-one"] for shard in SHARDS}


def test_finished_shards_are_not_made_again(tmp_path: Path) -> None:
    """After an error the same call makes what is left, and hands back every shard's counts in the given order."""
    made: list[str] = []

    def one(shard: str, fails: bool) -> dict[str, Any]:
        if fails and shard == SHARDS[25]:
            raise ValueError
        made.append(shard)
        (tmp_path / f"{shard}.txt").write_text(shard)
        return {"n": int(shard)}

    with pytest.raises(ValueError):
        each_shard(tmp_path, files(tmp_path), lambda shard: one(shard, True), 1, lambda done, total: None)
    assert made[:25] == SHARDS[:25] and SHARDS[25] not in made
    heard: list[tuple[int, int]] = []
    done = each_shard(tmp_path, files(tmp_path), lambda s: one(s, False), 3, lambda *counts: heard.append(counts))
    assert sorted(made) == SHARDS, "a shard was made twice, or not at all"
    assert list(done.items()) == [(shard, {"n": int(shard)}) for shard in SHARDS]
    assert max(heard) == (40, 40)
    forget_shards(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"{shard}.txt" for shard in SHARDS]


def test_what_shards_hand_back_is_not_held_until_the_last_is_done(tmp_path: Path) -> None:
    """Counts of one shard are some megabytes: each is written down, and read when it is asked for."""
    held: list[weakref.ref[Counts]] = []
    most = 0

    def one(shard: str) -> dict[str, Any]:
        nonlocal most
        most = max(most, sum(ref() is not None for ref in held))
        held.append(weakref.ref(counts := Counts(n=int(shard))))
        return counts

    results = each_shard(tmp_path, files(tmp_path), one, 1, lambda done, total: None)
    assert most <= 1 and len(held) == len(results) == 40
    assert [result["n"] for result in results.values()] == list(range(40)) and results["00007"] == {"n": 7}


class Counts(dict[str, int]):
    """Counts of which it can be told whether they are in memory."""


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_error_leaves_the_shards_that_have_not_begun(tmp_path: Path, error: type[BaseException]) -> None:
    """What waits in the queue is not worked off before the error is heard."""
    begun: list[str] = []
    failed = threading.Event()

    def one(shard: str) -> dict[str, Any]:
        begun.append(shard)
        if shard == SHARDS[0]:
            failed.set()
            raise error
        # the other thread's shard goes on for as long as the error needs to arrive
        assert failed.wait(10)
        threading.Event().wait(0.2)
        return {}

    with pytest.raises(error):
        each_shard(tmp_path, files(tmp_path), one, 2, lambda done, total: None)
    assert len(begun) < 8
