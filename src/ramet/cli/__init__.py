"""The command line: `ramet run` and the other commands."""

import io
import os
import signal
import sys
from collections.abc import Sequence
from importlib.metadata import version
from typing import Annotated, Any

import typer
from typer.completion import completion_init  # type: ignore[attr-defined]  # imported there
from typer.core import TyperCommand, TyperGroup

from ramet.cli import (
    ancestry,
    begin,
    care,
    completion,
    confirming,
    copies,
    demo,
    front,
    log,
    look,
    pictures,
    removing,
    reporting,
    schedules,
    screen,
    submit,
    train,
    words,
)
from ramet.engine.workers.notice import SIGNAL_EXIT, Terminated, terminate
from ramet.errors import RametError, RunFailed, StoreBusy, UsageError
from ramet.wording import shell_word

__all__ = ["app", "main"]

# Exit codes for errors; TRY_AGAIN is that of sysexits.h for what may work at another time.
FAILED, MISUSED, TRY_AGAIN = 1, 2, 75


class Command(TyperCommand):
    """A command that lists --help like any other switch, and adds words that are left out."""

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        words.let_be_left_out(self.params)

    def get_help_option(self, ctx: Any) -> Any:
        return _as_switch(super().get_help_option(ctx))

    def parse_args(self, ctx: Any, args: list[str]) -> Any:
        """Read a command line; refuse arguments for a script that are not behind ``--``."""
        if not ctx.resilient_parsing:  # As it is while a shell asks for completions.
            args = words.add_left_out(self.params, args)
        separated = "--" in args
        rest = super().parse_args(ctx, args)
        if (more := ctx.params.get("arguments")) and not separated:
            quoted = " ".join(map(shell_word, more))
            raise typer.BadParameter(
                f"the arguments of TARGET must stand behind --, but got {quoted}; write -- {quoted}"
            )
        return rest


class Commands(TyperGroup):
    """All commands; errors are printed as a sentence, without a traceback."""

    def get_help_option(self, ctx: Any) -> Any:
        return _as_switch(super().get_help_option(ctx))

    def invoke(self, ctx: Any) -> Any:
        arguments = sys.argv
        try:
            return super().invoke(ctx)
        except RametError as error:
            if isinstance(error, RunFailed) and error.traceback:
                screen.say(error.traceback.rstrip(), err=True)
            notes = [str(note) for note in getattr(error, "__notes__", ())]
            screen.say("\n".join([f"ramet: {error}", *notes]), err=True)
            raise typer.Exit(_find_exit_code(error)) from error
        except Terminated as stopped:
            left = _make_exit(stopped, signal.SIGTERM)
            if signal.getsignal(signal.SIGTERM) is terminate:
                # All is said. Another signal ends the process as it ends any other.
                signal.signal(signal.SIGTERM, signal.SIG_DFL)
            raise left from stopped
        except KeyboardInterrupt as stopped:
            raise _make_exit(stopped, signal.SIGINT) from stopped
        finally:
            # The script that is trained had its own.
            sys.argv = arguments


def _paragraphs(docstring: str) -> str:
    """Return a docstring with one line a paragraph, which terminals wrap."""
    return "\n\n".join(" ".join(part.split()) for part in docstring.split("\n\n"))


#: The Typer application of all commands.
app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)
for _command, _example in (
    (train.run, "ramet run train.py --steps 10000 --workers 4"),
    (begin.begin, "ramet begin train.py --store postgresql://user@host/runs"),
    (train.worker, "ramet worker runs.db digits train.py"),
    (submit.submit, "ramet submit postgresql://user@host/runs digits train.py --workers 8"),
    (confirming.confirm, "ramet confirm runs.db digits train.py --top 5 --times 4"),
    (look.status, "ramet status runs.db digits --watch"),
    (log.log, "ramet log runs.db digits --failures"),
    (look.runs, "ramet runs runs.db"),
    (schedules.schedule, "ramet schedule runs.db digits -o schedule.json"),
    (schedules.replay, "ramet replay runs.db digits train.py --seeds 5"),
    (reporting.report, "ramet report runs.db digits -o report.html"),
    (ancestry.lineage, "ramet lineage runs.db digits"),
    (ancestry.export_, "ramet export runs.db digits --table turns --format csv"),
    (front.front, "ramet front runs.db digits"),
    (pictures.plot, "ramet plot runs.db digits tree -o tree.png"),
    (care.stop, "ramet stop runs.db digits"),
    (removing.delete, "ramet delete runs.db digits"),
    (removing.rename, "ramet rename runs.db digits digits-2"),
    (care.prune, "ramet prune runs.db --dry-run"),
    (care.doctor, "ramet doctor runs.db"),
    (copies.backup, "ramet backup runs.db /mnt/archive/runs.db"),
    (completion.completion, "ramet completion bash"),
    (demo.demo, "ramet demo --members 40 --seed 1"),
):
    app.command(
        _command.__name__.rstrip("_"),
        cls=Command,
        help=_paragraphs(_command.__doc__ or ""),
        epilog=f"Example: {_example}",
    )(_command)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command.

    Args:
        arguments: The words of the command line; None takes them from ``sys.argv``.
    """
    signal.signal(signal.SIGTERM, terminate)
    if completion.VARIABLE in os.environ:
        completion_init()
    if isinstance(sys.stdout, io.TextIOWrapper):
        # Names of runs and hyperparameters may have characters that a terminal cannot show.
        sys.stdout.reconfigure(errors="backslashreplace")
    app(args=arguments)


def _as_switch(option: Any) -> Any:
    """Return an option without a value in its help."""
    if option is not None:
        option.metavar = ""
    return option


def _find_exit_code(error: RametError) -> int:
    if isinstance(error, UsageError):
        return MISUSED
    return TRY_AGAIN if isinstance(error, StoreBusy) else FAILED


def _make_exit(stopped: KeyboardInterrupt, number: signal.Signals) -> typer.Exit:
    """Print what a signal interrupted and how to resume it; return the exit code."""
    text = str(stopped) if stopped.args else "interrupted"
    if text:
        screen.say(f"ramet: {text}", err=True)
    return typer.Exit(SIGNAL_EXIT + number)


def _show_version(*, asked: bool) -> None:
    if asked:
        typer.echo(f"ramet {version('ramet')}")
        raise typer.Exit


# Without a callback, Typer would make a single command the whole app.
@app.callback(epilog="Example: ramet run train.py --workers 4")
def _ramet(
    *,
    _version: Annotated[
        bool,
        typer.Option(
            "--version",
            metavar="",
            help="Show the version.",
            callback=_show_version,
            is_eager=True,
        ),
    ] = False,
) -> None:
    """Population based training on any training loop."""
