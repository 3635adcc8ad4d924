"""Which outputs are older than what they were made from, why, and what to run; from manifests, without an engine."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from tawt.contracts.label_set import FOLDER as LABELS
from tawt.contracts.label_set import about_labels, label_path
from tawt.contracts.layers import layer_of, raw_table
from tawt.contracts.workspace import PIPELINE, origin_of
from tawt.errors import TawtError
from tawt.pipeline.keys import ABSENT_TABLES, Now, changes
from tawt.pipeline.manifest import Components, Manifest, about_versions, manifest_at
from tawt.pipeline.origin import ingest_again, without_project
from tawt.pipeline.touched import raw_changed
from tawt.pipeline.workspace import Workspace, manifest_path, open_workspace
from tawt.shell import command

_NAMED = 3


class Why(Enum):
    """Why a stage is stale: what it is about."""

    OWN = "{}"
    """What was written for it, or a setting."""
    FAULT = "cannot run: {}"
    """What was written for it is refused."""
    STALE = "{} is stale"
    """An input, itself older than what it was made from."""
    NEWER = "{} is newer"
    """An input was made anew since."""
    RAW = "{} has changed since it was read"
    """A raw table."""
    CAME = "{} was absent and is there now"
    """A raw table that the last ingest did not find."""
    EDITED = "pipeline edited ({})"
    """What the pipeline says for it where the last ingest read it, which the next one takes over."""
    UNFINISHED = "{} is not finished"
    NEW = "{} is new"
    GONE = "{} is gone"


_DEEPER = (Why.UNFINISHED, Why.NEW, Why.GONE)
"""What making the stage again does not mend by itself."""
_INGESTED = {Why.RAW, Why.CAME, Why.EDITED}
"""What an ingest alone mends."""


@dataclass(frozen=True)
class Reason:
    """One reason for which a stage is stale."""

    why: Why
    name: str
    """What it is about: an input, or what changed in words."""
    mend: str = ""
    """What a person does about it, where no command does."""

    def __str__(self) -> str:
        return self.why.value.format(self.name)


Stale = Mapping[str, tuple[Reason, ...]]
"""Stage -> why it is stale."""


def reasons(
    manifests: Mapping[str, Manifest | None],
    inputs: Mapping[str, Collection[str]],
    own: Callable[[str, Manifest], list[Reason]],
    raw: Mapping[str, str | None],
) -> dict[str, tuple[Reason, ...]]:
    """Return the finished stages that are stale -> why.

    Args:
        manifests: Of all stages, each after those that it reads; None = not finished.
        inputs: What each reads now.
        own: Returns what of a stage itself is another than when it was made.
        raw: Of each raw table, what it is known by; None = its files have changed, or come, since.
    """
    found: dict[str, tuple[Reason, ...]] = {}
    for name, manifest in manifests.items():
        if manifest is None:
            continue
        made_from, now = manifest.components.inputs, inputs[name]
        absent = manifest.components.keys.get(ABSENT_TABLES) or ()
        why = own(name, manifest)
        why += [Reason(Why.CAME, f"raw.{table}") for table in absent if raw.get(table, "") is None]
        for other in sorted({*now, *made_from}):
            before = manifests.get(other)
            if other not in now:
                why.append(Reason(Why.GONE, other))
            elif other not in made_from:
                why.append(Reason(Why.NEW, other))
            elif (table := raw_table(other)) is not None:
                if raw.get(table, made_from[other]) != made_from[other]:
                    why.append(Reason(Why.RAW, other))
            elif before is None:
                why.append(Reason(Why.UNFINISHED, other))
            elif other in found:
                why.append(Reason(Why.STALE, other))
            elif before.content != made_from[other]:
                why.append(Reason(Why.NEWER, other))
        if why:
            found[name] = tuple(dict.fromkeys(why))
    return found


def own_reasons(manifest: Manifest, now: Now, keys: Collection[str] | None = None) -> list[Reason]:
    """Return what of a stage itself is another than when it was made.

    Args:
        manifest: Of the stage.
        now: What the workspace has behind keys.
        keys: What the stage hangs on now, where an engine has told; else what it hung on then.
    """
    before, found = manifest.components.keys, []
    for one in changes(before, now.tell(before if keys is None else keys)):
        found += [Reason(Why.NEW, name) for name in one.came] + [Reason(Why.GONE, name) for name in one.went]
        found += [] if one.key.endswith("/") else [Reason(Why.OWN, str(one))]
    edits = [one.detail for one in now.edited(before if keys is None else keys)]
    return found + ([Reason(Why.EDITED, ", ".join(edits))] if edits else [])


def roots(stale: Stale) -> dict[str, tuple[Reason, ...]]:
    """Return the stale stages that are so by themselves, and not only because something that they read is."""
    own = {name: tuple(one for one in why if one.why is not Why.STALE) for name, why in stale.items()}
    return {name: why for name, why in own.items() if why}


def mend(workspace: Workspace | Path, stale: Stale, target: str) -> str:
    """Return the command that brings a stage up to date, of which all that is stale before it is known."""
    first, root = roots(stale), workspace if isinstance(workspace, Path) else workspace.place
    if (again := _label_again(root, target)) is not None:
        first_of = {name: why for name, why in stale.items() if name != target}
        return f"{mend(workspace, first_of, 'events')} && {again}" if first_of else again
    whole = command("run", f"+{target}", workspace=root)
    kinds = {one.why for why in first.values() for one in why}
    if faults := [one.mend for why in first.values() for one in why if one.mend]:
        return faults[0]
    if kinds & _INGESTED and isinstance(workspace, Workspace):
        again = ingest_again(workspace, edited=Why.EDITED in kinds)
        return again if layer_of(target).command == "ingest" else f"{again} && {whole}"
    if kinds & {*_DEEPER} or len(first) > _NAMED or target not in stale:
        return whole
    return command("run", ",".join(f"{name}+" for name in first), workspace=root)


def _label_again(root: Path, target: str) -> str | None:
    """Return the command that makes a label set of `tawt label` anew; None of all else."""
    name = target.partition(".")[2]
    about = about_labels(label_path(root, name)) if _labelled(root, target) is not None else None
    if about is None or (root / "manifests" / f"{target}.json").exists():
        return None
    return command("label", about.task, *(("--name", name) if name != Path(about.task).stem else ()), workspace=root)


def in_words(why: Collection[Reason]) -> str:
    """Return the reasons of one stage in a line."""
    return ", ".join(map(str, why))


def all_in_words(stale: Stale) -> str:
    """Return why, in a line: of those that are stale by themselves, the first few."""
    first = roots(stale)
    said = [f"{name} ({in_words(why)})" for name, why in list(first.items())[:_NAMED]]
    return ", ".join(said) + (f" and {len(first) - _NAMED} more" if len(first) > _NAMED else "")


@dataclass(frozen=True)
class Fresh:
    """Whether a dataset is of what its workspace holds now."""

    stale: Stale
    """Of the dataset and what it came from, what is stale -> why."""
    notes: tuple[str, ...] = ()
    """What could not be compared here."""
    mend: str = ""
    """The command that brings the dataset up to date."""
    fault: str = ""
    """Why it cannot be told whether it is stale, where somebody must mend that first."""

    @property
    def why(self) -> str | None:
        """Why it is stale, or may be, in a line; None where it is not."""
        return (all_in_words(self.stale) if self.stale else self.fault) or None


def look(root: Path, target: str = "dataset") -> Fresh:
    """Compare a dataset, or labels, with what it came from, as far as that is here: what was made anew or edited since.

    A workspace that was copied to be trained from may hold `dataset/` and `vocabulary/` alone.
    """
    manifests: dict[str, Manifest | None] = {}
    _follow(root, target, manifests)
    if manifests[target] is None and any((root / "manifests").glob("*.json")):
        unfinished: Stale = {target: (Reason(Why.UNFINISHED, "it"),)}
        return Fresh(unfinished, mend=mend(root, unfinished, target))
    if manifests[target] is None:
        return Fresh({}, ("nothing here says what the dataset was made from: whether it is stale is not known",))
    workspace = open_workspace(root) if ((origin_of(root) or root) / PIPELINE).is_file() else None
    now = Now(workspace) if workspace is not None else None

    def own(name: str, manifest: Manifest) -> list[Reason]:
        why = own_reasons(manifest, now) if now is not None else []
        return (_fault(workspace, name) if any(one.why is Why.OWN for one in why) else []) or why

    inputs = {name: manifest.components.inputs for name, manifest in manifests.items() if manifest is not None}
    stale = reasons(manifests, inputs, own, raw_changed(workspace) if workspace is not None else {})
    by_others = about_versions(root, manifests.values())
    if workspace is None or now is None:
        notes = ["the pipeline is not here: whether SQL, contracts or settings were edited since is not known"]
        return Fresh(stale, (*notes, *by_others), mend(root, stale, target) if stale else "")
    if without_project(workspace):
        notes = [f"the project {workspace.local.project} is not here: whether its SQL was edited since is not known"]
    else:
        notes = about_pipeline(workspace, now, stale) if stale or not now.source.fault else []
    fault = now.source.fault
    notes += by_others
    return Fresh(stale, tuple(notes), mend(workspace, stale, target) if stale else now.source.mend, fault)


def _fault(workspace: Workspace | None, stage: str) -> list[Reason]:
    """Return why a stage that was edited cannot run as it is written; nothing where it can, or no engine can tell."""
    if workspace is None or layer_of(stage).built_in or without_project(workspace):
        return []
    try:
        from tawt.sources.hold import stage_alone
        from tawt.sources.tables import Tables
    except ImportError:
        return []
    try:
        stage_alone(stage, Tables(workspace.project, workspace.pipeline.source))
    except TawtError as error:
        return [Reason(Why.FAULT, error.of(stage), error.mend)]
    return []


def about_pipeline(workspace: Workspace, now: Now, stale: Stale | None = None) -> list[str]:
    """Return what is to be said of the pipeline that a workspace was made by: edited, gone, or not to be read.

    Args:
        workspace: Where.
        now: What it has behind keys.
        stale: The stages that are told to be stale, for that or for something else, where they are told.
    """
    source = now.source
    if source.fault or source.gone:
        return [f"{source.fault or source.gone}; `{source.mend}`"]
    told = any(one.why is Why.EDITED for why in (stale or {}).values() for one in why)
    if not now.differing or told:
        return []
    return [
        f"the pipeline {workspace.local.pipeline} was edited since the ingest ({', '.join(now.differing)}): stages run "
        f"by the workspace's own until `{ingest_again(workspace, edited=True)}` takes it over"
    ]


def _follow(root: Path, stage: str, found: dict[str, Manifest | None]) -> None:
    """Read the manifest of a stage after those of what it was made from."""
    manifest = manifest_at(manifest_path(root, stage)) or _labelled(root, stage)
    for other in manifest.components.inputs if manifest is not None else ():
        if other not in found and raw_table(other) is None:
            found[other] = None  # a circle, which none of ours has, ends here
            _follow(root, other, found)
    found.pop(stage, None)
    found[stage] = manifest


def _labelled(root: Path, stage: str) -> Manifest | None:
    """Return what stands for the manifest of a label set of `tawt label`, which says itself what it was made of."""
    path = label_path(root, stage.partition(".")[2])
    about = about_labels(path) if stage.startswith(f"{LABELS}.") and path.is_file() else None
    if about is None:
        return None
    made_from = Components(inputs={"events": about.made_of["events"]})
    return Manifest.model_construct(
        stage=stage, components=made_from, fingerprint="", files={}, hashes={}, accounts=(), seconds=0.0
    )
