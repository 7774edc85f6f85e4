"""How commands name a store, and the run in it."""

from pathlib import Path
from typing import Annotated

import typer

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
