"""The error that ended a worker, as the process that watches it reads it."""

import traceback
from typing import Self

import msgspec

from ramet import errors
from ramet.errors import RametError, RunFailed


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """How a worker process reports the error that ended it."""

    # The name of the exception's class.
    kind: str
    message: str
    traceback: str

    @classmethod
    def of(cls, error: BaseException) -> Self:
        """Return the report of an error."""
        # JSON cannot hold lone surrogates, which a file's name may contain.
        message, trace = (
            text.encode(errors="replace").decode()
            for text in (str(error), "".join(traceback.format_exception(error)))
        )
        return cls(kind=type(error).__name__, message=message, traceback=trace)


class WorkerTraceback(Exception):
    """The traceback of an error in a worker process."""

    def __str__(self) -> str:
        return f"\n{self.args[0]}"


def as_raised(report: Report) -> Exception:
    """Return a worker's error as an exception of this process."""
    kind = getattr(errors, report.kind, None)
    if isinstance(kind, type) and issubclass(kind, RametError):
        return kind(report.message)
    remedy = "; to stop a run, call turn.stop_run() and let the loop end its turn"
    leaves = report.kind in {"SystemExit", "KeyboardInterrupt"}
    return RunFailed(
        f"a worker process ended with {report.kind}: {report.message}{remedy if leaves else ''}"
    )
