"""Whoever goes on from a dataset, or from labels, holds first that they are of what the workspace holds now."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from tawt.contracts.label_set import FOLDER as LABELS
from tawt.contracts.label_set import about_labels, label_path
from tawt.contracts.workspace import origin_of
from tawt.errors import ConfigError, StaleError
from tawt.pipeline.manifest import make_again, manifest_at
from tawt.pipeline.stale import Fresh, look
from tawt.pipeline.workspace import manifest_path
from tawt.seals import holds, sha256_file


def hold_fresh(
    root: Path, stale_ok: bool, note: Callable[[str], None] = lambda text: None, labels: Path | None = None
) -> str | None:
    """Refuse to go on from a dataset, or labels, that are stale, unless that is wanted; say what could not be compared.

    Args:
        root: The workspace.
        stale_ok: Whether to take it as it is.
        note: Is told.
        labels: The file of a label set that is used too; one that no command wrote is taken as it is.

    Returns:
        Why it is stale, for the record of what is made of it; None where it is not.

    Raises:
        StaleError: It is stale.
    """
    found = [(root / "dataset", look(root))]
    if labels is not None and (fresh := _of_labels(root, labels)) is not None:
        known = found[0][1].notes
        found.append((labels.parent, replace(fresh, notes=tuple(n for n in fresh.notes if n not in known))))
    whys = [why for place, fresh in found if (why := _held(place, fresh, stale_ok, note)) is not None]
    return "; ".join(dict.fromkeys(whys)) or None


def hold_labels(root: Path, labels: Path, stale_ok: bool) -> None:
    """Refuse labels that are stale before anything is made for them; what is to be told comes with `hold_fresh`.

    Args:
        root: The workspace.
        labels: The file of a label set; one that no command wrote is taken as it is.
        stale_ok: Whether to take them as they are.

    Raises:
        StaleError: They are stale.
    """
    if not stale_ok and (fresh := _of_labels(root, labels)) is not None:
        _held(labels.parent, fresh, stale_ok, lambda text: None)


def hold_written(labels: Path) -> None:
    """Hold a label set to what it was when tawt wrote it: to its seal, or to the hash that its stage has listed.

    Args:
        labels: The file; one that tawt did not write is taken as it is.

    Raises:
        ConfigError: It is not as it was written.
    """
    about, name = about_labels(labels), labels.parent.name
    hint = "make it again with `tawt label`; a file of your own is to be without the metadata of one of tawt's"
    still = holds(labels, without=about is None)
    if about is None and labels.parts[-3:-2] == (LABELS,):
        root = labels.parents[2]
        listed = manifest_at(manifest_path(root, f"{LABELS}.{name}"))
        written = listed.hashes.get(labels.relative_to(root).as_posix()) if listed is not None else None
        still, hint = still and written in (None, sha256_file(labels)), make_again(root, f"{LABELS}.{name}")
    if not still:
        raise ConfigError(str(labels), "is not as it was written, expected the labels that tawt wrote", hint)


def _of_labels(root: Path, labels: Path) -> Fresh | None:
    own = origin_of(root) or root  # labels are those of the workspace whose events are carried
    stage = stage_of_labels(own, labels)
    return None if stage is None else look(own, stage)


def stage_of_labels(root: Path, path: Path) -> str | None:
    """Return what a label set of a workspace is called as an output of it; None of a file that no command wrote."""
    stage = f"{LABELS}.{path.parent.name}"
    if path != label_path(root, path.parent.name):
        return None
    # where there are no manifests nothing can be compared, as is said of the dataset
    manifests = {one.stem for one in (root / "manifests").glob("*.json")}
    return stage if stage in manifests or (manifests and about_labels(path) is not None) else None


def _held(place: Path, fresh: Fresh, stale_ok: bool, note: Callable[[str], None]) -> str | None:
    for text in fresh.notes:
        note(text)
    if fresh.why is None:
        return None
    state, then = ("is stale", " makes it anew") if fresh.stale else ("may be stale", "")
    then = then if fresh.mend.startswith("tawt ") else ""
    if not stale_ok:
        raise StaleError(
            str(place), f"{state}: {fresh.why}, expected what is made of what is there now",
            f"`{fresh.mend}`{then}; `--stale-ok` takes it as it is",
        )  # fmt: skip
    what = "the dataset" if place.name == "dataset" else f"{LABELS}.{place.name}"
    note(f"{what} {state}, and is taken as it is: {fresh.why}; `{fresh.mend}`{then}")
    return fresh.why
