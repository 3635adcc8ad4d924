"""What to type next: the command that was given, or one that follows it with what the person chose."""

from __future__ import annotations

import sys
from typing import Any

from tawt.cli.output import Format
from tawt.shell import command, command_line


def again(*more: str) -> str:
    """Return the command as it was given, every option kept, no longer as a dry run."""
    words = [word for word in sys.argv[1:] if word != "--dry-run"]
    return command_line([*words, *(word for word in more if word not in words)])


def follow(name: str, *words: object, form: Format = Format.table, device: str = "auto", **options: Any) -> str:
    """Return another command; `form` and `device` are said where they are not what they would be by themselves."""
    chosen = {"device": None if device == "auto" else device, "format": None if form is Format.table else form.value}
    return command(name, *words, **options, **chosen)
