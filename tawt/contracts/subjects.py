"""The map of subjects whose ids are text: where it lies, and the key that their numbers hang on."""

from __future__ import annotations

import json
import re
from hashlib import sha256
from pathlib import Path

import pyarrow as pa

from tawt.errors import FileError
from tawt.readers import parquet_schema

MAP = "subjects.parquet"
_KEY = b"key"
KEY_MARK = "key_mark"
"""The fact of the stage that says which key its numbers hang on, and tells nothing of the key."""
MAP_AGAIN = (
    "put back a copy of the map; where `local.json` holds `subject_key`, removing it and ingesting again gives each id "
    "the number that it had; without a copy and that key nobody can: ingest into a new workspace, with other numbers"
)
"""What can be done for a map that is damaged: the numbers hang on the ids and the key alone."""


def new_key(content: dict[str, list[str]]) -> str:
    """Return the key of a new map, which only who has the raw tables themselves can find.

    Args:
        content: Raw table -> hashes of its files.
    """
    return sha256(b"tawt subjects\0" + json.dumps(content, sort_keys=True).encode()).hexdigest()


def mark_of(key: str) -> int:
    """Return what a key is known by where it must not stand itself: a number that a float holds."""
    return int(sha256(b"tawt subject key\0" + key.encode()).hexdigest()[:13], 16)


def key_of_map(path: Path) -> str:
    """Return the key that the numbers of a map hang on.

    Raises:
        FileError: The map is damaged.
    """
    key = (parquet_schema(path, MAP_AGAIN).metadata or {}).get(_KEY, b"").decode(errors="replace")
    if re.fullmatch("[0-9a-f]{64}", key) is None:
        raise FileError(str(path), "has no key, expected that of the numbers in it", MAP_AGAIN)
    return key


def with_key(rows: pa.Table, key: str) -> pa.Table:
    """Return a map with the key that it was made with."""
    return rows.replace_schema_metadata({_KEY: key.encode()})
