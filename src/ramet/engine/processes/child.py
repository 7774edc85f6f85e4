"""A worker process: reads from its parent what to train, and trains until the run is over.

The parent writes the path by which ramet is imported, before this module is, and two pickles: the
surroundings, and the job, which is read once they are entered.
"""

import functools
import marshal
import os
import pickle
import select
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, Never

import msgspec

from ramet.blobs import Blobs
from ramet.engine.processes import loading
from ramet.engine.processes.leaving import keep_to_this_process, leave
from ramet.engine.processes.portable import dumped_leaving
from ramet.engine.processes.printing import Announcer, buffer_lines
from ramet.engine.processes.script import first_path
from ramet.engine.processes.surroundings import Dismissed, Surroundings
from ramet.engine.run.failures import Failures
from ramet.engine.run.opening import Settings
from ramet.engine.run.run import Run
from ramet.engine.workers.loop import work
from ramet.process import watched_by
from ramet.store import Store

# How many bytes say how long what follows is.
LENGTH = 8
# How long a process has to give back its turn when it is stopped.
GRACE_S = 5.0
# How often it is looked whether the parent is still there.
LOOK_S = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """All that a worker process needs; handed from parent to child, and never kept anywhere."""

    train: Any
    settings: Settings
    failures: Failures
    store: Store
    blobs: Blobs
    # The process that sees to what this one leaves behind when it dies.
    watcher: str | None = None

    def packed(self) -> bytes:
        """Return it as its child reads it."""
        data, left = dumped_leaving(self)
        surroundings = Surroundings.here(left)
        parts = pickle.dumps(surroundings), data
        first = marshal.dumps(first_path())
        return first + b"".join(len(part).to_bytes(LENGTH, "big") + part for part in parts)


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What a worker process says of the error that ended it."""

    # The name of the exception's class.
    kind: str
    message: str
    traceback: str


def main() -> Never:
    """Train; what ends it early is told to the parent in a file."""
    worker, report = sys.argv[1], Path(sys.argv[2])
    _handle_signals()
    keep_to_this_process(_dismiss)
    buffer_lines()
    leave(_exit_code(functools.partial(_load_and_train, worker, report), report))


def _load_and_train(worker: str, report: Path) -> None:
    first, second = _read(), _read()
    _follow_parent()
    surroundings: Surroundings = pickle.loads(first)  # noqa: S301 - our parent wrote it
    train = functools.partial(_train, surroundings, second, worker)
    surroundings.enter(
        at_call=functools.partial(_exit_code, train, report),
        refuse=functools.partial(_tell, report=report),
    )
    train()


def _train(surroundings: Surroundings, packed: bytes, worker: str) -> None:
    """Do the job; begun again if reading it imports a module that calls ``ramet.run``."""
    surroundings.settle()
    # The script may have handlers of its own.
    _handle_signals()
    surroundings.check()
    job: Job = pickle.loads(packed)  # noqa: S301 - our parent wrote it
    loading.end()
    watched_by(job.watcher)
    run = Run(
        job.settings,
        job.failures,
        store=job.store,
        blobs=job.blobs,
        worker=worker,
        existing="join",
    )
    _work(run, job.train)


def _exit_code(work: Callable[[], None], report: Path) -> int:
    """Work; return the exit code of this process, and tell the parent what ended it early."""
    try:
        work()
    except Dismissed:
        return 0
    except BaseException as error:  # noqa: BLE001 - the parent raises it, traceback and all
        return _tell(error, report)
    return 0


def _read() -> bytes:
    """Read what the parent wrote, or end if it is no more."""
    incoming = sys.stdin.buffer
    length = int.from_bytes(incoming.read(LENGTH), "big")
    data = incoming.read(length)
    if not length or len(data) < length:
        raise Dismissed(0)
    return data


def _handle_signals() -> None:
    # The terminal's Ctrl-C is for the parent to handle.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _dismiss)


def _work(run: Run, train: Any) -> None:
    try:
        work(run, train, watch=lambda _: None, begins=Announcer().begins)
    except Dismissed:
        # It may have come between a member's claim and its turn; nobody else has this name.
        run.disown(run.worker)
        raise


def _dismiss(_signal: int, _frame: FrameType | None) -> None:
    # Once is enough: what is under way to the exit must not be cut short.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if loading.is_loading():
        # Nothing is held yet, and the script must not clean up behind its call.
        os._exit(0)
    raise Dismissed(0)


def _follow_parent() -> None:
    """See to it that this process ends when its parent does, and leave the user's code no input."""
    lifeline = os.dup(sys.stdin.fileno())
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, sys.stdin.fileno())
    os.close(nothing)

    parent = os.getppid()

    def wait() -> None:
        # Its end closes the pipe, unless some other child of it has the pipe too.
        while os.getppid() == parent:
            try:
                ready, _, _ = select.select([lifeline], [], [], LOOK_S)
                if ready and not os.read(lifeline, 1):
                    break
            except OSError:  # The user's code closed it.
                time.sleep(LOOK_S)
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(GRACE_S)
        # Code that catches everything, or never comes back, has nobody left who would stop it.
        os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=wait, name="ramet-lifeline", daemon=True).start()


def _tell(error: BaseException, report: Path) -> int:
    """Write down an error for the parent; return this process's exit code."""
    # JSON holds no half characters, which a file's name may.
    message, trace = (
        text.encode(errors="replace").decode()
        for text in (str(error), "".join(traceback.format_exception(error)))
    )
    told = Report(kind=type(error).__name__, message=message, traceback=trace)
    whole = report.with_suffix(".part")
    whole.write_bytes(msgspec.json.encode(told))
    whole.replace(report)
    return 1
