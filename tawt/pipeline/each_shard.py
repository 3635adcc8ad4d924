"""Runs one task per shard in threads, so that a run that was killed goes on with the shards that are left."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from tawt.contracts.dataset import SPLITS
from tawt.files import read_json, sync, write_json
from tawt.sources.stage import Input, Tick


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


def each_shard_of(
    source: Input, folder: Path, suffixes: tuple[str, ...], one: Callable[..., dict[str, Any]], workers: int, tick: Tick
) -> dict[tuple[str, str], dict[str, Any]]:
    """Run `one(shard, *files to write)` for every shard of a stage, and return (split, shard) -> what it hands back.

    Args:
        source: The stage, whose files are `SPLIT/SHARD.*`.
        folder: Where shards of the same names are written.
        suffixes: Of the files that each gives.
        one: As in `each_shard`.
        workers: Shards at a time.
        tick: Hears of every finished shard.
    """
    read = {(s, path.stem): path for s in SPLITS for path in source.rows if path.parent.name == s}
    keys = {f"{split}-{name}": (split, name) for split, name in read}
    files = {key: [folder / split / f"{name}{end}" for end in suffixes] for key, (split, name) in keys.items()}
    done = each_shard(folder, files, lambda key: one(read[keys[key]], *files[key]), workers, tick)
    forget_shards(folder)
    return {keys[key]: result for key, result in done.items()}
