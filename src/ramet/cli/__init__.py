"""The command line: `ramet demo` and what else comes."""

import sys
from collections.abc import Sequence
from importlib.metadata import version
from typing import Annotated

import typer

from ramet.cli import care, demo, look, train
from ramet.errors import RametError, UsageError

__all__ = ["app", "main"]

# What shells expect of a command that Ctrl-C ended.
INTERRUPTED = 130

app = typer.Typer(no_args_is_help=True, add_completion=False, rich_markup_mode="rich")
app.command("run", epilog="Example: ramet run train.py --steps 10000 --workers 4")(train.run)
app.command("worker", epilog="Example: ramet worker runs.db digits train.py")(train.worker)
app.command("status", epilog="Example: ramet status runs.db digits --watch")(look.status)
app.command("runs", epilog="Example: ramet runs runs.db")(look.runs)
app.command("stop", epilog="Example: ramet stop runs.db digits")(care.stop)
app.command("sweep", epilog="Example: ramet sweep runs.db --dry-run")(care.sweep)
app.command("doctor", epilog="Example: ramet doctor runs.db")(care.doctor)
app.command("demo", epilog="Example: ramet demo --members 40 --seed 1")(demo.demo)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command; what is wrong with it is told in a sentence, not in a traceback."""
    try:
        app(args=arguments)
    except RametError as error:
        typer.echo(f"ramet: {error}", err=True)
        sys.exit(2 if isinstance(error, UsageError) else 1)
    except KeyboardInterrupt as stopped:
        typer.echo(f"ramet: {stopped}" if stopped.args else "ramet: interrupted", err=True)
        sys.exit(INTERRUPTED)


def _show_version(*, asked: bool) -> None:
    if asked:
        typer.echo(f"ramet {version('ramet')}")
        raise typer.Exit


# A typer app without a callback makes its only command the whole app.
@app.callback(epilog="Example: ramet demo")
def _ramet(
    *,
    _version: Annotated[
        bool,
        typer.Option("--version", help="Show the version.", callback=_show_version, is_eager=True),
    ] = False,
) -> None:
    """Population based training on any training loop."""
