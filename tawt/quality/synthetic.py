"""A synthetic set is all that lies in its folders: its provenance lists each file by its hash, and there is no more."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from tawt.contracts.synthetic import DATA, FOLDERS, METADATA, PROVENANCE, REFUSED, SHARDS, Provenance
from tawt.contracts.workspace import PIPELINE
from tawt.errors import DatasetError
from tawt.places import is_under
from tawt.quality.finding import Finding, finding_of
from tawt.quality.measured import check_measured
from tawt.quality.meds import check_meds
from tawt.quality.runs import fault_of
from tawt.quality.strangers import Known
from tawt.readers import read_record
from tawt.seals import changed_files, holds, sha256_file

_COPY = "take the set from a copy, or generate it again"
_TOLD = "take it from a copy; it counts as a refused set all the same"


def provenance_of(root: Path) -> Provenance | None:
    """Return what a synthetic set says of itself; None of a set of another generator.

    Raises:
        DatasetError: It is a link or no file, is not as it was written, or says what no set of ours does.
    """
    path = root / PROVENANCE
    if not os.path.lexists(path):
        return None
    if path.is_symlink():
        raise DatasetError(str(path), "is a link, expected a file of the set's own", _COPY)
    return read_record(path, Provenance, _COPY, DatasetError, sealed=True)


def hold_synthetic(root: Path) -> Provenance | None:
    """Hold a set that says of itself what it is to that, before anything is said of it, and return it.

    Raises:
        DatasetError: As of `provenance_of`; or a file of the set is not as it was published, or is none of it.
    """
    about = provenance_of(root)
    if about is not None and not (told := _told(root, about)).ok:
        raise DatasetError(str(root), f"{told.detail}, expected the set as it was published", told.mend)
    return about


def check_synthetic(root: Path) -> list[Finding]:
    """Hold a synthetic set to its provenance, and what is told of refused ones to what was written."""
    refused = _refused(root)
    changed = [f"{path.relative_to(root).as_posix()} is not as it was written" for path in refused if not holds(path)]
    found = [finding_of("refused sets", changed, f"{len(refused)}, as they were told", _TOLD)] if refused else []
    try:
        about = provenance_of(root)
    except DatasetError as error:
        wrong = f"{PROVENANCE} {error.what.partition(', expected')[0]}"
        return [*found, finding_of(_CHECK, [wrong], "", _COPY)]
    return found if about is None else [*found, _told(root, about)]


def is_handed_on(root: Path) -> bool:
    """Return whether a folder is a synthetic set without the workspace that it was made with."""
    return os.path.lexists(root / PROVENANCE) and not os.path.lexists(root / PIPELINE)


def check_dataset(path: str | Path) -> list[Finding]:
    """Check anybody's MEDS dataset; of a synthetic set its provenance, and what was assessed of it, too.

    Args:
        path: Its root, with `data/` and `metadata/`.

    Returns:
        One finding per check.

    Raises:
        SourceError: There is no `data/` with Parquet files, or one is not Parquet.
    """
    root = Path(path).expanduser()
    found = check_synthetic(root)
    if measured := check_measured(root, Known()):
        wrong = [f"{file.relative_to(root).as_posix()} {fault}" for file, fault, _ in measured]
        found.append(finding_of("assessment", wrong, "", measured[0][2]))
    if (changed := changed_files(root)) is not None:
        wrong = [f"{name} is not as it was written" for name in changed]
        found.append(finding_of("files", wrong, "as they were written", "take them from a copy, or export them again"))
    return [*found, *check_meds(root)]


def know_synthetic(root: Path, known: Known) -> None:
    """Know what the provenance of a synthetic set lists, and itself; and which sets of a workspace were refused."""
    refused = _refused(root)
    known.add(refused)
    known.folders |= {root / REFUSED, *(path.parent for path in refused)}
    if (root / PROVENANCE).is_file():
        known.files.add(root / PROVENANCE)
        known.folders |= {root / DATA, root / METADATA}
        try:
            about = provenance_of(root)
        except DatasetError:  # `check_synthetic` tells it
            return
        assert about is not None
        known.files |= {root / name for name in about.files}


_CHECK = "synthetic set"


def _told(root: Path, about: Provenance) -> Finding:
    if not about.published:
        wrong = ["was left aside before it was judged, by a command that was killed"]
        return finding_of(_CHECK, wrong, "", _COPY)
    there = {path.relative_to(root).as_posix(): path for path in _lying(root)}
    handed_on = () if os.path.lexists(root / SHARDS) else (SHARDS,)
    wrong = [
        f"{name} is missing or not as it was written"
        for name, sha256 in about.files.items()
        if not is_under(name, handed_on) and not _holds(there.get(name), sha256)
    ]
    alien = [f"{name} is none of its files" for name in sorted({*there} - {*about.files})]
    mend = _COPY if wrong or not alien else "move it away if it was laid there, or take the set from a copy"
    return finding_of(_CHECK, [*wrong, *alien], "as it was published", mend)


def _holds(path: Path | None, sha256: str) -> bool:
    """Return whether what lies there is as it was listed; what a link leads to is not opened."""
    if path is None or path.is_symlink():
        return False
    return fault_of(path, lambda file: sha256_file(file) == sha256) is None


def _lying(root: Path) -> Iterator[Path]:
    """Give what lies in the folders of a set and is none itself, or may not be looked into; no link is followed."""
    unread: list[OSError] = []
    for top in (root / name for name in FOLDERS):
        if top.is_symlink() or (os.path.lexists(top) and not top.is_dir()):
            yield top
            continue
        for at, folders, files in os.walk(top, onerror=unread.append):
            entries = (Path(at, name) for name in (*folders, *files))
            yield from (path for path in entries if path.is_symlink() or not path.is_dir())
    yield from (Path(error.filename) for error in unread if not isinstance(error, FileNotFoundError))


def _refused(root: Path) -> list[Path]:
    return sorted((root / REFUSED).glob("*/*.json"))
