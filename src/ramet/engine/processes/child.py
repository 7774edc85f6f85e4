"""The program of a worker process: read a job from the parent, and train until the run is over.

The parent first writes the path that ramet is imported by, then two pickles: the surroundings, and
the job. The job is read only once the surroundings are set up.
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
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, Never

import msgspec

from ramet.blobs import Blobs
from ramet.engine.processes import loading
from ramet.engine.processes.leaving import keep_to_this_process, leave
from ramet.engine.processes.portable import dump_without_unpicklable
from ramet.engine.processes.printing import Announcer, buffer_lines
from ramet.engine.processes.reports import Report
from ramet.engine.processes.script import first_path
from ramet.engine.processes.surroundings import Dismissed, Surroundings
from ramet.engine.run.failures import Failures
from ramet.engine.run.opening import Settings
from ramet.engine.run.run import Run
from ramet.engine.workers.loop import work
from ramet.process import set_watcher
from ramet.store import Store

# Bytes of the number in front of each pickle, which is its length.
LENGTH = 8
# Time that a stopped process has to give its turn back.
GRACE_S = 5.0
# Time between two checks that the parent is alive.
LOOK_S = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """Everything that a worker process needs; it is sent through a pipe and never stored."""

    train: Any
    settings: Settings
    failures: Failures
    store: Store
    blobs: Blobs
    # The process that cleans up after this one if it dies.
    watcher: str | None = None

    def join(self, worker: str) -> Run:
        """Return a worker's part in the run."""
        return Run(
            self.settings,
            self.failures,
            store=self.store,
            blobs=self.blobs,
            worker=worker,
            existing="join",
        )

    def pack(self) -> bytes:
        """Return the bytes that the worker reads."""
        data, left = dump_without_unpicklable(self)
        surroundings = Surroundings.here(left)
        parts = pickle.dumps(surroundings), data
        first = marshal.dumps(first_path())
        return first + b"".join(len(part).to_bytes(LENGTH, "big") + part for part in parts)


def main() -> Never:
    """Train; write an error that ends this process early to a file, which the parent reads."""
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
        refuse=functools.partial(_report, report=report),
    )
    train()


def _train(surroundings: Surroundings, packed: bytes, worker: str) -> None:
    """Do the job; it starts again if reading it imports a module that calls ``ramet.run``."""
    surroundings.settle()
    # The script may have handlers of its own.
    _handle_signals()
    surroundings.check()
    job: Job = pickle.loads(packed)  # noqa: S301 - our parent wrote it
    loading.end()
    set_watcher(job.watcher)
    _work(job.join(worker), job.train)


def _exit_code(work: Callable[[], None], report: Path) -> int:
    """Work; return this process's exit code, and report to the parent what ended it early."""
    try:
        work()
    except Dismissed:
        return 0
    except BaseException as error:  # noqa: BLE001 - the parent raises it, traceback and all
        return _report(error, report)
    return 0


def _read() -> bytes:
    """Read one pickle from the parent; end this process if the parent is gone."""
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
        # The signal may have come after the claim of a member; only this worker has this name.
        run.disown(run.worker)
        raise


def _dismiss(_signal: int, _frame: FrameType | None) -> None:
    # A second signal must not interrupt the exit that the first began.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if loading.is_loading():
        # No turn is held yet, and code behind the call of ramet.run must not run.
        os._exit(0)
    raise Dismissed(0)


def _follow_parent() -> None:
    """End this process when its parent ends; give the user's code an empty stdin."""
    lifeline = os.dup(sys.stdin.fileno())
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, sys.stdin.fileno())
    os.close(nothing)

    parent = os.getppid()

    def wait() -> None:
        # The end of the parent closes the pipe, unless another child holds it open.
        while os.getppid() == parent:
            try:
                ready, _, _ = select.select([lifeline], [], [], LOOK_S)
                if ready and not os.read(lifeline, 1):
                    break
            except OSError:  # The user's code closed the descriptor.
                time.sleep(LOOK_S)
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(GRACE_S)
        # Code that catches every exception, or never returns, can be stopped in no other way.
        os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=wait, name="ramet-lifeline", daemon=True).start()


def _report(error: BaseException, report: Path) -> int:
    """Write an error to a file for the parent; return this process's exit code."""
    whole = report.with_suffix(".part")
    whole.write_bytes(msgspec.json.encode(Report.of(error)))
    whole.replace(report)
    return 1
