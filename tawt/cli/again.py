"""What to type next: the command that was given, or one that follows it with what the person chose."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from tawt.cli.output import Format, next_command, print_rows
from tawt.shell import command, command_line


def again(*more: str) -> str:
    """Return the command as it was given, every option kept, no longer as a dry run."""
    words = [word for word in sys.argv[1:] if word != "--dry-run"]
    return command_line([*words, *(word for word in more if word not in words)])


def foretell(rows: Sequence[tuple[str, object]], form: Format = Format.table) -> None:
    """Say what a dry run would do, and how to do it."""
    print_rows(("would", "what"), rows, form)
    next_command(again())


def follow_ingest(pipeline: object | None, form: Format = Format.table) -> str:
    """Return the ingest by a pipeline, of the raw folder that its workspace was made of, where that is there."""
    if pipeline is None:
        return follow("ingest", "RAW_DIR", pipeline="PIPELINE", workspace="WORKSPACE", form=form)
    from tawt.contracts.workspace import is_workspace
    from tawt.errors import TawtError
    from tawt.pipeline.workspace import open_workspace

    work, raw = Path("work") / Path(str(pipeline)).stem, None
    with suppress(TawtError):
        raw = open_workspace(work).raw_root if is_workspace(work) else None
    return follow("ingest", raw or "RAW_DIR", pipeline=pipeline, workspace=work, form=form)


def follow(name: str, *words: object, form: Format = Format.table, device: str = "auto", **options: Any) -> str:
    """Return another command; `form` and `device` are said where they are not what they would be by themselves."""
    chosen = {"device": None if device == "auto" else device, "format": None if form is Format.table else form.value}
    return command(name, *words, **options, **chosen)


def pretrained(workspace: Path) -> str | None:
    """Return the run of a workspace that was last begun, of those that have learned no task."""
    runs = sorted((workspace / "runs").glob("*/config.yaml"), key=lambda path: (-path.stat().st_mtime_ns, path))
    return next((path.parent.name for path in runs if not (path.parent / "task.json").exists()), None)


def continues(run: Path) -> bool:
    """Return whether a run is a decoder that can continue a record: one that is told of no whole records."""
    from tawt.config.load import load
    from tawt.config.train import PretrainConfig
    from tawt.errors import TawtError

    with suppress(TawtError):
        objective = load(PretrainConfig, run / "config.yaml").objective
        return bool(objective.next.weight) and not objective.latent.is_on
    return False
