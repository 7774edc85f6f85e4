"""HTML for notebooks: small tables and pictures, in the colours of the page that they are on.

What is not HTML already is escaped: names and values come from scripts and stores, which may come
from strangers.
"""

import html
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import fields
from typing import Any, TypeAlias

from ramet.visible import label, message

# Rows of a table, or lines of a text, of which the middle is left out.
ROWS = 20
# The most hyperparameters with a column of their own.
COLUMNS = 10
# The size of a picture, in pixels, and the room for its line at the top and the bottom.
WIDTH, HEIGHT, MARGIN = 240, 36, 3
# Values that are drawn on a log scale differ at least by this factor.
LOG_FROM = 10.0
# Readable on white and on black.
BLUE = "#3b82f6"
INHERIT = "font-size:inherit;color:inherit;background:none"
CELL = "padding:2px 10px 2px 0;border:0;background:none;text-align:"

# Places that a line goes through, as (x, y).
Places: TypeAlias = Sequence[tuple[float, float]]


class Html(str):
    """Text that is HTML. All other text is escaped where it is inserted."""

    __slots__ = ()


def escape(content: object) -> Html:
    """Return content as HTML.

    Args:
        content: HTML, or anything else, which is shown as text on one line and shortened.

    >>> escape("a < b"), escape(Html("<b>"))
    ('a &lt; b', '<b>')
    """
    return content if isinstance(content, Html) else Html(html.escape(label(str(content))))


def join(parts: Iterable[object]) -> Html:
    """Return parts one after the other, each in a block of its own.

    Args:
        parts: HTML or text.
    """
    return Html("".join(f"<div>{escape(part)}</div>" for part in parts))


def headline(name: str, text: str) -> Html:
    """Return a name in bold, and a text behind it.

    Args:
        name: The name.
        text: The text.
    """
    behind = f": {escape(text)}" if text else ""
    return Html(f"<b>{escape(name)}</b>{behind}")


def quote(text: str) -> Html:
    """Return several lines of text as they are, such as a traceback; of many, some at a time.

    Args:
        text: The lines.
    """
    look = "white-space:pre;overflow:auto;max-height:24em"
    return Html(f'<pre style="{look};{INHERIT}">{html.escape(message(text))}</pre>')


def table(
    columns: Sequence[str],
    rows: Iterable[Any],
    *,
    show: Callable[[Any], Sequence[object]] = tuple,
    left: int = 1,
) -> Html:
    """Return a table; the middle of a long one is left out.

    Args:
        columns: The names of its columns.
        rows: The contents of its cells, as HTML or text, or what they are made from.
        show: Returns the contents of a row's cells.
        left: How many columns are aligned to the left; the others are to the right.
    """
    sides = ["left" if place < left else "right" for place in range(len(columns))]
    head = "".join(map(_cell, ["th"] * len(columns), columns, sides))
    gap = ["…"] + [""] * (len(columns) - 1)
    body = [_row(gap if it is None else show(it), sides) for it in shorten(list(rows), None)]
    look = "border-collapse:collapse;border:0;margin:4px 0"
    return Html(f'<table style="{look};{INHERIT}"><tr>{head}</tr>{"".join(body)}</table>')


def shorten(rows: list[Any], gap: Any) -> list[Any]:
    """Return rows, without those in the middle if there are many.

    Args:
        rows: The rows.
        gap: What stands for those that are left out.

    >>> len(shorten(list(range(1_000)), "…"))
    21
    """
    half = ROWS // 2
    return rows if len(rows) <= ROWS else [*rows[:half], gap, *rows[-half:]]


def list_fields(value: Any) -> Html:
    """Return the settings of a dataclass as a table.

    Args:
        value: The dataclass.
    """
    rows = [(field.name, getattr(value, field.name)) for field in fields(value)]
    return join([headline(type(value).__name__, ""), table(["setting", "value"], rows, left=2)])


def draw_line(places: Places) -> Html:
    """Return a picture of a line; nothing if it has fewer than two finite places.

    Args:
        places: The places that it goes through.
    """
    finite = _thin([(x, y) for x, y in places if math.isfinite(x) and math.isfinite(y)])
    if len(finite) < 2:  # noqa: PLR2004 - a line has two ends
        return Html("")
    heights = [y for _, y in finite]
    logs = min(heights) > 0 and max(heights) / min(heights) >= LOG_FROM
    scaled = [math.log(y) if logs else y for y in heights]
    (first, _), (last, _) = finite[0], finite[-1]
    xs = [_scale(x, first, last, WIDTH) for x, _ in finite]
    low, high = min(scaled), max(scaled)
    ys = [MARGIN + HEIGHT - _scale(y, low, high, HEIGHT) for y in scaled]
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in zip(xs, ys, strict=True))
    return Html(
        f'<svg width="{WIDTH}" height="{HEIGHT + 2 * MARGIN}" role="img" style="vertical-align:'
        f'middle"><polyline points="{path}" fill="none" stroke="{BLUE}" stroke-width="1.5"/></svg>'
    )


def draw_steps(pieces: Sequence[tuple[float, float, float]]) -> Html:
    """Return a picture of a value that is constant in pieces.

    Args:
        pieces: The start, the end and the value of each piece.
    """
    return draw_line([place for begin, end, y in pieces for place in ((begin, y), (end, y))])


def _thin(places: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return the lowest and the highest place of each stretch, if there are more than pixels."""
    size = -(-len(places) // WIDTH)
    if size < 3:  # noqa: PLR2004 - two places of a stretch are its lowest and its highest
        return places
    kept = [0, len(places) - 1]
    for begin in range(0, len(places), size):
        stretch = range(begin, min(begin + size, len(places)))
        kept += [choose(stretch, key=lambda at: places[at][1]) for choose in (min, max)]
    return [places[at] for at in sorted(set(kept))]


def _scale(value: float, low: float, high: float, length: int) -> float:
    # Halves, because the difference of two floats may be more than any float.
    span = high / 2 - low / 2
    return length * ((value / 2 - low / 2) / span) if span else length / 2


def _row(row: Sequence[object], sides: Sequence[str]) -> str:
    return f"<tr>{''.join(map(_cell, ['td'] * len(row), row, sides))}</tr>"


def _cell(name: str, content: object, side: str) -> str:
    return f'<{name} style="{CELL}{side}">{escape(content)}</{name}>'
