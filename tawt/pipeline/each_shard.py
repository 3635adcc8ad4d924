"""Runs one task per shard in threads, so that a run that was killed goes on with the shards that are left, and one of
which little has changed makes what that concerns. Several processes may share the shards out, and hand them in to one.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tawt.contracts.dataset import SPLITS
from tawt.files import digest, link, read_json, sealed, sync, write_parquets, write_text
from tawt.pipeline.workspace import beside, folder_of
from tawt.places import leads_below
from tawt.readers import parquet_metadata, read_parquet
from tawt.seals import holds, sha256_file
from tawt.sources.stage import Bound, Input, Share, Tick

HANDED_IN = ".handed-in"
"""End of the name of the folder beside that of a stage, in which several processes put the shards that they make."""
DONE = ".done"
"""Folder, in one that shards are written in, of the markers of those that are whole."""
KEPT = ".shards.parquet"
"""File of a stage that is written aside; it lies beside its output once that is published."""
_OF_KEPT = pa.schema([(name, pa.string()) for name in ("shard", "made_of", "result")])


class ShareMadeError(Exception):
    """Ends a stage of which no more than a share was to be made, and is."""


class Earlier:
    """What a stage gave before: a shard that is made of the same is taken from there.

    Args:
        bound: The stage.
        made_of: Shard -> all that it hangs on.
        stands: Whether the counts of a shard hold yet, where they tell of what else it hangs on.
    """

    def __init__(
        self, bound: Bound, made_of: Mapping[str, Any], stands: Callable[[dict[str, Any]], bool] = lambda result: True
    ) -> None:
        stage, self._files, self._stands = bound.stage.name, bound.before, stands
        self._output, kept = bound.root / folder_of(stage), bound.root / beside(stage)[1]
        self._made_by, self._made_of = bound.made_by, dict[str, str]()
        for shard, of in made_of.items():
            self.say(shard, of)
        self._kept = kept
        self._known = _read(kept) if self._whole(kept) else {}

    def say(self, shard: str, made_of: Any) -> None:
        """Say what a shard hangs on."""
        self._made_of[shard] = digest([self._made_by, made_of])

    def take(self, folder: Path, shard: str, files: Sequence[Path] | None = None) -> dict[str, Any] | None:
        """Put the files of a shard into a folder as they are, and return its counts; None where it is another now.

        Args:
            folder: Where.
            shard: Which.
            files: Those of the folder that it may have; None = its counts name them.
        """
        made_of, *place = self._known.get(shard, ("", 0, 0))
        if made_of != self._made_of[shard] or not self._stands(result := self._result(*place)):
            return None
        files = [folder / name for name in result["files"]] if files is None else files
        there = {file: self._output / file.relative_to(folder) for file in files}
        there = {file: place for file, place in there.items() if place in self._files}
        if not all(map(self._whole, there.values())):
            return None
        for file, lies in there.items():
            link(lies, file)
        return result

    def keep(self, folder: Path, shards: Iterable[str], told: Callable[[str], str]) -> None:
        """Write down what each shard was made of, for the next time, and its counts, as the JSON that is told."""

        def rows() -> Iterator[pa.Table]:
            for shard in sorted(shards):
                row = {"shard": shard, "made_of": self._made_of[shard], "result": told(shard)}
                yield pa.table({name: pa.array([text], pa.string()) for name, text in row.items()}, _OF_KEPT)

        write_parquets(folder / KEPT, rows(), _OF_KEPT)

    def _result(self, group: int, row: int) -> dict[str, Any]:
        rows = pq.ParquetFile(self._kept).read_row_group(group, ["result"])
        result: dict[str, Any] = json.loads(rows["result"][row].as_py())
        return result

    def _whole(self, path: Path) -> bool:
        return path.is_file() and sha256_file(path) == self._files.get(path)


def _read(path: Path) -> dict[str, tuple[str, int, int]]:
    """Return what each shard was made of, and the group and the row of the file that tell the rest: codes and counts
    of few people are among it, so it lies as data do, and of all shards it is much."""
    rows, metadata = read_parquet(path, ["shard", "made_of"]).to_pylist(), parquet_metadata(path)
    of_groups = [metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)]
    places = [(i, row) for i, n in enumerate(of_groups) for row in range(n)]
    return {row["shard"]: (row["made_of"], *place) for row, place in zip(rows, places, strict=True)}


class Made(Mapping[str, dict[str, Any]]):
    """What was handed back for each shard: read when it is asked for, for of all shards it is much."""

    def __init__(self, folder: Path, shards: Sequence[str]) -> None:
        self._folder, self._shards = folder, shards

    def __getitem__(self, shard: str) -> dict[str, Any]:
        if (result := read_json(_marker(self._folder, shard))) is None:
            raise KeyError(shard)
        return dict(result)

    def __iter__(self) -> Iterator[str]:
        return iter(self._shards)

    def __len__(self) -> int:
        return len(self._shards)


def each_shard(
    folder: Path,
    shards: Mapping[str, Sequence[Path]],
    one: Callable[[str], dict[str, Any]],
    threads: int,
    tick: Tick,
    earlier: Earlier | None = None,
    share: Share | None = None,
) -> Made:
    """Return what `one(shard)` hands back for every shard, in the order of `shards`, to be read before `forget_shards`.

    A shard is finished when its marker is there: its files are flushed to the disk before, so that not even a power cut
    leaves a marker beside half a file. An error or Ctrl-C leaves the shards that have not begun.

    Args:
        folder: Where the shards are written; markers are in `.done` below until `forget_shards`.
        shards: Shard -> the files that it may write.
        one: Writes a shard and hands back counts that JSON can hold.
        threads: Shards at a time.
        tick: Hears of every finished shard.
        earlier: What was made before, and may be taken as it is.
        share: What alone is to be made; None = all, of which others may have handed some in.

    Raises:
        ShareMadeError: The share is made.
    """
    mine = list(shards)[share.i :: share.n] if share is not None else list(shards)
    done = set[str]()

    def run(shard: str) -> None:
        result = _finished(folder, shard) if share is None else _result(share.folder, shard)
        if result is None:
            taken = earlier.take(folder, shard, shards[shard]) if earlier is not None else None
            result = one(shard) if taken is None else taken
            made = [file for file in shards[shard] if file.exists()]
            for file in made:
                sync(file)
            if share is None:
                write_text(_marker(folder, shard), json.dumps(result))
            else:
                _hand_in(folder, share.folder, shard, made, result)
        done.add(shard)
        tick(len(done), len(mine))

    with ThreadPoolExecutor(max_workers=threads) as pool:
        try:
            for future in [pool.submit(run, shard) for shard in mine]:
                future.result()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    if share is not None:
        raise ShareMadeError
    results = Made(folder, list(shards))
    if earlier is not None:
        earlier.keep(folder, shards, lambda shard: _marker(folder, shard).read_text(encoding="utf-8"))
    return results


def _marker(folder: Path, shard: str) -> Path:
    return folder / DONE / f"{shard}.json"


def _finished(folder: Path, shard: str) -> dict[str, Any] | None:
    """Return the counts of a shard that is there, or was handed in by another process; None where it is to be made."""
    if (result := read_json(_marker(folder, shard))) is not None:
        return dict(result)
    from_others = folder.with_name(f"{folder.name}{HANDED_IN}")
    if (handed_in := read_handed_in(_marker(from_others, shard))) is None:
        return None
    files = {from_others / name: sha256 for name, sha256 in handed_in["files"].items()}
    if not all(file.is_file() and sha256_file(file) == sha256 for file, sha256 in files.items()):
        return None  # a bit has flipped since
    for name in handed_in["files"]:
        link(from_others / name, folder / name)
    write_text(_marker(folder, shard), json.dumps(handed_in["result"]))
    return dict(handed_in["result"])


def read_handed_in(marker: Path) -> dict[str, Any] | None:
    """Return what the marker of a shard that was handed in says: `files`, each with its hash below the folder, and
    `result`; None where there is none that is as it was written."""
    try:
        data = read_json(marker) if holds(marker) else None
    except OSError:
        return None
    listed = data["files"] if isinstance(data, dict) and isinstance(data.get("files"), dict) else None
    return data if listed is not None and all(map(leads_below, listed)) else None


def _result(folder: Path, shard: str) -> dict[str, Any] | None:
    """Return the counts of a shard that a process has handed in there."""
    handed_in = read_handed_in(_marker(folder, shard))
    return dict(handed_in["result"]) if handed_in is not None else None


def _hand_in(own: Path, folder: Path, shard: str, files: Sequence[Path], result: dict[str, Any]) -> None:
    """Move the files of a shard from a folder of this process alone to where all hand theirs in, and say so there.

    Another process may hand in the same: it is as good, and takes the place of this one file by file.
    """
    hashes = {file.relative_to(own).as_posix(): sha256_file(file) for file in files}
    marker = _marker(own, shard)
    marker.parent.mkdir(exist_ok=True)
    marker.write_text(sealed({"files": hashes, "result": result}), encoding="utf-8")
    sync(marker)
    for file in (*files, marker):
        place = folder / file.relative_to(own)
        place.parent.mkdir(parents=True, exist_ok=True)
        file.replace(place)
        sync(place.parent)


def forget_shards(folder: Path) -> None:
    """Remove the markers: the stage is whole, and they are no part of it."""
    shutil.rmtree(folder / DONE, ignore_errors=True)


def each_shard_of(
    bound: Bound,
    source: Input,
    folder: Path,
    suffixes: tuple[str, ...],
    one: Callable[..., dict[str, Any]],
    tick: Tick,
    made_of: Any,
) -> dict[tuple[str, str], dict[str, Any]]:
    """Run `one(shard, *files to write)` for every shard of a stage, and return (split, shard) -> what it hands back.

    Args:
        bound: The stage that is made.
        source: The stage that it is made of, whose files are `SPLIT/SHARD.*`.
        folder: Where shards of the same names are written.
        suffixes: Of the files that each gives.
        one: As in `each_shard`.
        tick: Hears of every finished shard.
        made_of: What each shard hangs on beside its file and the settings of the stage.
    """
    read = {(s, path.stem): path for s in SPLITS for path in source.rows if path.parent.name == s}
    keys = {f"{split}-{name}": (split, name) for split, name in read}
    files = {key: [folder / split / f"{name}{end}" for end in suffixes] for key, (split, name) in keys.items()}
    earlier = Earlier(bound, {key: [source.hashes[read[pair]], made_of] for key, pair in keys.items()})
    workers = bound.limits.workers
    done = each_shard(folder, files, lambda key: one(read[keys[key]], *files[key]), workers, tick, earlier, bound.share)
    results = {keys[key]: result for key, result in done.items()}
    forget_shards(folder)
    return results
