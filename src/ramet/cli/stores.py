"""How commands name a store, the run in it, and the file that they write."""

from pathlib import Path
from typing import Annotated, Any

import typer

# What a file is called that is no file: standard output, as other commands name it.
PRINTED, STANDARD_OUTPUT = "-", Path("/dev/stdout")


def output_file(named: str | Path) -> Path:
    """Return the file that a command is to write; ``-`` is standard output.

    >>> output_file("-").name, output_file("./-").name
    ('stdout', '-')
    """
    return STANDARD_OUTPUT if named == PRINTED else Path(named)


def output_option(says: str) -> Any:
    """Return the option that names the file to write."""
    return typer.Option("--output", "-o", metavar="<path>", parser=output_file, help=says)


StorePath = Annotated[
    Path, typer.Argument(metavar="STORE", help="The file that the runs are recorded in.")
]
RunName = Annotated[
    str | None,
    typer.Argument(metavar="NAME", help="The run; may be left out where there is one only."),
]
AsJson = Annotated[
    bool,
    typer.Option("--json", metavar="", help="Print JSON, an object a line, and nothing else."),
]
