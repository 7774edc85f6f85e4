"""Arguments and options that commands share: the store, the run, the file to write."""

from pathlib import Path
from typing import Annotated, Any

import typer

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


StoreName = Annotated[
    str,
    typer.Argument(
        metavar="STORE", help="The file, or the URL of the database, that has the runs."
    ),
]
RunName = Annotated[
    str | None,
    typer.Argument(metavar="NAME", help="The run; may be left out if there is only one."),
]
AsJson = Annotated[
    bool,
    typer.Option("--json", metavar="", help="Print only JSON, one object a line."),
]
