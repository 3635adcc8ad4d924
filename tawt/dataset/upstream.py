"""Whether a dataset is of what its workspace holds now: manifests of stages tell it, without the pipeline."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tawt.commands import command
from tawt.files import read_json


def made_anew(workspace: Path) -> list[str]:
    """Return the stages that a dataset came from and that were made anew, or went, since it was built.

    Each manifest names what its stage was made from. A workspace without manifests tells nothing: it is one that was
    copied to be trained from.
    """
    anew, seen, todo = set(), {"dataset"}, ["dataset"]
    while todo:
        for name, fingerprint in _manifest(workspace, todo.pop()).get("components", {}).get("inputs", {}).items():
            if name.startswith("raw."):
                continue
            if _manifest(workspace, name).get("fingerprint") != fingerprint:
                anew.add(name)
            if name not in seen:
                seen.add(name)
                todo.append(name)
    return sorted(anew)


def note_of_newer(workspace: Path) -> str | None:
    """Return what is to be said where stages are newer than the dataset."""
    if not (anew := made_anew(workspace)):
        return None
    named = ", ".join(anew[:3]) + (f" and {len(anew) - 3} more" if len(anew) > 3 else "")
    make = command("build-vocab", workspace=workspace)
    return f"the dataset is older than {named}, and not of what is there now: `{make}` builds it again"


def _manifest(workspace: Path, stage: str) -> dict[str, Any]:
    return read_json(workspace / "manifests" / f"{stage}.json") or {}
