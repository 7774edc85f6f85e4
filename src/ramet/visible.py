r"""Text from elsewhere, made safe to show: nothing in it can act on a terminal.

Names, values and tracebacks come from scripts and from stores, which may be a stranger's. A control
character in them could set a terminal's title, write to its clipboard, or clear what was said.
"""

import logging

# Characters of one name or value that are shown.
LABEL = 200
# Characters of one message that are shown.
MESSAGE = 20_000


def visible(text: str) -> str:
    r"""Return text as one line, in which all that cannot be printed is written as an escape.

    These are control characters, line ends, marks that change the direction of text, and halves of
    characters.

    >>> print(visible("\x1b[31mred\n\u202eevil"), visible("naïve 日本語"))
    \x1b[31mred\n\u202eevil naïve 日本語
    """
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)


def visible_lines(text: str) -> str:
    r"""Return text in which all that cannot be printed is an escape, but for line ends and tabs.

    >>> print(visible_lines("first\r\nsecond\x07"))
    first\r
    second\x07
    """
    if text.isprintable():
        return text
    return "\n".join("\t".join(map(visible, line.split("\t"))) for line in text.split("\n"))


def label(text: str) -> str:
    """Return a name or value as it is shown: visible, in one line, and without its middle if long.

    >>> len(label("x" * 5_000_000))
    200
    """
    return visible(cut(text, LABEL))


def message(text: str) -> str:
    """Return a message as it is shown, without its middle if it is very long."""
    return visible_lines(cut(text, MESSAGE))


def cut(text: str, most: int) -> str:
    """Return text of at most so many characters: its beginning and its end.

    >>> cut("0123456789", 5)
    '01…89'
    """
    if len(text) <= most:
        return text
    head = most // 2
    return f"{text[:head]}…{text[len(text) - (most - head - 1) :]}"


class VisibleMessages(logging.Filter):
    """Makes the messages of log records visible; their fields stay as they are."""

    def filter(self, record: logging.LogRecord) -> bool:
        said = record.getMessage()
        shown = message(said)
        if shown != said:
            record.msg, record.args = shown, ()
        return True


logging.getLogger("ramet").addFilter(VisibleMessages())
