"""What was found of a synthetic set, in words and numbers: a verdict first, and what was not measured last."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from rich.table import Table

from tawt.assessment.attacks import Privacy
from tawt.assessment.likeness import likeness
from tawt.contracts.cells import few
from tawt.contracts.synthetic import COPIES, Outcome
from tawt.errors import printable
from tawt.evaluation.printed import printed
from tawt.fidelity.report import Fidelity
from tawt.fidelity.suite import CEILING, SYNTHETIC

FORMAT = "tawt.assessment/1"
"""What the JSON names as its format."""
NAMES = {SYNTHETIC: "synthetic", CEILING: "other real ones"}
"""What sets are called in tables and pictures; controls by their own names."""


@dataclass(frozen=True, eq=False)
class Assessed:
    """A synthetic set beside real people."""

    name: str
    """Of its folder."""
    made_by: Mapping[str, Any]
    """What its provenance says; nothing of a set of another generator."""
    sizes: Mapping[str, int]
    """People or records of each set."""
    chosen: str
    """Who the real ones are, in words."""
    fidelity: Fidelity | None = None
    """How like real records; None = not measured."""
    privacy: Privacy | None = None
    """Whom it gives away; None = not measured."""
    tasks: tuple[str, ...] = ()
    """What was learned from it."""
    not_measured: Mapping[str, str] = field(default_factory=dict)
    """What -> why not."""
    notes: tuple[str, ...] = ()
    """What else is to be known."""
    failed_before: tuple[str, ...] = ()
    """Gates that failed when others were asked, by its provenance: they have failed."""
    of_others: bool = False
    """Whether it was learned from others than the real ones: then nobody here can be attacked."""

    @property
    def outcome(self) -> Outcome | None:
        """Of the gates of privacy, and of those that failed before."""
        if self.failed_before:
            return "failed"
        return self.privacy.verdict.outcome if self.privacy is not None else None

    def to_json(self) -> dict[str, Any]:
        """Return what may be told as JSON."""
        return {
            "format": FORMAT, "set": self.name, "made_by": dict(self.made_by), "outcome": self.outcome,
            "failed_before": list(self.failed_before), "of_others": self.of_others,
            "verdict": self.verdict, "sizes": {name: few(n) for name, n in self.sizes.items()}, "real": self.chosen,
            "privacy": self.privacy and self.privacy.to_json(), "fidelity": self.fidelity and self.fidelity.to_json(),
            "tasks": list(self.tasks), "not_measured": dict(self.not_measured), "notes": list(self.notes),
        }  # fmt: skip

    @property
    def verdict(self) -> list[str]:
        """Sentences: what is known of it before, may it be handed on, and is it like real records?"""
        return [*self._of_provenance(), *self._of_privacy(), *self._of_fidelity()]

    def text(self, width: int = 160) -> str:
        """Return all of it as plain text."""
        people = ", ".join(f"{few(n)} of {name}" for name, n in self.sizes.items())
        parts = [f"{printable(self.name)}: {people}; {self.chosen}.", *self.verdict, ""]
        if self.privacy is not None:
            said = self.privacy.verdict
            parts += [_printed(said.render(), width), self.privacy.exact]
            parts += [f"{name}: {one.outcome}" + _named(one.failed) for name, one in self.privacy.controls.items()]
            for name, curve in self.privacy.curves.items():
                parts += ["", f"{name}:", _printed(curve.render(), width)]
            parts.append("")
        if self.fidelity is not None:
            parts += [self.fidelity.text(width), ""]
        if self.not_measured:
            parts.append("Not measured:")
            parts += [f"  {name}: {printable(why)}" for name, why in self.not_measured.items()]
        parts += [printable(note) for note in self.notes]
        return "\n".join(parts).rstrip() + "\n"

    def _of_provenance(self) -> list[str]:
        said = []
        if self.made_by.get("control") == COPIES:
            said.append(f"By its provenance it is `--control {COPIES}`: each record is a real one under another id. It "
                        "must not be handed on.")  # fmt: skip
        if self.failed_before:
            said.append(f"By its provenance it has failed {_listed(self.failed_before)}. It must not be handed on, "
                        "whatever others who are asked now tell.")  # fmt: skip
        if self.of_others:
            said.append("It was learned from others than the real people here: it is compared with these, and nothing "
                        "is told of whom it gives away.")  # fmt: skip
        return said

    def _of_privacy(self) -> list[str]:
        if self.privacy is None:
            return ["Privacy was not judged: nothing here says that the set may be handed on."]
        said = self.privacy.verdict
        n, unsure = few(said.n), [gate for gate in said.gates if gate.outcome == "cannot tell"]
        if said.outcome == "failed":
            return [f"It gives people away: learned from {n} people, it fails {_listed(said.failed)}. "
                    "It must not be handed on."]  # fmt: skip
        if said.outcome == "cannot tell":
            most = max((gate.enough or 0 for gate in unsure), default=0)
            enough = f" About {most:,} people on each side would be enough for all of them." if most else ""
            return [f"Nobody can tell whether it gives people away: {len(unsure)} of {len(said.gates)} gates rest on "
                    f"too few people. That is no pass.{enough}"]  # fmt: skip
        return [f"No attack that was made tells who of {n} people it was learned from: all {len(said.gates)} gates "
                "pass."]  # fmt: skip

    def _of_fidelity(self) -> list[str]:
        if self.fidelity is None:
            return ["Whether it is like real records was not judged."]
        return likeness(self.fidelity)


def _printed(table: Table, width: int) -> str:
    return printed([], lambda names: table, width).rstrip()


def _listed(names: tuple[str, ...]) -> str:
    return names[0] if len(names) == 1 else f"{len(names)} gates ({'; '.join(names)})"


def _named(failed: tuple[str, ...]) -> str:
    return f" ({'; '.join(failed)})" if failed else ""
