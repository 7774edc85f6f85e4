"""How a worker process ends inside the user's code, whatever that code left running."""

import atexit
import contextlib
import ctypes
import faulthandler
import gc
import io
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable
from types import FrameType
from typing import Never, TypeAlias

from ramet.frames import is_users

logger = logging.getLogger("ramet")

# How long threads may go on that Python would wait for, and all exit handlers together.
THREADS_S, HANDLERS_S = 10.0, 60.0
# How long after that the process ends by force: Python's lock may be held, or all be caught.
MARGIN_S = 5.0
# How often a wait is ended that goes on after it was.
AGAIN_S = 1.0
# The descriptor of errors.
_ERR = 2


class _Enough(BaseException):
    """What was waited for has had its time."""


def leave(code: int) -> Never:
    """End this process without unwinding the code that it is in."""
    with contextlib.suppress(ValueError):  # Not in the main thread.
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    # What Python does when it ends, as multiprocessing does it in a forked process.
    if not _did(_end_threads, within_s=THREADS_S):
        _say_left()
    _did(_run_handlers, within_s=HANDLERS_S, cut=_cut_handlers)
    _did(_flush, within_s=HANDLERS_S)
    os._exit(code)


def _did(
    step: Callable[[], object],
    *,
    within_s: float,
    cut: Callable[[FrameType | None], None] = lambda _: None,
) -> bool:
    """Do one step; say whether it came to its end in time. Where it is cut short is said first."""
    if threading.current_thread() is not threading.main_thread():
        # No signal can end a wait here, and the main thread may wait for this one.
        return step is _end_threads or _tried(step)
    first = [cut]

    def end_wait(_signal: int, frame: FrameType | None) -> Never:
        while first:
            first.pop()(frame)
        raise _Enough

    signal.signal(signal.SIGALRM, end_wait)
    # Again and again, because code may catch everything.
    signal.setitimer(signal.ITIMER_REAL, within_s, AGAIN_S)
    _end_by_force(within_s + MARGIN_S)
    try:
        return _tried(step)
    except _Enough:
        return False
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)


def _tried(step: Callable[[], object]) -> bool:
    with contextlib.suppress(Exception):
        step()
    return True


def _end_by_force(after_s: float) -> None:
    """Have the process end after so long even if it never comes to run Python again."""
    with contextlib.suppress(OSError, RuntimeError):  # Errors were closed.
        faulthandler.dump_traceback_later(after_s, exit=True, file=_ERR)


def _run_handlers() -> None:
    """Run all exit handlers; Python shows what one raises, but that its time is over is known."""
    shown = sys.unraisablehook

    def show(unraisable: "sys.UnraisableHookArgs") -> None:
        if not issubclass(unraisable.exc_type, _Enough):
            shown(unraisable)

    sys.unraisablehook = show
    atexit._run_exitfuncs()  # noqa: SLF001 - as multiprocessing does


def _cut_handlers(frame: FrameType | None) -> None:
    """Say which exit handler is cut short, and leave out those to come."""
    atexit._clear()  # noqa: SLF001 - the only way to
    waits = f" It waits for {children}." if (children := _children()) else ""
    fields = {"handler": _handler(frame), "seconds": HANDLERS_S, "waits": waits}
    logger.warning(
        "exit handlers (atexit) must end within %(seconds)g s together, but %(handler)s still ran; "
        "the worker process ends without it and without those still to come.%(waits)s End what "
        "training starts before the training function returns; start processes with daemon=True",
        fields,
        extra=fields,
    )


def _handler(frame: FrameType | None) -> str:
    """Return the exit handler that a frame is in, and the line of it that is at work."""
    handler, own = None, None
    while frame is not None and frame.f_code is not _run_handlers.__code__:
        if own is None and is_users(frame.f_code.co_filename):
            own = frame
        handler, frame = frame, frame.f_back
    if handler is None or frame is None:
        return "one"
    at = own or handler
    return f"{handler.f_code.co_qualname!r} (at {at.f_code.co_filename}:{at.f_lineno})"


def _children() -> str:
    """Return the names of the processes that multiprocessing waits for, if it does."""
    multiprocessing = sys.modules.get("multiprocessing")
    children = multiprocessing.active_children() if multiprocessing else []
    return ", ".join(f"{each.name!r} (process {each.pid})" for each in children)


def _end_threads() -> None:
    """Wait for the threads that are no daemons, having ended those of thread pools."""
    for end in reversed(getattr(threading, "_threading_atexits", ())):
        _tried(end)
    while threads := _waited_for():
        threads[0].join()


def _waited_for() -> list[threading.Thread]:
    here = {threading.current_thread(), threading.main_thread()}
    return [one for one in threading.enumerate() if not one.daemon and one not in here]


def _say_left() -> None:
    threads = [f"{one.name!r}{_at(one)}" for one in _waited_for()]
    fields = {"threads": ", ".join(threads), "seconds": THREADS_S}
    logger.warning(
        "training must end the threads that it starts, but %(threads)s still ran %(seconds)g s "
        "after all was over; the worker process ends without that. Start such threads with "
        "daemon=True, or end them before the training function returns",
        fields,
        extra=fields,
    )


def _at(thread: threading.Thread) -> str:
    """Return the line of the user's code that a thread is at."""
    frame = sys._current_frames().get(thread.ident or 0)  # noqa: SLF001 - as faulthandler does
    while frame is not None:
        if is_users(frame.f_code.co_filename):
            return f" (at {frame.f_code.co_filename}:{frame.f_lineno})"
        frame = frame.f_back
    return ""


def _flush() -> None:
    """Write out what open files hold back, which Python does when it deletes them, and C's too."""
    for thing in gc.get_objects():
        if issubclass(type(thing), io.TextIOWrapper | io.BufferedWriter | io.BufferedRandom):
            with contextlib.suppress(OSError, ValueError):  # It is closed.
                thing.flush()
    ctypes.CDLL(None).fflush(None)


Handler: TypeAlias = Callable[[int, FrameType | None], None]


def keep_to_this_process(handler: Handler) -> None:
    """Have a handler of SIGTERM go through no fork.

    A process pool ends its processes with SIGTERM, and waits for them. One that had our handler
    would miss a signal that comes before Python runs there, and be waited for for ever. So the
    signal is held back in the thread that forks, until the child has no handler any more.
    """
    if not hasattr(os, "register_at_fork"):
        return
    # Other threads may fork at the same time.
    this_thread = threading.local()

    def hold_back() -> None:
        this_thread.mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})

    def let_through() -> None:
        signal.pthread_sigmask(signal.SIG_SETMASK, this_thread.mask)

    def let_through_in_child() -> None:
        if signal.getsignal(signal.SIGTERM) is handler:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
        let_through()

    os.register_at_fork(
        before=hold_back, after_in_parent=let_through, after_in_child=let_through_in_child
    )
