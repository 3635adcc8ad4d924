"""A stage of a plan: what it will be made from, and why it runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from tawt.pipeline.fingerprint import components_of
from tawt.pipeline.keys import Now
from tawt.pipeline.letting_go import made_again
from tawt.pipeline.manifest import Components, Manifest, reason_to_run
from tawt.sources.stage import Stage


@dataclass(frozen=True)
class Step:
    """A stage of a plan."""

    stage: Stage
    components: Components
    """What it will be made from."""
    manifest: Manifest | None
    """Of what is there of it; None = it is not finished."""
    reason: str | None
    """Why it runs; None = it is up to date."""
    forced: bool = False
    wanted: str | None = None
    """Who reads its files, in words; None = they need not be there, as long as it is up to date."""

    def as_of(self, manifest: Manifest | None) -> Step:
        """Return it as it is where this is there of it."""
        reason = reason_to_run(manifest, self.components, self.forced) or made_again(manifest, self.wanted)
        return replace(self, manifest=manifest, reason=reason)

    def once_made(self, there: Mapping[str, Manifest], source: str, now: Now) -> Step:
        """Return it with what the stages before it gave, perhaps what they gave before: then it need not run.

        Args:
            there: What is finished.
            source: Of the pipeline.
            now: What the workspace has behind keys.
        """
        known = {n: there[n].content if n in there else is_ for n, is_ in self.components.inputs.items()}
        if not self.components.unknown and known == self.components.inputs:
            return self
        components = components_of(self.stage, source, now, known)
        return replace(self, components=components).as_of(self.manifest)
