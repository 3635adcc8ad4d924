"""How long the rest of a plan takes: by what this run has done so far, and how long it took."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic
from typing import Any

from tawt.contracts.layers import raw_table
from tawt.pipeline.foretold import Forecast
from tawt.pipeline.manifest import Manifest
from tawt.pipeline.plan import Plan
from tawt.sources.stage import Stage

_MICROSECONDS = {
    "staging": 0.15, "event_parts": 1.2, "links": 2.0, "codes": 6.0, "events": 2.9, "labels": 0.5, "vocabulary": 0.45,
    "triplets": 0.77, "dataset": 0.45, "content_events": 0.5, "contents": 5_000.0,
}  # fmt: skip
"""Layer -> CPU time that a row, or of staging a cell, takes; only how they stand to one another tells anything."""
_OF_MEMBER = 8
"""How many times as long a cell takes of small files that are read one by one."""
_OF_STAGE = 0.15
"""Seconds beside the rows."""
_LEAST_SECONDS, _LEAST_SHARE = 5.0, 0.02
"""So long and so much of it a run has to have done before it tells anything."""


class TimeLeft:
    """Tells the time that the rest of a plan takes.

    What is left of the stage at work goes by how long its first part took, what follows it by how long the stages of
    this run took, each held to what was expected of it.

    Args:
        plan: What runs.
        forecast: What each stage will read.
    """

    def __init__(self, plan: Plan, forecast: Forecast) -> None:
        self._plan, self._forecast = plan, forecast
        self._to_do = [step.stage for step in plan.steps if step.reason is not None]
        self._began = self._begun = monotonic()
        self._expected = self._took = 0.0
        """Of the stages that are done."""

    def told(self, report: Callable[[dict[str, Any]], None]) -> Callable[[dict[str, Any]], None]:
        """Return what hears the events of the plan's run, and hands them on with the time that is left."""

        def heard(event: dict[str, Any]) -> None:
            if event["event"] == "start":
                self._begun = monotonic()
            elif event["event"] == "progress":
                event |= {"left_s": self.left(event["stage"], event["done"] / max(1, event["total"]))}
            elif event["event"] in ("done", "refused"):
                self._end(event["stage"], event.get("manifest") if event.get("reason") is not None else None)
            report(event)

        return heard

    def _end(self, name: str, made: Manifest | None) -> None:
        """Take in that a stage ended, or was not needed: then nothing was made."""
        if made is not None:
            self._expected += sum(self._seconds(one) for one in self._to_do if one.name == name)
            self._took += monotonic() - self._begun
            self._forecast.made(made)
        self._to_do = [one for one in self._to_do if one.name != name]

    def left(self, stage: str, share: float) -> float | None:
        """Return about how many seconds are left; None where too little is done to tell.

        Args:
            stage: The one at work.
            share: How much of it is done.
        """
        now = monotonic()
        here = [self._seconds(one) for one in self._to_do if one.name == stage]
        then = sum(self._seconds(one) for one in self._to_do if one.name != stage)
        mine = sum(here)
        expected, took = self._expected + share * mine, self._took + now - self._begun
        if now - self._began < _LEAST_SECONDS or expected < _LEAST_SHARE * (self._expected + mine + then):
            return None
        pace = took / expected  # of all that this run did
        own = (now - self._begun) / share if share else mine * pace
        # the more of the stage at work is done, the more its own pace tells
        rest = (1 - share) * (share * own + (1 - share) * mine * pace)
        return rest + then * pace

    def _seconds(self, stage: Stage) -> float:
        """Return what a stage would take on a machine of its own, as the figures above have it."""
        told = self._forecast.of.get(stage.name)
        if told is None:
            return _OF_STAGE
        layer, limits = stage.layer.name, self._plan.limits
        seconds = _MICROSECONDS.get(layer, 0.0) * 1e-6 * told.n_in * told.share
        for table in (self._plan.raw[one] for one in map(raw_table, stage.inputs) if one in self._plan.raw):
            seconds *= max(1, len(table.columns)) * (_OF_MEMBER if table.members is not None else 1)
        if layer in ("events", "triplets", "dataset"):
            seconds /= min(limits.workers, self._plan.settings.n_shards)
        return _OF_STAGE + seconds
