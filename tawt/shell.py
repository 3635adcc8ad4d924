"""The commands that tawt tells a person to type: made in one place, so that each can be pasted."""

from __future__ import annotations

import os
import shlex


def command(name: str, *words: object, workspace: object = None, **options: object) -> str:
    r"""Return a command line of tawt, quoted for a shell.

    Example:
        `command("run", "+events", workspace="my work", force=True)` is `tawt run +events -w 'my work' --force`.

    Args:
        name: Of the command.
        words: What stands without a name.
        workspace: Given as `-w`.
        options: By their long names, `_` for `-`; None and False are left out, True is a flag, a list repeats.
    """
    line = [name, *map(str, words), *(["-w", str(workspace)] if workspace is not None else [])]
    for option, value in options.items():
        flag = f"--{option.replace('_', '-')}"
        for one in value if isinstance(value, list | tuple) else (value,):
            line += [] if one is None or one is False else [flag] if one is True else [flag, str(one)]
    return command_line(line)


def command_line(words: list[str]) -> str:
    """Return the command line of these words after `tawt`, started as this process was: alone, or by torchrun."""
    return f"{_program()} {shell_line(*words)}"


def shell_line(*words: str) -> str:
    """Return words as a shell reads them."""
    return " ".join(map(_quoted, words))


def _quoted(word: str) -> str:
    """Quote for a shell; what a terminal would not show is written as an escape."""
    if word.isprintable():
        return shlex.quote(word)
    return "$'" + "".join(c if c.isprintable() and c not in "'\\" else _escape(c) for c in word) + "'"


def _escape(character: str) -> str:
    return f"\\{character}" if character in "'\\" else "".join(f"\\x{byte:02x}" for byte in os.fsencode(character))


def _program() -> str:
    size, local = (int(os.environ.get(name, "1")) for name in ("WORLD_SIZE", "LOCAL_WORLD_SIZE"))
    if size == 1:
        return "tawt"
    nodes = f"--nnodes {size // local} " if size > local else ""
    # else torchrun takes options of tawt for its own by their first letters, as --run for --run-path
    return f"torchrun {nodes}--nproc-per-node {local} -m -- tawt"
