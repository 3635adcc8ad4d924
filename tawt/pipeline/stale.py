"""Which outputs are older than what they were made from, why, and what to run; from manifests, without an engine."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from tawt.contracts.layers import raw_table
from tawt.contracts.workspace import PIPELINE
from tawt.errors import StaleError
from tawt.pipeline.manifest import Manifest, manifest_at
from tawt.pipeline.told import edited, source_edited, without_project
from tawt.pipeline.workspace import open_workspace
from tawt.shell import command

_OTHER = "made by another version of tawt"
_FIRST = (" is not finished", " is gone", " is new")
"""Ends of reasons that making what reads it again does not mend by itself."""
_OF_INPUT = " is stale"
_NAMED = 3


def reasons(
    manifests: Mapping[str, Manifest | None],
    inputs: Mapping[str, Collection[str]],
    own: Callable[[str, Manifest], list[str]],
) -> dict[str, tuple[str, ...]]:
    """Return the finished stages that are stale -> why.

    Args:
        manifests: Of all stages, each after those that it reads; None = not finished.
        inputs: What each reads now.
        own: Returns in words what of a stage itself is another than when it was made.
    """
    found: dict[str, tuple[str, ...]] = {}
    for name, manifest in manifests.items():
        if manifest is None:
            continue
        if manifest.other_form:
            found[name] = (_OTHER,)
            continue
        made_from, now = manifest.components.inputs, inputs[name]
        why = own(name, manifest)
        for other in sorted({*now, *made_from}):
            before = manifests.get(other)
            if other not in now:
                why.append(f"{other} is gone")
            elif other not in made_from:
                why.append(f"{other} is new")
            elif raw_table(other) is not None:
                continue
            elif before is None:
                why.append(f"{other} is not finished")
            elif other in found:
                why.append(f"{other}{_OF_INPUT}")
            elif before.content != made_from[other]:
                why.append(f"{other} is newer")
        if why:
            found[name] = tuple(why)
    return found


def roots(stale: Mapping[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
    """Return the stale stages that are so by themselves, and not only because something that they read is."""
    own = {name: tuple(one for one in why if not one.endswith(_OF_INPUT)) for name, why in stale.items()}
    return {name: why for name, why in own.items() if why}


def mend(workspace: Path, stale: Mapping[str, tuple[str, ...]], target: str) -> str:
    """Return the command that brings a stage up to date, of which all that is stale before it is known."""
    first = roots(stale)
    deeper = any(one.endswith(_FIRST) or one == _OTHER for why in first.values() for one in why)
    if deeper or len(first) > _NAMED or target not in stale:
        return command("run", f"+{target}", workspace=workspace)
    return command("run", ",".join(f"{name}+" for name in first), workspace=workspace)


def in_words(stale: Mapping[str, tuple[str, ...]]) -> str:
    """Return why, in a line: of those that are stale by themselves, the first few."""
    first = roots(stale)
    said = [f"{name} ({', '.join(why)})" for name, why in list(first.items())[:_NAMED]]
    return ", ".join(said) + (f" and {len(first) - _NAMED} more" if len(first) > _NAMED else "")


@dataclass(frozen=True)
class Fresh:
    """Whether a dataset is of what its workspace holds now."""

    stale: dict[str, tuple[str, ...]]
    """Of the dataset and what it came from, what is stale -> why."""
    notes: tuple[str, ...] = ()
    """What could not be compared here."""

    @property
    def why(self) -> str | None:
        """Why it is stale, in a line; None where it is not."""
        return in_words(self.stale) if self.stale else None


def look(root: Path) -> Fresh:
    """Compare a dataset with what it came from, as far as that is here: what was made anew since, and what was edited.

    A workspace that was copied to be trained from may hold `dataset/` and `vocabulary/` alone.
    """
    manifests: dict[str, Manifest | None] = {}
    _follow(root, "dataset", manifests)
    if manifests["dataset"] is None and any((root / "manifests").glob("*.json")):
        return Fresh({"dataset": ("it is not finished",)})
    if manifests["dataset"] is None:
        return Fresh({}, ("nothing here says what the dataset was made from: whether it is stale is not known",))
    workspace = open_workspace(root) if (root / PIPELINE).is_file() else None
    notes = []
    if workspace is None:
        notes.append("the pipeline is not here: whether SQL, contracts or settings were edited since is not known")
    elif without_project(workspace):
        notes.append(
            f"the project {workspace.local.project} is not here: whether its SQL was edited since is not known"
        )

    elif (edit := source_edited(workspace)) is not None:
        notes.append(edit)

    def own(name: str, manifest: Manifest) -> list[str]:
        return edited(manifest.told, workspace) if workspace is not None else []

    inputs = {name: manifest.components.inputs for name, manifest in manifests.items() if manifest is not None}
    return Fresh(reasons(manifests, inputs, own), tuple(notes))


def _follow(root: Path, stage: str, found: dict[str, Manifest | None]) -> None:
    """Read the manifest of a stage after those of what it was made from."""
    manifest = manifest_at(root / "manifests" / f"{stage}.json")
    for other in manifest.components.inputs if manifest is not None else ():
        if other not in found and raw_table(other) is None:
            found[other] = None  # a circle, which none of ours has, ends here
            _follow(root, other, found)
    found.pop(stage, None)
    found[stage] = manifest


def hold_fresh(root: Path, stale_ok: bool, note: Callable[[str], None] = lambda text: None) -> str | None:
    """Refuse to go on from a dataset that is stale, unless that is wanted; say what could not be compared.

    Args:
        root: The workspace.
        stale_ok: Whether to take it as it is.
        note: Is told.

    Returns:
        Why it is stale, for the record of what is made of it; None where it is not.

    Raises:
        StaleError: It is stale.
    """
    fresh = look(root)
    for text in fresh.notes:
        note(text)
    if fresh.why is None:
        return None
    again = mend(root, fresh.stale, "dataset")
    if not stale_ok:
        raise StaleError(
            str(root / "dataset"), f"is stale: {fresh.why}, expected what is made of what is there now",
            f"`{again}` makes it anew; `--stale-ok` takes it as it is",
        )  # fmt: skip
    note(f"the dataset is stale, and taken as it is: {fresh.why}; `{again}` makes it anew")
    return fresh.why
