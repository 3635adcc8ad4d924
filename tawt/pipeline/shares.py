"""What several processes make of one stage: each the shards that fall to it, handed in until the stage is published."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from tawt.files import digest
from tawt.pipeline.each_shard import HANDED_IN, ShareMadeError
from tawt.pipeline.manifest import Manifest, read_manifest, reason_to_run
from tawt.pipeline.plan import Plan, Step
from tawt.pipeline.presence import Part
from tawt.pipeline.relations import hold_inputs
from tawt.pipeline.run import Report, bound_for, room_told
from tawt.pipeline.workspace import Workspace
from tawt.places import remove
from tawt.sources.stage import BuiltIn, Share, Stage

_SHARES = ".shares"
"""Folder, in that of what is handed in of a stage, that tells which shares are whole."""


def in_shards(stage: Stage) -> bool:
    """Return whether several processes may share a stage out."""
    return isinstance(stage.made_by, BuiltIn) and stage.made_by.in_shards


def key_of(step: Step) -> str:
    """Return the hash of all that a stage is made from, by which processes know that they make the same."""
    return digest(step.components.model_dump())


def as_now(workspace: Workspace, step: Step) -> Step:
    """Return a step as it is by now: another process may have made it."""
    manifest = read_manifest(workspace, step.stage.name)
    return replace(step, manifest=manifest, reason=reason_to_run(manifest, step.components, step.forced))


def whole_shares(workspace: Workspace, step: Step, n: int) -> set[int]:
    """Return which parts of so many have handed their share of a stage in."""
    place = _handed_in(workspace, step) / _SHARES
    return {i for i in range(1, n + 1) if (place / Part(i, n).name).is_file()}


def make_share(
    workspace: Workspace, plan: Plan, step: Step, there: Mapping[str, Manifest], part: Part, token: str, report: Report
) -> None:  # fmt: skip
    """Make the shards of a stage that fall to a part, and hand them in.

    Args:
        workspace: Where.
        plan: Of the run.
        step: The stage, of which all that it reads is there.
        there: What is finished.
        part: Which.
        token: What no other process is called.
        report: Hears what happens.
    """
    stage, place = step.stage, _handed_in(workspace, step)
    report({"event": "start", "stage": stage.name, "reason": step.reason})

    def tick(done: int, total: int) -> None:
        report({"event": "progress", "stage": stage.name, "done": done, "total": total})

    assert isinstance(stage.made_by, BuiltIn), stage.name
    own = place.with_name(f"{place.name}-{part.name}-{token}")
    bound = replace(bound_for(plan, step, there), share=Share(part.i - 1, part.n, place))
    hold_inputs(bound, [*bound.inputs])
    try:
        with room_told(workspace.output(stage.name), bound), suppress(ShareMadeError):
            own.mkdir(parents=True)
            stage.made_by.run(bound, own, tick)
        whole = place / _SHARES / part.name
        whole.parent.mkdir(parents=True, exist_ok=True)
        whole.touch()
    except FileNotFoundError:  # the stage is published, and what was handed in is gone
        if as_now(workspace, step).reason is not None:
            raise
    finally:
        remove(own)


def _handed_in(workspace: Workspace, step: Step) -> Path:
    return workspace.aside / f"{step.stage.name}-{key_of(step)}{HANDED_IN}"
