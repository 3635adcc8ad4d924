"""The command line: each command calls one public function of the same name; errors become one line and a hint."""

from __future__ import annotations

import errno
import os
import re
import signal
import sys
import traceback
from pathlib import Path
from typing import Any, NoReturn

import typer
import typer.core

from tawt.cli import (
    assess,
    data,
    diff,
    forget,
    further,
    inspect,
    judge,
    model,
    project,
    rate,
    runs,
    simulate,
    stores,
    use,
)
from tawt.cli.limited import reserve, watched
from tawt.cli.output import console, say
from tawt.errors import RoomError, TawtError, printable
from tawt.room import room_error

_PACKAGE = Path(__file__).parents[1]
_SECONDS_TO_END = 10.0
"""What an interrupted command has to end in order; what it left aside goes at the next start."""


class _Commands(typer.core.TyperGroup):
    """The commands; an interrupted one says so before the frame around it ends the program."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as interrupt:
            said = str(interrupt)
            console.print(f"interrupted{': ' + said if said else ''}", markup=False)
            raise typer.Exit(130) from None


app = typer.Typer(
    cls=_Commands,
    name="tawt",
    help="Raw hospital records to sorted triplets, and a self-supervised transformer that understands time",
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
project.add_to(app)
data.add_to(app)
stores.add_to(app)
forget.add_to(app)
inspect.add_to(app)
diff.add_to(app)
model.add_to(app)
use.add_to(app)
judge.add_to(app)
further.add_to(app)
simulate.add_to(app)
assess.add_to(app)
rate.add_to(app)
runs.add_to(app)


def _version(value: bool) -> None:
    if value:
        from tawt.machine import version_of

        print(f"tawt {version_of('tawt')}")
        raise typer.Exit


@app.callback()
def _main(
    version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Print the version"),
) -> None:
    pass


def main() -> None:
    """Run the command line and exit: 0 done, 1 an error or a failed check, 2 wrong usage, 130 interrupted."""
    interrupts: list[int] = []

    def interrupt(number: int, frame: Any) -> None:
        interrupts.append(number)
        # the engine does not hear of it while it makes a cell or a list
        signal.signal(signal.SIGALRM, _end_now)
        signal.setitimer(signal.ITIMER_REAL, _SECONDS_TO_END)
        raise KeyboardInterrupt

    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, interrupt)
    try:
        with watched(_named()):
            _run(interrupts)
    except RoomError as error:
        _fail(str(error), error.hint, error.exit_code)


def _named() -> str:
    """Return the command that was typed, without what was given to it."""
    return " ".join(["tawt", *[word for word in sys.argv[1:2] if re.fullmatch("[a-z-]+", word)]])


def _run(interrupts: list[int]) -> NoReturn:
    try:
        sys.exit(app(standalone_mode=False))
    except SystemExit:
        raise
    except TawtError as error:
        reserve.clear()
        _fail(str(error), error.hint, error.exit_code)
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        # the reader of our output went away; nothing is left to say, and the flush at exit must not complain
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except BaseException as error:  # a library has errors of its own that are no Exception
        reserve.clear()
        _fail_usage(error)
        if interrupts:  # in the middle of an import, which makes another error of it
            console.print("interrupted", markup=False)
            sys.exit(130)
        if os.environ.get("TAWT_TRACEBACK"):
            raise
        _fail_foreign(error)


def _end_now(number: int, frame: Any) -> NoReturn:
    console.print("interrupted", markup=False)
    os._exit(130)


def _fail_foreign(error: BaseException) -> NoReturn:
    """End with the kind of an error that is none of ours, and where it came from: its text can quote cells."""
    package = (getattr(error, "name", "") or "").partition(".")[0]
    if isinstance(error, ModuleNotFoundError) and package not in ("", "tawt"):
        # the machine that trains need not have what the data commands need
        _fail(f"{package}: is not installed, expected it for this command", f"pip install {package}")
    if (full := room_error(error, _named())) is not None:
        _fail(str(full), full.hint)
    if isinstance(error, FileExistsError | NotADirectoryError) and error.filename is not None:
        _fail(f"{error.filename}: is no folder, or lies in none, expected one", "give another place, or move it away")
    if isinstance(error, OSError) and error.filename is not None and error.errno:
        said = f"{error.filename}: {os.strerror(error.errno)}, expected to read or write it"
        is_long = error.errno == errno.ENAMETOOLONG
        _fail(said, "give a shorter name" if is_long else "check its place and rights")
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if Path(frame.filename).is_relative_to(_PACKAGE)] or frames
    place = f"{Path(own[-1].filename).name}:{own[-1].lineno}"
    _fail(
        f"tawt failed inside ({type(error).__name__} at {place}), expected to finish: a bug in tawt, not in your data",
        "report that line; TAWT_TRACEBACK=1 before the command prints all of it, which can quote cells",
    )


def _fail_usage(error: Any) -> None:
    """End with what Typer says of a wrong option or command; return where the error is none of Typer's."""
    if not hasattr(error, "format_message"):
        return
    context = getattr(error, "ctx", None)
    command = context.command_path if context is not None else "tawt"
    if not (said := " ".join(error.format_message().split())):
        sys.exit(2)  # the help of a command that was given nothing is on the screen already
    said = said.replace(": Value error, ", ": ")  # the words of the library that reads values
    _fail(f"{command}: {said.rstrip('.')}", f"`{command} --help` shows what there is", 2)


def _fail(text: str, hint: str, code: int = 1) -> NoReturn:
    say(f"error: {printable(text)}", style="red")
    if hint:
        console.print()
        say(f"hint: {printable(hint)}")
    sys.exit(code)


if __name__ == "__main__":
    main()
