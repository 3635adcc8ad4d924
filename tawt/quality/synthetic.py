"""A synthetic set is a workspace and the MEDS dataset that it was made of; its provenance lists the files of that."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tawt.contracts.synthetic import PROVENANCE, REFUSED, SHARDS
from tawt.errors import DatasetError, FileError
from tawt.quality.finding import Finding, finding_of
from tawt.quality.strangers import Known
from tawt.readers import read_map
from tawt.seals import holds, sha256_file

FOLDERS = ("data", "metadata")
_COPY = "take the set from a copy, or generate it again"
_TOLD = "take it from a copy; it counts as a refused set all the same"


def know_synthetic(root: Path, known: Known) -> None:
    """Know what the provenance of a synthetic set lists, and itself; and which sets of a workspace were refused."""
    refused = _refused(root)
    known.add(refused)
    known.folders |= {root / REFUSED, *(path.parent for path in refused)}
    if (root / PROVENANCE).is_file():
        known.files |= {root / PROVENANCE, *(root / name for name in _listed(root))}
        known.folders |= {root / name for name in FOLDERS}


def check_synthetic(root: Path) -> list[Finding]:
    """Hold a synthetic set to its provenance, and what is told of refused ones to what was written."""
    refused = _refused(root)
    changed = [f"{path.relative_to(root).as_posix()} is not as it was written" for path in refused if not holds(path)]
    found = [finding_of("refused sets", changed, f"{len(refused)}, as they were told", _TOLD)] if refused else []
    path = root / PROVENANCE
    if not path.is_file():
        return found
    wrong = [] if holds(path) else [f"{PROVENANCE} is not as it was written"]
    if not wrong and not read_map(path).get("published"):
        wrong = ["was left aside before it was judged, by a command that was killed"]
    for name, sha256 in _listed(root).items():
        if not (root / name).is_file() or sha256_file(root / name) != sha256:
            wrong.append(f"{name} is missing or not as it was written")
    return [*found, finding_of("synthetic set", wrong, "as it was published", _COPY)]


def hold_synthetic(root: Path) -> None:
    """Hold a set that says of itself what it is to that, before anything is said of it.

    Raises:
        DatasetError: A file of it is not as it was published.
    """
    for one in check_synthetic(root):
        if not one.ok:
            raise DatasetError(str(root), f"{one.detail}, expected the set as it was published", _COPY)


def _refused(root: Path) -> list[Path]:
    return sorted((root / REFUSED).glob("*/*.json"))


def _listed(root: Path) -> dict[str, Any]:
    try:
        files = read_map(root / PROVENANCE).get("files")
    except FileError:
        return {}
    return (
        {name: sha256 for name, sha256 in files.items() if name.partition("/")[0] in FOLDERS or name == SHARDS}
        if isinstance(files, dict)
        else {}
    )
