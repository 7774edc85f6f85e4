"""The store that a command names, and the run in it."""

from pathlib import Path
from typing import Annotated

import typer

from ramet.engine.places import Place, place
from ramet.errors import RunNotFound

StorePath = Annotated[Path, typer.Argument(help="The file that the runs are recorded in.")]
RunName = Annotated[str | None, typer.Argument(help="The run; not needed where there is one.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")]


def existing(path: Path) -> Place:
    """Open a store that must be there."""
    if not path.exists():
        raise RunNotFound(f"a store must be where it is looked for, but {path} does not exist")
    return place(path)


def chosen(where: Place, name: str | None) -> str:
    """Return the name of the run that is meant."""
    names = where.store.runs()
    if name is not None and name in names:
        return name
    if name is None and len(names) == 1:
        return names[0]
    asked = "none was named" if name is None else f"{name!r} was"
    raise RunNotFound(f"a run must be named as the store {where.name} has it, {names}, but {asked}")
