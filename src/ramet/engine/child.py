"""A worker process: reads from its parent what to train, and trains until the run is over."""

import os
import signal
import sys
import threading
import traceback
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, Self

import cloudpickle
import msgspec

from ramet.blobs import Blobs
from ramet.engine.opening import Settings
from ramet.engine.options import Options
from ramet.engine.run import Run
from ramet.engine.worker import work
from ramet.store import Store

# How many bytes the parent says that the job has.
LENGTH = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """All that a worker process needs; handed from parent to child, and never kept anywhere."""

    train: Any
    settings: Settings
    options: Options
    store: Store
    blobs: Blobs

    def packed(self) -> bytes:
        """Return it as its child reads it."""
        data: bytes = cloudpickle.dumps(self)
        return len(data).to_bytes(LENGTH, "big") + data

    @classmethod
    def read(cls) -> Self:
        """Read what the parent wrote."""
        incoming = sys.stdin.buffer
        length = int.from_bytes(incoming.read(LENGTH), "big")
        job: Self = cloudpickle.loads(incoming.read(length))
        return job


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What a worker process says of the error that ended it."""

    # The exception's name, if it is one of ours.
    kind: str
    message: str
    traceback: str


class Dismissed(SystemExit):
    """The parent wants this process to end, or is no more."""


def main() -> None:
    """Train; what ends it early is told to the parent in a file."""
    worker, report = sys.argv[2:4]
    # The terminal's Ctrl-C is for the parent to handle.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _dismiss)
    try:
        job = Job.read()
        _follow_parent()
        run = Run(
            job.settings,
            job.options,
            store=job.store,
            blobs=job.blobs,
            worker=worker,
            resume=False,
        )
        work(run, job.train, watch=lambda _: None)
    except Dismissed:
        raise
    except BaseException as error:
        _tell(error, Path(report))
        raise


def _dismiss(_signal: int, _frame: FrameType | None) -> None:
    # Once is enough: what is under way to the exit must not be cut short.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise Dismissed(0)


def _follow_parent() -> None:
    """See to it that this process ends when its parent does, and leave the user's code no input."""
    lifeline = os.dup(sys.stdin.fileno())
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, sys.stdin.fileno())
    os.close(nothing)

    def wait() -> None:
        while os.read(lifeline, 1):
            pass
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=wait, name="ramet-lifeline", daemon=True).start()


def _tell(error: BaseException, report: Path) -> None:
    told = Report(
        kind=type(error).__name__,
        message=str(error),
        traceback="".join(traceback.format_exception(error)),
    )
    whole = report.with_suffix(".part")
    whole.write_bytes(msgspec.json.encode(told))
    whole.replace(report)
