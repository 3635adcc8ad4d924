"""What a run has learned from labels, as it was asked."""

from __future__ import annotations

from pathlib import Path

from tawt.errors import CheckpointError
from tawt.heads.kinds import KINDS
from tawt.heads.task import TASK, TaskSpec
from tawt.readers import read_record
from tawt.shell import command


def read_task(run: Path) -> TaskSpec:
    """Return what a run was asked.

    Raises:
        CheckpointError: It learned no task, or what it was asked is not as it was written.
    """
    if not (run / TASK).is_file():
        raise CheckpointError(
            str(run), "has learned no task, expected a run of `tawt finetune`",
            f"make one: `{command('finetune', 'TASK', workspace='WORKSPACE', run=run)}`",
        )  # fmt: skip
    again = "take it from a copy, or fine-tune again"
    spec = read_record(run / TASK, TaskSpec, again, CheckpointError, sealed=True)
    if spec.kind not in KINDS:
        what = f"is of a kind that this version of tawt does not have, expected one of {', '.join(KINDS)}"
        raise CheckpointError(str(run / TASK), what, "use the version that made it, or a newer one")
    return spec


def learned_kind(run: Path) -> str | None:
    """Return what kind of task a run has learned; None = it learned none.

    Raises:
        CheckpointError: What it was asked is not as it was written.
    """
    return read_task(run).kind if (run / TASK).is_file() else None
