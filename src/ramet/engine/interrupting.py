"""The run that was interrupted last, or failed, which stays at hand."""

from ramet.errors import UsageError
from ramet.history.result import Result

# A run in memory lives as long as its result does.
_interrupted: Result | None = None


def interrupted() -> Result:
    """Return the result so far of the run that was interrupted last in this process, or failed.

    It is there after Ctrl-C, after a notebook's kernel was interrupted, and after ``RunFailed``,
    until another run begins; also if the run was in memory only. With the same arguments and
    ``store=ramet.interrupted().storage``, the run goes on.
    """
    if _interrupted is None:
        raise UsageError(
            "there must be a run that was interrupted since the last one began in this process, "
            "but there is none; for a run in a file, use ramet.history.load('runs.db')"
        )
    return _interrupted


def remember(result: Result | None) -> None:
    """Keep the result of an interrupted run at hand, or forget the last one.

    Args:
        result: The result; None where another run begins.
    """
    global _interrupted  # noqa: PLW0603 - a process has one prompt
    _interrupted = result
