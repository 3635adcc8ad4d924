"""Sets that a gate refused, told in the workspace: who draws until one passes is seen to have done so."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tawt.contracts.synthetic import REFUSED
from tawt.files import write_sealed
from tawt.places import refuse_links

_SHORT = 16
_TOLD = ("tawt", "run", "control", "prior", "conditions", "model", "seed", "numbers", "most")


@dataclass(frozen=True)
class Refusals:
    """Those of one run, by its weights, or of one control."""

    workspace: Path
    """Whose people it learned from: it keeps them, whatever becomes of the sets."""
    source: str

    @classmethod
    def of(cls, workspace: Path, about: Mapping[str, Any]) -> Refusals:
        """Return those of what a set is of, by what `provenance.json` says."""
        return cls(workspace, about["control"] or about["model"][:_SHORT])

    @property
    def folder(self) -> Path:
        """Holds a file for each set."""
        return self.workspace / REFUSED / self.source

    @property
    def n(self) -> int:
        """Sets; one that was refused twice is one."""
        return sum(1 for _ in self.folder.glob("*.json"))

    def add(self, key: str, about: Mapping[str, Any], gates: Iterable[str]) -> None:
        """Tell that a set was refused.

        Args:
            key: A hash of all that its records hang on.
            about: What `provenance.json` would have said.
            gates: Those that refused it.

        Raises:
            FileError: The folder is a link.
            OSError: It may not be written.
        """
        refuse_links(self.workspace, self.folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        told = {name: about.get(name) for name in _TOLD}
        write_sealed(self.folder / f"{key[:_SHORT]}.json", told | {"gates": [*gates]})
