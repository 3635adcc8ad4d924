"""Where the dataset lies that is written in a vocabulary: in a workspace, or carried into the vocabulary in it."""

from __future__ import annotations

import hashlib
from pathlib import Path

from tawt.contracts.dataset import DATASET, VOCABULARY, DatasetManifest
from tawt.contracts.workspace import CARRIED
from tawt.dataset.vocabulary import Vocabulary
from tawt.errors import DatasetError
from tawt.readers import read_record
from tawt.seals import sha256_file

LETTERS = 12


def carried_place(workspace: Path, content: bytes) -> Path:
    """Return where a workspace is carried into a vocabulary, which is known by its file."""
    return workspace / CARRIED / hashlib.sha256(content).hexdigest()[:LETTERS]


def is_written_in(workspace: Path, vocabulary: Vocabulary) -> bool:
    """Return whether a workspace's own dataset is written in a vocabulary.

    One that is not there or broken is by the vocabulary beside it, so that who opens it is told what is wrong.
    """
    own = workspace / "vocabulary" / VOCABULARY
    said = _said(workspace) or (sha256_file(own) if own.is_file() else "")
    return said == vocabulary.sha256


def place_of(workspace: Path, sha256: str, content: bytes) -> Path:
    """Return the workspace or what was carried in it, whichever is written in a vocabulary; else the workspace.

    Args:
        workspace: Where.
        sha256: What the vocabulary is known by: of a shared model that of the whole one.
        content: Its file.
    """
    carried = carried_place(workspace, content)
    return carried if _said(workspace) != sha256 and (carried / "dataset" / DATASET).is_file() else workspace


def _said(workspace: Path) -> str:
    """Return the hash of the vocabulary that a workspace's dataset says it is written in; none where it is broken."""
    path = workspace / "dataset" / DATASET
    try:
        return read_record(path, DatasetManifest, "", DatasetError, sealed=True).vocabulary
    except DatasetError:
        return ""
