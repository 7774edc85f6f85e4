r"""Make text safe to show on a terminal.

Names, values and tracebacks come from scripts and stores, which may come from strangers. A control
character in them could set the title of a terminal, write to its clipboard, or clear its screen.
"""

import logging

# The most characters of a name or value that are shown.
MAX_LABEL_CHARS = 200
# The most characters of a message that are shown.
MAX_MESSAGE_CHARS = 20_000


def visible(text: str) -> str:
    r"""Return text as one line, with escapes for all characters that are not printable.

    These are control characters, line ends, marks that change the direction of text, and lone
    surrogates.

    >>> print(visible("\x1b[31mred\n\u202eevil"), visible("naïve 日本語"))
    \x1b[31mred\n\u202eevil naïve 日本語
    """
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)


def visible_lines(text: str) -> str:
    r"""Return text with escapes for what is not printable, except line ends and tabs.

    >>> print(visible_lines("first\r\nsecond\x07"))
    first\r
    second\x07
    """
    if text.isprintable():
        return text
    return "\n".join("\t".join(map(visible, line.split("\t"))) for line in text.split("\n"))


def label(text: str) -> str:
    """Return a name or value as it is shown: printable, on one line, shortened if long.

    >>> len(label("x" * 5_000_000))
    200
    """
    return visible(cut(text, MAX_LABEL_CHARS))


def message(text: str) -> str:
    """Return a message as it is shown: printable, with a very long middle left out."""
    return visible_lines(cut(text, MAX_MESSAGE_CHARS))


def cut(text: str, most: int) -> str:
    """Shorten text to at most ``most`` characters, its beginning and its end.

    >>> cut("0123456789", 5)
    '01…89'
    """
    if len(text) <= most:
        return text
    head = most // 2
    return f"{text[:head]}…{text[len(text) - (most - head - 1) :]}"


class VisibleMessages(logging.Filter):
    """Makes the messages of log records printable and leaves their fields as they are."""

    def filter(self, record: logging.LogRecord) -> bool:
        said = record.getMessage()
        shown = message(said)
        if shown != said:
            record.msg, record.args = shown, ()
        return True


logging.getLogger("ramet").addFilter(VisibleMessages())
