"""The store that a command names, and the run in it."""

from pathlib import Path
from typing import Annotated

import typer

from ramet.engine.places import Place, place
from ramet.errors import RunNotFound

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


def existing(path: Path) -> Place:
    """Open a store that must be there."""
    if not path.exists():
        raise RunNotFound(f"a store must be where it is looked for, but {path} does not exist")
    return place(path)


def chosen(where: Place, name: str | None) -> str:
    """Return the name of the run that is meant."""
    names = where.store.runs()
    if name is None and len(names) == 1:
        return names[0]
    if name is not None and name in names:
        return name
    there = f"{where.name} has " + (", ".join(map(repr, names)) or "no runs yet")
    if name is None:
        raise RunNotFound(f"a run must be named unless it is the only one, but {there}")
    raise RunNotFound(f"a run must be in the store, but {name!r} is not: {there}")
