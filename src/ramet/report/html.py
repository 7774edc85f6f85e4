"""HTML that is safe by construction: everything that is not markup already is escaped."""

import html
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import msgspec

from ramet.visible import visible, visible_lines

# A table with at most this many rows is kept on one sheet of paper.
SHORT = 15
# What an element may hold; None is nothing.
Content = object


class Markup(str):
    """Text that is HTML. Other strings are plain text, and are escaped when they are inserted."""

    __slots__ = ()


class Column(NamedTuple):
    """A column of a table."""

    name: str
    # Whether it is aligned to the left, as names are; numbers are aligned to the right.
    left: bool = False


def escape(what: Content) -> Markup:
    """Return content as HTML.

    >>> escape("a < b"), escape(Markup("<b>")), escape(None)
    ('a &lt; b', '<b>', '')
    """
    if isinstance(what, Markup):
        return what
    return Markup("" if what is None else html.escape(visible_lines(str(what))))


def join(parts: Iterable[Content]) -> Markup:
    """Return contents one after another."""
    return Markup("".join(map(escape, parts)))


def tag(name: str, *content: Content, **attributes: Any) -> Markup:
    """Return an element; ``class_`` is its class, and an attribute that is True has no value.

    >>> tag("p", "1 < 2", class_="note")
    '<p class="note">1 &lt; 2</p>'
    """
    given = "".join(_attribute(key, value) for key, value in attributes.items())
    return Markup(f"<{name}{given}>{join(content)}</{name}>")


def table(columns: Sequence[Column], rows: Iterable[Sequence[Content]], label: str) -> Markup:
    """Return a table that scrolls on screens that it does not fit, and not on paper."""
    head = [_cell("th", column, column.name, scope="col") for column in columns]
    body = [
        tag(
            "tr",
            # On narrow screens, each row is a list of names with values.
            *(
                _cell("td", column, it, data_label=column.name)
                for column, it in zip(columns, row, strict=True)
            ),
        )
        for row in rows
    ]
    inner = tag("table", tag("thead", tag("tr", *head)), tag("tbody", *body))
    look = "scroll short" if len(body) <= SHORT else "scroll"
    return tag("div", inner, class_=look, tabindex="0", role="region", aria_label=label)


def facts(pairs: Iterable[tuple[str, Content]]) -> Markup:
    """Return a list of names with their values; empty values are left out."""
    return tag(
        "dl", *(tag("div", tag("dt", name), tag("dd", said)) for name, said in pairs if said)
    )


def code(text: str, *, label: str) -> Markup:
    """Return a block of code to copy."""
    return tag("div", tag("pre", tag("code", text), tabindex="0", aria_label=label), class_="code")


def note(*said: Content) -> Markup:
    """Return a paragraph that explains."""
    return tag("p", *said, class_="note")


def data(what: Any, **attributes: Any) -> Markup:
    """Return JSON for scripts, escaped so that its strings cannot end the element."""
    text = msgspec.json.encode(what).decode()
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return tag("script", Markup(text), type="application/json", **attributes)


def _cell(name: str, column: Column, content: Content, **attributes: str) -> Markup:
    look = {"class_": "left"} if column.left else {}
    return tag(name, content, **look, **attributes)


def _attribute(key: str, value: Any) -> str:
    name = key.rstrip("_").replace("_", "-")
    if value is True:
        return f" {name}"
    return "" if value is None else f' {name}="{html.escape(visible(str(value)))}"'
