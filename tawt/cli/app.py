"""The command line: each command calls one public function of the same name; errors become one line and a hint."""

from __future__ import annotations

import os
import sys

import typer
import typer.core

from tawt.cli import data, model
from tawt.cli.output import console
from tawt.errors import TawtError

app = typer.Typer(
    name="tawt",
    help="Raw hospital records to sorted triplets, and a self-supervised transformer that understands time",
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
data.add_to(app)
model.add_to(app)


def _version(value: bool) -> None:
    if value:
        from importlib.metadata import version

        print(f"tawt {version('tawt')}")
        raise typer.Exit


@app.callback()
def _main(
    version: bool = typer.Option(
        False, "--version", callback=_version, is_eager=True, help="Print the version"
    ),
) -> None:
    pass


def main() -> None:
    """Run the command line and exit: 0 done, 1 an error or a failed check, 2 wrong usage, 130 interrupted."""
    try:
        app(standalone_mode=True)
    except TawtError as error:
        console.print(f"error: {error}", style="red", markup=False)
        if error.hint:
            console.print(f"\nhint: {error.hint}", markup=False)
        sys.exit(error.exit_code)
    except KeyboardInterrupt as interrupt:
        said = str(interrupt)
        console.print(f"interrupted{': ' + said if said else ''}", markup=False)
        sys.exit(130)
    except BrokenPipeError:
        # the reader of our output went away; nothing is left to say, and the flush at exit must not complain
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)


if __name__ == "__main__":
    main()
