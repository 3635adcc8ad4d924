"""What was measured of a workspace or a synthetic set: each file to the list written with it, and what lies beside."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from tawt.contracts.synthetic import ASSESSMENT, PROVENANCE
from tawt.contracts.workspace import AUDITS, EVALUATIONS, RISKS
from tawt.quality.runs import at_work, fault_of
from tawt.quality.strangers import Known
from tawt.seals import LIST, listed_files, sha256_file
from tawt.shell import command

_MAPS = "map-*.png"
"""What `tawt plot --labels` draws of runs of other places, and nobody lists."""


def check_measured(root: Path, known: Known) -> list[tuple[Path, str, str]]:
    """Hold the files of each evaluation, audit and assessment to its list.

    Args:
        root: The workspace.
        known: Learns of them; what else lies there is none of tawt's.

    Returns:
        Files, what is wrong with each, and the command that makes them anew.
    """
    wrong = []
    for place, again in _places(root):
        if place.name.startswith("."):  # written aside, or left as its command was killed
            known.loose.add(place)
            continue
        lock = place.with_name(f".{place.name}.lock")
        known.locks.add(lock)
        if at_work(lock):
            known.loose.add(place)
            continue
        wrong += [(path, fault, again) for path, fault in _of_one(place, known)]
    return wrong


def _places(root: Path) -> Iterator[tuple[Path, str]]:
    """Give each folder, and the command that makes it anew."""
    for room, name in ((EVALUATIONS, "evaluate"), (AUDITS, "audit"), (RISKS, "risk")):
        run = {"run": "RUN"} if name != "audit" else {}
        for place in sorted(path for path in (root / room).glob("*") if path.is_dir()):
            yield place, command(name, place.name, workspace=root, **run)
    if (root / PROVENANCE).is_file() and (root / ASSESSMENT).is_dir():
        yield root / ASSESSMENT, command("assess", root, workspace="WORKSPACE")


def _of_one(place: Path, known: Known) -> list[tuple[Path, str]]:
    known.add((place / LIST, *place.glob(_MAPS)))
    try:
        listed = listed_files(place)
    except OSError as error:
        return [(place / LIST, f"cannot be read ({os.strerror(error.errno or 0)})")]
    known.add(place / name for name in listed or {})
    if not listed:
        known.loose.add(place)  # what was of it cannot be told; maps alone are of no evaluation
        there = any(path.is_file() and not path.match(_MAPS) for path in place.rglob("*"))
        return [(place / LIST, "is missing or changed")] if there or listed is not None else []
    faults = {
        place / name: fault_of(place / name, lambda path, sha256=sha256: sha256_file(path) == sha256)  # type: ignore[misc]
        for name, sha256 in listed.items()
    }
    return [(path, fault) for path, fault in faults.items() if fault is not None]
