"""The map of subjects whose ids are text, held to itself: each number hangs on the id and the key beside it.

So a map that a bit was turned in is found without anything else, and an older copy that was put back is as good as the
one that was lost. What was made with its numbers says by which key: no other map or key comes in its place. Where
nothing says it any more, and outputs are there that may hold numbers, no new key is made.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from itertools import chain
from pathlib import Path

import numpy as np
import pyarrow as pa

from tawt.arrays import Ints
from tawt.contracts.layers import LAYERS
from tawt.contracts.subjects import KEY_MARK, MAP, MAP_AGAIN, key_of_map, mark_of, new_key
from tawt.errors import FileError
from tawt.pipeline.manifest import Manifest, manifest_at
from tawt.pipeline.workspace import Workspace
from tawt.readers import read_parquet, reading
from tawt.seals import sha256_file
from tawt.transforms.subject_numbers import could_be_of

_ANOTHER = (
    "put back a copy of the map, or of `local.json`, which holds its key, with no map; "
    "to begin anew, with other numbers and splits, ingest into a new workspace"
)


def whole_map(path: Path) -> tuple[str, pa.Table]:
    """Return the key of a map, and its ids with their numbers.

    Raises:
        FileError: It is damaged: an id, a number or the key is not what it was.
    """
    key = key_of_map(path)
    rows = read_parquet(path, ["id", "subject_id"], MAP_AGAIN)
    with reading(path, "the numbers that subjects have", MAP_AGAIN, FileError):
        ids, numbers = rows["id"].to_pylist(), rows["subject_id"].to_numpy()
        whole = len({*ids}) == len({*numbers.tolist()}) == len(ids) and could_be_of(bytes.fromhex(key), ids, numbers)
    if not whole:
        raise FileError(str(path), "holds numbers that are not of its ids and its key, expected those given", MAP_AGAIN)
    return key, rows


def key_for(workspace: Workspace, stage: str, known: str | None, content: dict[str, list[str]]) -> str:
    """Return the key of a map: that of the one that is there, else the last one's, else, of none yet, a new one.

    Args:
        workspace: Where.
        stage: Which writes the map.
        known: The key of the last map.
        content: Raw table -> hashes of its files.

    Raises:
        FileError: Subjects have numbers, and neither the map nor the key is the one that those hang on.
    """
    place = workspace.output(stage) / MAP
    marks, given = _told(workspace, stage)
    keys, there, damage = [known] if known else [], os.path.lexists(place), None
    if there:
        try:
            key = key_of_map(place)
            if key != known:
                whole_map(place)
            keys = [key] if marks or known in (None, key) else []
        except FileError as error:  # the stage that writes it tells, where its numbers can be given again
            damage = error
    if (not there or damage) and (marks or not (there or given or known)):
        keys.append(new_key(content))
    keys = [key for key in keys if not marks or {mark_of(key)} == marks]
    if keys:
        if there and not damage:
            hold_numbers(workspace.root, read_parquet(place, ["subject_id"], MAP_AGAIN)["subject_id"].to_numpy())
        return keys[0]
    if damage is not None:
        raise damage
    what = "holds numbers of another key than" if there else "is gone, and with it the key of"
    raise FileError(str(place), f"{what} those that subjects have here, expected these", _ANOTHER)


def _told(workspace: Workspace, stage: str) -> tuple[set[int], bool]:
    """Return the marks of the keys that numbers were given by, and whether any were given: what was made with them
    says so, else what made them."""
    own = workspace.manifest(stage)
    found = [(path, manifest_at(path)) for path in sorted(own.parent.glob("*.json"))]
    read = [one.components.inputs[stage] for _, one in found if one is not None and stage in one.components.inputs]
    marks = {int(mark) for known in read if (mark := known.partition("-")[2]).isdecimal()}
    mine = next((one.facts.get(KEY_MARK) for path, one in found if one is not None and path == own), None)
    given = (
        bool(read) or os.path.lexists(own) or _unlisted(workspace.root, [one for _, one in found if one is not None])
    )
    return marks or ({mine} if isinstance(mine, int) else set()), given


def _unlisted(root: Path, manifests: Collection[Manifest]) -> bool:
    """Return whether outputs are there of which no manifest tells whether they hold numbers of subjects."""
    listed = {name for one in manifests for name in one.files}
    layers = [layer for layer in LAYERS.values() if layer.name != "codes"]
    rows = (path for layer in layers for path in (root / layer.name).rglob(f"*{layer.suffix}"))
    # what a training or an embedding hung on is the dataset, where its manifest is left
    hung_on = any(name.startswith("dataset/") for name in listed)
    made = (path for name in ("runs", "embeddings") if not hung_on for path in (root / name).glob("*"))
    return any(path.relative_to(root).as_posix() not in listed for path in chain(rows, made))


def hold_numbers(root: Path, numbers: Ints) -> None:
    """Refuse numbers of which none is among those that outputs hold, which would then speak of other people.

    Args:
        root: Of the workspace.
        numbers: That subjects are to have.

    Raises:
        FileError: Splits or embeddings are of other subjects throughout.
    """
    for path in (
        root / "events" / "metadata" / "subject_splits.parquet",
        *sorted((root / "embeddings").glob("*.parquet")),
    ):
        try:
            given = read_parquet(path, ["subject_id"], MAP_AGAIN)["subject_id"].to_numpy()
        except FileError:  # absent or no such file: it speaks of nobody
            continue
        if len(given) and not np.isin(given, numbers).any():
            raise FileError(
                str(path), f"is of {len(given):,} subjects, and none of these raw tables has the number of one of them",
                f"where the raw tables are of the same people: {_ANOTHER}",
            )  # fmt: skip


def is_as_written(folder: Path, hashes: Mapping[str, str]) -> bool:
    """Return whether a map is as it was written: a turned bit in it is another person's number."""
    place = folder / MAP
    with reading(place, "the numbers that subjects have", MAP_AGAIN):
        return sha256_file(place) == hashes.get(f"{folder.name}/{MAP}")
