"""The error that ended a worker, as the process that watches it reads it."""

from typing import Never, Self

import msgspec

from ramet import errors
from ramet.errors import RametError, RunFailed
from ramet.frames import format_error, leave_out

# Characters that are kept of what an error says, which may quote arrays.
MOST_OF_MESSAGE = 10_000


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """How a worker process reports the error that ended it."""

    # The name of the exception's class.
    kind: str
    message: str
    traceback: str
    # The traceback of the failure in the user's code that ended the run, if one did.
    failure: str = ""
    # What was noted about the error.
    notes: tuple[str, ...] = ()

    @classmethod
    def of(cls, error: BaseException) -> Self:
        """Return the report of an error."""
        # JSON cannot hold lone surrogates, which a file's name may contain.
        failure = error.traceback if isinstance(error, RunFailed) else ""
        message, trace, failure, *notes = (
            text.encode(errors="replace").decode()
            for text in (_say(error), format_error(error), failure, *_notes_of(error))
        )
        return cls(
            kind=type(error).__name__,
            message=message,
            traceback=trace,
            failure=failure,
            notes=tuple(notes),
        )


class WorkerTraceback(Exception):
    """The traceback of an error in a worker process."""

    def __str__(self) -> str:
        return f"\n{self.args[0]}"


def raise_report(report: Report) -> Never:
    """Raise a worker's error in this process, with the traceback that helps the user most."""
    error = as_raised(report)
    for note in report.notes:
        error.add_note(note)
    raise error from WorkerTraceback(report.failure or report.traceback)


def _say(error: BaseException) -> str:
    """Return what an error says, which code of the user's may fail to, as Python would."""
    try:
        said = str(error)
    except Exception:  # noqa: BLE001 - whatever an error's own code raises
        said = "<exception str() failed>"
    return leave_out(said, MOST_OF_MESSAGE)


def _notes_of(error: BaseException) -> list[str]:
    # Code of the user's may have put anything there.
    notes = getattr(error, "__notes__", None)
    return [note for note in notes if isinstance(note, str)] if isinstance(notes, list) else []


def as_raised(report: Report) -> Exception:
    """Return a worker's error as an exception of this process."""
    if report.kind == RunFailed.__name__:
        return RunFailed(report.message, traceback=report.failure)
    kind = getattr(errors, report.kind, None)
    if isinstance(kind, type) and issubclass(kind, RametError):
        return kind(report.message)
    remedy = "; to stop a run, call turn.stop_run() and let the loop end its turn"
    leaves = report.kind in {"SystemExit", "KeyboardInterrupt"}
    return RunFailed(
        f"a worker process ended with {report.kind}: {report.message}{remedy if leaves else ''}",
        traceback=report.traceback,
    )
