"""Label sets of a workspace: each to its seal, and to the events that it was made of."""

from __future__ import annotations

from pathlib import Path

from tawt.contracts.label_set import label_sets
from tawt.quality.runs import fault_of
from tawt.quality.strangers import Known
from tawt.seals import holds
from tawt.shell import command


def check_labels(root: Path, known: Known, events: str | None) -> list[tuple[Path, str, str]]:
    """Hold every label set that `tawt label` wrote to what it was when it was written.

    Args:
        root: The workspace.
        known: Learns of them.
        events: What the events are known by now; None = they are not finished.

    Returns:
        Files, what is wrong with each, and the command that mends it.
    """
    wrong = []
    for name, (path, about) in label_sets(root).items():
        known.files.add(path)
        own = ("--name", name) if name != Path(about.task).stem else ()
        again = command("label", about.task, *own, workspace=root)
        if fault := fault_of(path, holds):
            wrong.append((path, "is not as it was written" if "changed" in fault else fault, again))
        elif events is not None and about.made_of.get("events") != events:
            wrong.append((path, "is of other events than are there now", again))
    return wrong
