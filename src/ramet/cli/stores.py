"""Arguments and options that commands share: the store, the run, the file to write."""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from ramet.cli import screen
from ramet.cli.completion import list_runs, list_stores
from ramet.cli.words import DEFAULT_STORE
from ramet.store.postgres.address import find_address

# The name of standard output in place of a file, as in other commands.
PRINTED, STANDARD_OUTPUT = "-", Path("/dev/stdout")


def output_file(named: str | Path) -> Path:
    """Return the file that a command writes; ``-`` is standard output.

    >>> output_file("-").name, output_file("./-").name
    ('stdout', '-')
    """
    return STANDARD_OUTPUT if named == PRINTED else Path(named)


def output_option(says: str) -> Any:
    """Return the option that names the file to write."""
    return typer.Option("--output", "-o", metavar="<path>", parser=output_file, help=says)


def warn_if_shown(store: str) -> str:
    """Warn if the list of processes shows the password in a store's URL; return the store.

    Args:
        store: The store that the user named.
    """
    address = find_address(store)
    if address is not None and address.has_secret and _is_argument(store):
        screen.say(
            f"ramet: while this command runs, the list of processes (ps) shows the password of "
            f"{address} to all users of this machine; leave it out of the URL, and put it into "
            f"~/.pgpass or PGPASSWORD",
            err=True,
        )
    return store


def _is_argument(text: str) -> bool:
    """Return whether a text was an argument of this process, also as --option=text."""
    return any(argument.endswith(text) for argument in sys.argv)


StoreName = Annotated[
    str,
    typer.Argument(
        metavar="STORE",
        help=f"The file that has the runs, or the URL of the database; {DEFAULT_STORE}, where "
        f"`ramet run` writes, if it is left out.",
        callback=warn_if_shown,
        autocompletion=list_stores,
    ),
]
RunName = Annotated[
    str | None,
    typer.Argument(
        metavar="NAME",
        help="The run; may be left out if there is only one, or one and its replays.",
        autocompletion=list_runs,
    ),
]
AsJson = Annotated[
    bool,
    typer.Option("--json", metavar="", help="Print only JSON, one object a line."),
]
