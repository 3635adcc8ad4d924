"""The map of subjects whose ids are text, held to itself: each number hangs on the id and the key beside it.

So a map that a bit was turned in is found without anything else, and an older copy that was put back is as good as the
one that was lost.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import pyarrow as pa

from tawt.contracts.subjects import MAP, MAP_AGAIN, key_of_map, new_key
from tawt.errors import FileError
from tawt.readers import read_parquet, reading
from tawt.seals import sha256_file
from tawt.transforms.subject_numbers import could_be_of


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


def key_for(folder: Path, known: str | None, content: dict[str, list[str]]) -> str:
    """Return the key of a map: that of the one that is there, else the last one's, else a new one.

    Args:
        folder: Where the map is, or will be.
        known: The key of the last map.
        content: Raw table -> hashes of its files.
    """
    place = folder / MAP
    with suppress(FileError):  # the stage that writes it tells
        if place.is_file() and key_of_map(place) != known:
            return whole_map(place)[0]
    return known or new_key(content)


def is_as_written(folder: Path, hashes: Mapping[str, str]) -> bool:
    """Return whether a map is as it was written: a turned bit in it is another person's number."""
    place = folder / MAP
    with reading(place, "the numbers that subjects have", MAP_AGAIN):
        return sha256_file(place) == hashes.get(f"{folder.name}/{MAP}")
