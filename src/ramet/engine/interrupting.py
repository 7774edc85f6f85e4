"""The run that was interrupted last, or failed, which stays at hand."""

import contextlib
from collections.abc import Callable, Iterator

from ramet.errors import RunFailed, UsageError
from ramet.frames import drop_leading_frames
from ramet.history.result import Result

# Reads the result of that run. A run in memory lives as long as this does.
_read: Callable[[], Result] | None = None


def interrupted() -> Result:
    """Return the result so far of the last run in this process that was interrupted or failed.

    It is available after Ctrl-C, after an interrupt of a notebook's kernel and after ``RunFailed``,
    even if the run was only in memory, until another run begins. To go on with the run, call
    ``ramet.run`` with the same arguments and ``store=ramet.interrupted().storage``.
    """
    if _read is None:
        raise UsageError(
            "there must be a run that was interrupted since the last one began in this process, "
            "but there is none; for a run in a file, use ramet.history.load('runs.db')"
        )
    return _read()


def say_interrupt(stopped: KeyboardInterrupt, text: str) -> KeyboardInterrupt:
    """Return an interrupt of the same type that says what was stopped and how to go on.

    IPython, and so a notebook, shows it as this text, without the frames of ramet above it.

    Args:
        stopped: What interrupted the run.
        text: What to say.
    """
    again = type(stopped)(text)
    # Of this one object: Python exits as after Ctrl-C only for KeyboardInterrupt itself.
    again.__dict__["_render_traceback_"] = lambda: [f"KeyboardInterrupt: {text}"]
    return again


def hide_frames(error: KeyboardInterrupt | RunFailed) -> None:
    """Take ramet's frames out of the traceback of an error that ends a call of the user's.

    An interrupt that ramet has not explained is left as it is.

    Args:
        error: What ends the call.
    """
    if isinstance(error, RunFailed) or "_render_traceback_" in vars(error):
        error.__traceback__ = None
        drop_leading_frames(error.__cause__)


@contextlib.contextmanager
def explain_interrupt(explain: Callable[[], str]) -> Iterator[None]:
    """Let an interrupt of this block say what was stopped, unless it says so already.

    Args:
        explain: Returns what to say.
    """
    try:
        yield
    except KeyboardInterrupt as stopped:
        if stopped.args:
            raise
        raise say_interrupt(stopped, explain()) from None


def remember(read: Callable[[], Result] | None) -> None:
    """Keep an interrupted run at hand, or forget the last one.

    Args:
        read: Reads its result. A long log takes a while, so it is read only when the result is
            asked for. None where another run begins.
    """
    global _read  # noqa: PLW0603 - a process has one prompt
    _read = read
