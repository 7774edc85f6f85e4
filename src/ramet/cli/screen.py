"""How the command line writes to people."""

import sys

import typer
from rich.console import Console, RenderableType
from rich.table import Table

# Columns of a line in a file, where nothing should be cut off or wrapped.
UNBOUNDED = 10_000
# Characters of a worker's name that there is room for.
WORKER_WIDTH = 28
# Spaces between two columns of a table.
GAP = 2


def console() -> Console:
    """Return standard output: as wide as the terminal, or as a file needs it, and as it is told."""
    width = None if sys.stdout.isatty() else UNBOUNDED
    return Console(width=width, highlight=False, markup=False, emoji=False)


def show(what: RenderableType) -> None:
    """Print something, to a file without the blanks that fill up its lines."""
    out = console()
    if out.is_terminal:
        out.print(what)
        return
    with out.capture() as printed:
        out.print(what)
    typer.echo("\n".join(line.rstrip() for line in printed.get().splitlines()))


def table(*columns: str, left: tuple[str, ...] = ()) -> Table:
    """Return a table without lines; numbers stand to the right, names may to the left."""
    made = Table(box=None, pad_edge=False, padding=(0, GAP, 0, 0))
    for column in columns:
        made.add_column(column, justify="left" if column in left else "right", no_wrap=True)
    return made


def worker_name(name: str | None) -> str:
    """Return a worker's name, without its beginning if it is long: workers differ in their ends."""
    if name is None or len(name) <= WORKER_WIDTH:
        return name or ""
    return "…" + name[1 - WORKER_WIDTH :]
