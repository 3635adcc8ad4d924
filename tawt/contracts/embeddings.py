"""What a file of embeddings says of itself, in the metadata of its Parquet schema."""

from __future__ import annotations

from pathlib import Path

from tawt.errors import FileError
from tawt.readers import parquet_schema

OF = ("vocabulary", "dataset", "weights")
"""What it was made of, each by its hash."""
SPLITS = "splits"
"""The splits of the dataset that were read, joined by commas."""
LABELS = "labels"
"""The hash of the label set at whose prediction times subjects were embedded; absent where they were at their ends."""
TASK = "task"
"""Its name."""
PER = "per"
"""What a row is of: a subject, a prediction time of a label set, or an event."""
PARTS = ".parts"
"""How the name of the hidden folder ends that holds what is done of a file, beside it, until it is whole."""
STALE = "stale"
"""Why the dataset was older than what it was made from, where embedding it was wanted; absent where it was not."""


def parts_folder(path: Path) -> Path:
    """Return where parts of a file are kept until it is whole."""
    return path.with_name(f".{path.name}{PARTS}")


def about_embeddings(path: Path) -> dict[str, str] | None:
    """Return what a file of embeddings was made of; None where it is none."""
    try:
        schema = parquet_schema(path)
    except FileError:
        return None
    about = {
        key.decode(errors="replace"): said.decode(errors="replace") for key, said in (schema.metadata or {}).items()
    }
    # those of earlier versions do not tell the weights
    return about if {*OF[:2]} <= about.keys() else None
