"""What `tawt demo --images` prints of its runs."""

from __future__ import annotations

from typing import Any

from tawt.cli.again import follow
from tawt.cli.output import Format, next_command, print_rows, print_text, say, text_width


def tell_images(result: Any) -> None:
    """Say how the runs answered, beside what is known, and what to type next."""
    from tawt.commands.demo_images import TASK, name_of

    for note in result.evaluation.notes:
        say(f"note: {note}")
    fewer = result.evaluation.fewer
    if fewer is not None:
        print_text(f"\n{name_of('both')}, where images are lost\n{fewer.text(width=text_width())}")
    print_text(f"who dies in the hospital, asked at 24 hours: AUC on {result.n_asked:,} people not seen")
    columns = ("looks at", "AUC", "best", "best of all", "less best", "less both")
    print_rows(columns, result.rows(), Format.table)
    say("best: risks as they are known of these people (hospital.json), and of all there could be")
    say(f"time: {result.seconds:.0f} s")
    next_command(follow("evaluate", TASK, workspace=result.workspace, run=name_of("both")))
