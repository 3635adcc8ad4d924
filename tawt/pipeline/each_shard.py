"""Runs one task per shard in threads, so that a run that was killed goes on with the shards that are left."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from tawt.files import read_json, sync, write_json

Tick = Callable[[int, int], None]
"""Called with shards done and shards in all."""


def each_shard(
    folder: Path,
    shards: Mapping[str, Sequence[Path]],
    one: Callable[[str], dict[str, Any]],
    threads: int,
    tick: Tick,
) -> dict[str, dict[str, Any]]:
    """Return what `one(shard)` hands back for every shard, in the order of `shards`.

    A shard is finished when its marker is there: its files are flushed to the disk before, so that not even a power cut
    leaves a marker beside half a file. An error or Ctrl-C leaves the shards that have not begun.

    Args:
        folder: Where the shards are written; markers are in `.done` below until `forget_shards`.
        shards: Shard -> the files that it may write.
        one: Writes a shard and hands back counts that JSON can hold.
        threads: Shards at a time.
        tick: Hears of every finished shard.
    """
    done: dict[str, dict[str, Any]] = {}

    def run(shard: str) -> None:
        marker = folder / ".done" / f"{shard}.json"
        result = read_json(marker)
        if result is None:
            result = one(shard)
            for file in shards[shard]:
                if file.exists():
                    sync(file)
            write_json(marker, result)
        done[shard] = result
        tick(len(done), len(shards))

    with ThreadPoolExecutor(max_workers=threads) as pool:
        try:
            for future in [pool.submit(run, shard) for shard in shards]:
                future.result()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return {shard: done[shard] for shard in shards}


def forget_shards(folder: Path) -> None:
    """Remove the markers: the stage is whole, and they are no part of it."""
    shutil.rmtree(folder / ".done", ignore_errors=True)
