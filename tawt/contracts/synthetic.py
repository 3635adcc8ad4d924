"""What a synthetic set says of itself."""

from __future__ import annotations

from dataclasses import dataclass

SHARDS = "dataset/dataset.json"
"""What lists the shards of a set by their hashes."""
PROVENANCE = "provenance.json"
"""File of a synthetic set that says what it is and how it was made; sealed."""
ASSESSMENT = "assessment"
"""Folder of a synthetic set that `tawt assess` writes."""
SYNTHETIC_SETS = "synthetic"
"""Folder of a workspace for synthetic sets made of it; they may lie anywhere else too."""

REFUSED = "refused"
"""Folder of a workspace that tells which sets made of it a gate refused: a folder a run or control, a file a set."""


@dataclass(frozen=True)
class Verdict:
    """What a gate says of a set before it is published."""

    gate: str
    """Its name."""
    passed: bool
    """Whether the set may be published by it."""
    text: str = ""
    """Why."""
    outcome: str = ""
    """`passed`, `failed`, or `cannot tell`: so few people do not say, and the set is not refused for it."""
