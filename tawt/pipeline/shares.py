"""What several processes make of one stage: each the shards that fall to it, handed in until the stage is published."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace

from tawt.pipeline.common import Common, handed_in
from tawt.pipeline.each_shard import ShareMadeError
from tawt.pipeline.manifest import Manifest
from tawt.pipeline.plan import Plan
from tawt.pipeline.presence import Part
from tawt.pipeline.relations import hold_inputs
from tawt.pipeline.run import Report, bound_for, room_told
from tawt.pipeline.step import Step
from tawt.pipeline.workspace import Workspace
from tawt.places import remove
from tawt.sources.stage import BuiltIn, Share, Stage


def in_shards(stage: Stage) -> bool:
    """Return whether several processes may share a stage out."""
    return isinstance(stage.made_by, BuiltIn) and stage.made_by.in_shards


def make_share(
    workspace: Workspace, plan: Plan, step: Step, there: Mapping[str, Manifest], part: Part, token: str, report: Report,
    common: Common,
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
        common: Where others find it.
    """
    stage, place = step.stage, workspace.root / handed_in(step)
    report({"event": "start", "stage": stage.name, "reason": step.reason})
    one_more = common.begin_share(step)

    def tick(done: int, total: int) -> None:
        one_more()
        report({"event": "progress", "stage": stage.name, "done": done, "total": total})

    assert isinstance(stage.made_by, BuiltIn), stage.name
    own = place.with_name(f"{place.name}-{part.name}-{token}")
    bound = replace(bound_for(plan, step, there), share=Share(part.i - 1, part.n, place))
    hold_inputs(bound, [*bound.inputs])
    try:
        with room_told(workspace.output(stage.name), bound), suppress(ShareMadeError):
            own.mkdir(parents=True)
            stage.made_by.run(bound, own, tick)
        common.end_share(step, part)
    except FileNotFoundError:  # the stage is published, and what was handed in is gone
        if common.as_now(step).reason is not None:
            raise
    finally:
        remove(own)
