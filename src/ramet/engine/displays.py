"""Where progress is shown: on a terminal, below a notebook's cell, or line by line in a log."""

import contextlib
import html
import logging
import sys
from typing import Any, NamedTuple, Protocol

from ramet.frames import find_shell

logger = logging.getLogger("ramet.progress")

# Seconds between two updates: of a terminal's line, of a notebook's, and between lines of a log.
TERMINAL_S, NOTEBOOK_S, LINES_S = 0.1, 0.5, 30.0
# Seconds between two looks at whether there is a line to write.
LOOK_S = 1.0
# Seconds before the first line of a log, so that short runs write none.
FIRST_LINE_S = 10.0
# Several spaces stay several spaces.
AS_TEXT = "white-space:pre-wrap"
LINE_FORMAT, TIME_FORMAT = "%(asctime)s  %(message)s", "%Y-%m-%d %H:%M:%S"


class Look(NamedTuple):
    """How far a run is."""

    # The run's name, as it is shown.
    name: str
    text: str
    # The part of the budget that is used, from 0 to 1.
    done: float
    # Turns that have ended.
    turns: int
    # Seconds since the call began.
    elapsed_s: float
    # The same for programs, as fields of a log record.
    fields: dict[str, Any]


class Display(Protocol):
    """Something that shows progress."""

    # Seconds between two updates.
    every_s: float

    def say(self, text: str) -> None:
        """Show a sentence that stays."""
        ...

    def show(self, look: Look) -> None:
        """Show how far the run is."""
        ...

    def end(self, look: Look | None) -> None:
        """Show how far the run was at the end of the call, if it began."""
        ...


def choose_displays(*, shown: bool | None) -> list[Display]:
    """Return where progress is shown here.

    Args:
        shown: Whether to show it; with None, runs of a few seconds write no lines to a log.
    """
    if shown is False:
        return []
    if is_notebook():
        return [Notebook()]
    if not (sys.stderr and sys.stderr.isatty()):
        return [Lines(after_s=0.0 if shown else FIRST_LINE_S)]
    # Handlers of its own are there only if somebody wants the lines as well.
    return [Terminal(), *([Lines(after_s=0.0)] if logger.handlers else [])]


def is_notebook() -> bool:
    """Return whether this process is the kernel of a notebook."""
    return getattr(find_shell(), "kernel", None) is not None


class Terminal:
    """One line of a terminal, which is written again and again."""

    every_s = TERMINAL_S

    def __init__(self) -> None:
        # A tenth of a second's import that only a terminal needs.
        from rich.console import Console  # noqa: PLC0415 - as said
        from rich.live import Live  # noqa: PLC0415 - as said

        # What goes to a file does not disturb the line, and must not end up beside it.
        self._live = Live(
            console=Console(stderr=True),
            auto_refresh=False,
            redirect_stdout=sys.stdout.isatty(),
        )
        self._live.start()

    def say(self, text: str) -> None:
        self._live.console.print(text, markup=False, highlight=False)

    def show(self, look: Look) -> None:
        from rich.text import Text  # noqa: PLC0415 - as in __init__

        line = Text.assemble(
            (look.name, "bold"), "  ", look.text, no_wrap=True, overflow="ellipsis"
        )
        self._live.update(line, refresh=True)

    def end(self, look: Look | None) -> None:
        if look is not None:
            self.show(look)
        self._live.stop()


class Notebook:
    """One output of a notebook's cell, which is replaced again and again; it needs no widgets."""

    every_s = NOTEBOOK_S

    def __init__(self) -> None:
        self._said: list[str] = []
        self._handle: Any = None

    def say(self, text: str) -> None:
        self._said.append(text)

    def show(self, look: Look) -> None:
        from IPython.display import display  # noqa: PLC0415 - it is there in a notebook only

        lines = [*self._said, f"{look.name}  {look.text}"]
        bar = f'<progress value="{look.done:.4f}" max="1"></progress>'
        text = "<br>".join(map(html.escape, lines))
        bundle = {
            "text/plain": "\n".join(lines),
            "text/html": f'<div style="{AS_TEXT}">{bar} {text}</div>',
        }
        if self._handle is None:
            self._handle = display(bundle, raw=True, display_id=True)  # type: ignore[no-untyped-call]  # IPython's
        else:
            self._handle.update(bundle, raw=True)

    def end(self, look: Look | None) -> None:
        if look is not None:
            self.show(look)


class Lines:
    """Lines of a log, for batch jobs and files: one after a turn, at most every half minute."""

    every_s = LOOK_S

    def __init__(self, *, after_s: float) -> None:
        self._next_s = after_s
        self._always = not after_s
        self._said: list[str] = []
        self._last: Look | None = None

    def say(self, text: str) -> None:
        self._said.append(text)

    def show(self, look: Look) -> None:
        if self._is_news(look) and look.elapsed_s >= self._next_s:
            self._write(look)

    def end(self, look: Look | None) -> None:
        if look is None or not (self._always or self._last):
            return
        # A run that is done says so after its last turn.
        if look.done < 1 or self._is_news(look):
            self._write(look)

    def _is_news(self, look: Look) -> bool:
        return self._last is None or look.turns != self._last.turns

    def _write(self, look: Look) -> None:
        self._next_s, self._last = look.elapsed_s + LINES_S, look
        for text in self._said:
            _log(text)
        self._said.clear()
        _log(f"{look.name}  {look.text}", look.fields)
        # What the training prints must not wait in a buffer either.
        with contextlib.suppress(Exception):  # It may be closed, or replaced by anything.
            sys.stdout.flush()


def _log(text: str, fields: dict[str, Any] | None = None) -> None:
    """Write a line to the user's handlers, or to standard error while there are none.

    Handlers and levels are left as they are: other threads may train at the same time, and the
    training may set up logging while it runs.
    """
    if not _is_wanted():
        return
    place = (__file__, 0, "%s", (text,), None)
    record = logger.makeRecord(logger.name, logging.INFO, *place, extra=fields)
    if logger.hasHandlers():
        logger.handle(record)
    else:
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter(LINE_FORMAT, TIME_FORMAT))
        handler.handle(record)


def _is_wanted() -> bool:
    """Return whether lines are wanted, which they are at Python's usual level, WARNING, too."""
    level = logger.level or logging.getLogger("ramet").level
    if level or logging.root.level > logging.WARNING:
        return logger.isEnabledFor(logging.INFO)
    return not logger.disabled and logger.manager.disable < logging.INFO
