"""Whether a dataset is of what its workspace holds now: manifests of stages tell it, without the pipeline."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tawt.files import read_json
from tawt.shell import command


def made_anew(workspace: Path) -> list[str]:
    """Return the stages that a dataset came from and that were made anew, or went, since it was built.

    Each manifest names what its stage was made from. A workspace without manifests tells nothing: it is one that was
    copied to be trained from.
    """
    anew, seen, todo = set(), {"dataset"}, ["dataset"]
    while todo:
        for name, fingerprint in _manifest(workspace, todo.pop())[1].items():
            if name.startswith("raw."):
                continue
            if _manifest(workspace, name)[0] != fingerprint:
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


def _manifest(workspace: Path, stage: str) -> tuple[Any, dict[str, Any]]:
    """A stage's fingerprint and those of its inputs; nothing of a manifest that is damaged, which `check` names."""
    about = read_json(workspace / "manifests" / f"{stage}.json") or {}
    parts = about.get("components")
    inputs = parts.get("inputs") if isinstance(parts, dict) else None
    return about.get("fingerprint"), inputs if isinstance(inputs, dict) else {}
