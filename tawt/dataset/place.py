"""Where the dataset lies that is written in a vocabulary: in a workspace, or carried into the vocabulary in it."""

from __future__ import annotations

import hashlib
from pathlib import Path

from tawt.contracts.dataset import DATASET, DatasetManifest
from tawt.contracts.workspace import CARRIED
from tawt.errors import DatasetError
from tawt.readers import read_record

LETTERS = 12


def carried_place(workspace: Path, content: bytes) -> Path:
    """Return where a workspace is carried into a vocabulary, which is known by its file."""
    return workspace / CARRIED / hashlib.sha256(content).hexdigest()[:LETTERS]


def place_of(workspace: Path, sha256: str, content: bytes) -> Path:
    """Return the workspace or what was carried in it, whichever is written in a vocabulary; else the workspace.

    Args:
        workspace: Where.
        sha256: What the vocabulary is known by: of a shared model that of the whole one.
        content: Its file.
    """
    try:
        own = read_record(workspace / "dataset" / DATASET, DatasetManifest, "", DatasetError).vocabulary
    except DatasetError:
        own = ""
    carried = carried_place(workspace, content)
    return carried if own != sha256 and (carried / "dataset" / DATASET).is_file() else workspace
