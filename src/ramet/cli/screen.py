"""How the command line writes to people."""

import sys
from typing import Any

import typer
from rich.console import Console, RenderableType
from rich.table import Table

# Columns of a line in a file, where nothing should be cut off or wrapped.
UNBOUNDED = 10_000
# Characters of a worker's name that there is room for.
WORKER_WIDTH = 28
# Spaces between two columns of a table.
GAP = 2
# Bytes in the next larger unit.
KILO = 1_000


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


def count(number: int, thing: str) -> str:
    """Say how many there are of a thing.

    >>> count(1, "worker"), count(2_000, "copy")
    ('1 worker', '2,000 copies')
    """
    if number == 1:
        return f"1 {thing}"
    return f"{number:,} {thing[:-1] + 'ies' if thing.endswith('y') else thing + 's'}"


def number(value: float | None) -> str:
    """Return a score as it is read."""
    return "-" if value is None else f"{value:.6g}"


def value(hparam: Any) -> str:
    """Return the value of a hyperparameter as it is read."""
    return f"{hparam:.4g}" if isinstance(hparam, float) else str(hparam)


def size(bytes_: int) -> str:
    """Say how much that is to store.

    >>> size(0), size(1_300), size(2_500_000_000)
    ('0 bytes', '1.3 kB', '2.5 GB')
    """
    if bytes_ < KILO:
        return count(bytes_, "byte")
    amount = float(bytes_)
    for unit in ("kB", "MB", "GB"):
        amount /= KILO
        if amount < KILO:
            return f"{amount:.1f} {unit}"
    return f"{amount / KILO:.1f} TB"


def worker_name(name: str | None) -> str:
    """Return a worker's name, without its beginning if it is long: workers differ in their ends."""
    if name is None or len(name) <= WORKER_WIDTH:
        return name or ""
    return "…" + name[1 - WORKER_WIDTH :]
