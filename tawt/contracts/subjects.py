"""The map of subjects whose ids are text: where it lies, and the key that their numbers hang on."""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path

import pyarrow as pa

from tawt.readers import parquet_schema

SUBJECTS = "subjects"
"""The stage, its folder and its relation."""
MAP = "subjects.parquet"
_KEY = b"key"
_AGAIN = "put back a copy of it: with another key every subject gets another number; remove it to number them anew"


def new_key(content: dict[str, list[str]]) -> str:
    """Return the key of a new map, which only who has the raw tables themselves can find.

    Args:
        content: Raw table -> hashes of its files.
    """
    return sha256(b"tawt subjects\0" + json.dumps(content, sort_keys=True).encode()).hexdigest()


def key_of_map(path: Path) -> str | None:
    """Return the key that the numbers of a map hang on.

    Raises:
        FileError: The map is damaged.
    """
    key = (parquet_schema(path, _AGAIN).metadata or {}).get(_KEY)
    return key.decode() if key is not None else None


def with_key(rows: pa.Table, key: str) -> pa.Table:
    """Return a map with the key that it was made with."""
    return rows.replace_schema_metadata({_KEY: key.encode()})
