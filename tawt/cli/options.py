"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tawt.cli.output import Format
from tawt.errors import ConfigError

DATA_PANEL = "Data"
MODEL_PANEL = "Model"

Workspace = Annotated[Path, typer.Option("--workspace", "-w", help="The workspace folder", show_default=False)]
Threads = Annotated[int | None, typer.Option(help="Threads; all cores by default", show_default=False)]
Memory = Annotated[
    str | None, typer.Option(help="Memory limit, as 2GB; 60 % of the memory by default", show_default=False)
]
Force = Annotated[bool, typer.Option("--force", help="Run even what is up to date")]
SkipRoomCheck = Annotated[
    bool, typer.Option("--skip-room-check", help="Begin even where the disk has too little room for what is made")
]
Executor = Annotated[str, typer.Option(help="local, or ray: the workers of a Ray cluster")]
Address = Annotated[
    str | None, typer.Option(help="Of the Ray cluster; one of this machine by default", show_default=False)
]
Store = Annotated[
    str | None,
    typer.Option(help="s3://BUCKET/FOLDER: where the workspace is; -w is this machine's part", show_default=False),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only say what would happen, and why")]
Set = Annotated[list[str] | None, typer.Option("--set", help="Override a config key, as key=value", show_default=False)]
Kind = Annotated[
    str | None,
    typer.Option(
        help="binary, labels, classes, numbers, counts or time, where the labels leave it open", show_default=False
    ),
]
Aces = Annotated[
    Path | None, typer.Option(help="The ACES file of the labels, where it is no ready task", show_default=False)
]
Predicates = Annotated[
    Path | None, typer.Option(help="The dataset's own predicates that were laid over it", show_default=False)
]
StaleOk = Annotated[
    bool, typer.Option("--stale-ok", help="Go on although the dataset is older than what it was made from")
]
Form = Annotated[Format, typer.Option("--format", help="How data is printed")]
OptionalWorkspace = Annotated[
    Path | None, typer.Option("--workspace", "-w", help="The workspace folder", show_default=False)
]
Pipeline = Annotated[str | None, typer.Option("--pipeline", "-p", help="Instead, a pipeline", show_default=False)]


def in_hours(text: str) -> float:
    """Return a span of time, as `30d` or `36h`, in hours.

    Raises:
        ConfigError: It is none.
    """
    from tawt.labels.language import duration

    try:
        hours = duration(text) / 3_600_000_000
    except ValueError as error:
        raise ConfigError(f"--horizon {text}", f"is none, expected {error}", "a year is `365d`") from None
    if hours <= 0:
        raise ConfigError(f"--horizon {text}", "is no time ahead, expected one", "as `30d`")
    return hours
