"""How the command line prints text, tables and JSON."""

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import msgspec
import typer
from rich.console import Console, RenderableType
from rich.table import Table

from ramet.engine.displays import LINE_FORMAT, TIME_FORMAT
from ramet.engine.displays import logger as progress
from ramet.visible import MAX_LABEL_CHARS, label, message, visible, visible_lines

# Columns of a line in a file, where no text should be cut off or wrapped.
UNBOUNDED = 10_000
# Characters of a worker's name in a table.
WORKER_WIDTH = 28
# Spaces between two columns of a table.
GAP = 2


def console() -> Console:
    """Return a console for standard output: as wide as a terminal, without limit for a file."""
    width = None if sys.stdout.isatty() else UNBOUNDED
    return Console(width=width, highlight=False, markup=False, emoji=False)


def say(text: str, *, err: bool = False) -> None:
    """Print text; escape everything in it that a terminal would act on."""
    typer.echo(message(text), err=err)


def on_terminal() -> bool:
    """Return whether standard output is a terminal."""
    return sys.stdout.isatty()


@contextmanager
def progress_in_file(*, as_json: bool) -> Iterator[None]:
    """Write lines of progress to standard output too, if only standard error is a terminal.

    Args:
        as_json: Whether standard output is for an object of JSON alone.
    """
    if as_json or sys.stdout.isatty() or not sys.stderr.isatty():
        yield
        return
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(logging.Formatter(LINE_FORMAT, TIME_FORMAT))
    progress.addHandler(handler)
    try:
        yield
    finally:
        progress.removeHandler(handler)


def can_ask() -> bool:
    """Return whether there is a terminal to ask on."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def say_table(data: bytes, *, json: bool) -> None:
    """Print a table: unchanged to a pipe or a file, with escapes to a terminal."""
    if on_terminal():
        text = data.decode()
        shown = "\n".join(map(_printable, text.split("\n"))) if json else visible_lines(text)
        data = shown.encode()
    typer.echo(data, nl=False)


def say_json(what: Any) -> None:
    """Print an object as a line of JSON, with escapes for characters that cannot be printed."""
    typer.echo(_printable(msgspec.json.encode(what).decode()).encode())


def show(what: RenderableType) -> None:
    """Print something; leave out blanks at the ends of lines if it goes to a file."""
    out = console()
    if out.is_terminal:
        out.print(what)
        return
    with out.capture() as printed:
        out.print(what)
    typer.echo("\n".join(line.rstrip() for line in printed.get().splitlines()))


class Rows(Table):
    """A table of texts, with escapes for characters that cannot be printed."""

    def add_row(self, *cells: Any, **settings: Any) -> None:
        super().add_row(*(label(str(cell)) for cell in cells), **settings)


def table(*columns: str, left: tuple[str, ...] = ()) -> Rows:
    """Return a table without lines; columns align to the right, except those in ``left``."""
    made = Rows(box=None, pad_edge=False, padding=(0, GAP, 0, 0))
    for column in columns:
        made.add_column(label(column), justify="left" if column in left else "right", no_wrap=True)
    return made


def worker_name(name: str | None) -> str:
    """Return a worker's name, without its beginning if it is long: the ends of names differ."""
    # The rest of a very long name would be cut off anyway.
    return keep_end(visible((name or "")[-MAX_LABEL_CHARS:]), WORKER_WIDTH)


def keep_end(name: str, most: int) -> str:
    """Return a name without its beginning, if it has more than ``most`` characters."""
    return name if len(name) <= most else "…" + name[1 - most :]


def _printable(json: str) -> str:
    """Return a line of JSON with escapes for what cannot be printed."""
    if json.isprintable():
        return json
    # Such characters occur in its strings only, where an escape means the same.
    return "".join(char if char.isprintable() else _json_escape(char) for char in json)


def _json_escape(char: str) -> str:
    r"""Return a character as an escape of JSON; those beyond the first plane take two.

    >>> print(_json_escape("\x9b"), _json_escape("\U000e0001"))
    \u009b \udb40\udc01
    """
    pairs = char.encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{pairs[at : at + 4]}" for at in range(0, len(pairs), 4))
