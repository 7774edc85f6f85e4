"""How a worker leaves at SIGTERM: its turn may end within a time of grace, or is given back."""

import contextlib
import logging
import os
import queue
import signal
import sys
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import Any, Never, TypeAlias

from ramet.engine.run.run import Run
from ramet.engine.run.turn import Turn
from ramet.engine.workers.loop import Task, work
from ramet.engine.workers.session import TrainFunction, Watch
from ramet.errors import StoreError, UsageError

Handler: TypeAlias = Callable[[int, FrameType | None], None]

logger = logging.getLogger("ramet")

# Seconds from the end of the grace until the process ends by force: code may catch every exception,
# or be in a call that no signal interrupts.
FORCE_S = 5.0
# Seconds that a process that ends by force has to give its turn back and to say so.
GIVE_BACK_S = 3.0
# Seconds that the warning of a late turn may take.
SAY_S = 1.0
# Seconds between two looks at whether that is over.
LOOK_S = 0.05
# Shells expect this exit code plus the number of the signal that ended a command.
SIGNAL_EXIT = 128


class Terminated(KeyboardInterrupt):
    """SIGTERM asks this process to end."""


def terminate(_signal: int, _frame: FrameType | None) -> None:
    """Handle SIGTERM: raise Terminated, unless that is on its way already."""
    if not _is_leaving(sys.exception()):
        raise Terminated


def work_with_grace(run: Run, train: TrainFunction | Task, watch: Watch, *, grace_s: float) -> None:
    """Train turns until the run is over, or SIGTERM asks this worker to leave.

    A turn that is under way then may end, and is committed, if that takes no longer than the grace.
    Otherwise, or at a second signal, it is given back. Both raise Terminated.

    Args:
        run: The run.
        train: A training function or a task.
        watch: What is called after every turn.
        grace_s: Seconds that a turn has to end.
    """
    leaving = _Leaving(run, watch, grace_s)
    before = _set_handler(leaving.handle)
    try:
        leaving.watch_over()
        work(run, train, leaving.ends, begins=leaving.begins)
    except SystemExit:
        # Loops of other libraries may end the process at an interrupt.
        if leaving.asked:
            raise Terminated from None
        raise
    except KeyboardInterrupt:
        # The signal may have come after the claim of a member; only this worker has this name.
        with contextlib.suppress(StoreError):  # Then the lease runs out.
            run.disown(run.worker)
        raise
    finally:
        try:
            leaving.finish()
        finally:
            signal.signal(signal.SIGTERM, before)


class _Leaving:
    """What SIGTERM does to a worker: at first, at the second time, and when the grace is over."""

    def __init__(self, run: Run, watch: Watch, grace_s: float) -> None:
        self._run, self._watch, self._grace_s = run, watch, grace_s
        # The turn that is out; None while the worker waits for one.
        self._turn: Turn | None = None
        # Whether a signal has come, and whether the training was interrupted.
        self.asked, self._interrupted = False, False
        # Whether the worker has left, or the run is over.
        self.over = False
        # Forked processes, such as those that load data, inherit the handler.
        self._process = os.getpid()
        # The handler must not start a thread, because the signal may have interrupted what locks;
        # a simple queue can be put into at any time.
        self._woken: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._watcher = threading.Thread(target=self._limit, name="ramet-grace", daemon=True)

    def watch_over(self) -> None:
        """Be ready to end the grace once a signal has come."""
        self._watcher.start()

    def finish(self) -> None:
        """Send no more signals, because after this worker something else handles them."""
        self.over = True
        self._woken.put(None)
        if self._watcher.is_alive():
            self._watcher.join()

    def begins(self, turn: Turn) -> None:
        """Begin a turn, unless this worker is leaving."""
        if self.asked:
            self._interrupt()
        self._turn = turn

    def ends(self, run: Run) -> None:
        """End a turn; leave if that was asked for and the run is not over."""
        self._turn = None
        self._watch(run)
        if self.asked and not run.over:
            self._interrupt()

    def handle(self, _signal: int, _frame: FrameType | None) -> None:
        """Leave at once, or once the turn is over if this is the first signal."""
        if os.getpid() != self._process:
            _end_as_usual()
        again, self.asked = self.asked, True
        self._woken.put(None)
        if (again or self._turn is None or not self._grace_s) and not self._interrupted:
            self._interrupt()

    def _interrupt(self) -> Never:
        # Another signal must not interrupt the release of the turn.
        self._interrupted = True
        raise Terminated

    def _limit(self) -> None:
        """Wait for a signal; end the grace, and the process if it is still at work after that."""
        self._woken.get()
        if not _wait(lambda: self.over or self._interrupted, most_s=self._grace_s):
            turn = self._turn
            # Unlike an exception from another thread, a signal interrupts calls that wait.
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGTERM)
            # Only now: what is interrupted may hold the lock of the log.
            _attempt(lambda: self._say_late(turn), most_s=SAY_S)
        if not _wait(lambda: self.over, most_s=FORCE_S):
            self._end_by_force()

    def _end_by_force(self) -> Never:
        # The training may hold a lock that one of these needs; then the lease runs out.
        _attempt(self._run.release_all, _say_force, most_s=GIVE_BACK_S)
        os._exit(SIGNAL_EXIT + signal.SIGTERM)

    def _say_late(self, turn: Turn | None) -> None:
        if turn is None:
            return
        fields = {
            "run": self._run.name,
            "member": turn.member,
            "turn": turn.number,
            "grace_s": self._grace_s,
        }
        logger.warning(
            "turn %(turn)d of member %(member)d of run %(run)r did not end within %(grace_s)g s of "
            "SIGTERM and is given back; for turns that take longer, raise --grace (grace_s) and "
            "the time that the machine waits before it kills the process",
            fields,
            extra=fields,
        )


def _say_force() -> None:
    logger.warning(
        "training must end when it is interrupted, but did not within %g s, because it catches "
        "every exception or is in a call that no signal interrupts; the worker process ends by "
        "force",
        FORCE_S,
    )


def _end_as_usual() -> None:
    """End a process as SIGTERM does where nothing handles it."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    os.kill(os.getpid(), signal.SIGTERM)


def _set_handler(handle: Handler) -> Any:
    """Set what handles SIGTERM; return what did."""
    try:
        return signal.signal(signal.SIGTERM, handle)
    except ValueError:
        raise UsageError(
            "a worker with a time of grace must train in the main thread, where Python handles "
            "SIGTERM, but this is another thread; leave grace_s out, or call ramet there"
        ) from None


def _wait(truth: Callable[[], bool], *, most_s: float) -> bool:
    """Wait until something is so; return whether it is."""
    # No event: a signal may come while the main thread sets it.
    end = time.monotonic() + most_s
    while not truth() and time.monotonic() < end:
        time.sleep(LOOK_S)
    return truth()


def _attempt(*calls: Callable[[], object], most_s: float) -> None:
    """Do things that may never end; go on after some time."""
    threads = [threading.Thread(target=call, daemon=True) for call in calls]
    for thread in threads:
        thread.start()
    _wait(lambda: not any(thread.is_alive() for thread in threads), most_s=most_s)


def _is_leaving(error: BaseException | None) -> bool:
    """Say whether an exception is Terminated, or was raised while that was handled."""
    while error is not None and not isinstance(error, Terminated):
        error = error.__context__
    return error is not None
