"""Pickle a job for worker processes, or name the part of it that cannot be pickled."""

from ramet.engine.processes.child import Job
from ramet.engine.processes.portable import culprit
from ramet.engine.processes.script import this_script
from ramet.errors import NotPortable


def pack(job: Job) -> bytes:
    """Return a job as bytes; refuse one that cannot be pickled, and name the part at fault."""
    try:
        return job.pack()
    except NotPortable:
        raise
    except Exception as error:
        raise NotPortable(
            f"what worker processes train must be something that can be sent to another process, "
            f"but {find_culprit(job)} cannot be pickled: {error!r}. Make it inside the training "
            f"function{_instead()}; or train in this process, workers=0"
        ) from error


def find_culprit(job: Job) -> str:
    """Name the part of a job that cannot be pickled, and the path to it."""
    for field in ("train", "settings", "store", "blobs"):
        way = list(culprit(getattr(job, field)))
        if way:
            names = " of ".join(repr(name) for name, _ in reversed(way))
            return f"{names} of the run's {field} ({type(way[-1][1]).__qualname__})"
    return "the training function or one of its values"


def _instead() -> str:
    return "" if this_script() is None else ", or at the script's top level, which workers run too"
