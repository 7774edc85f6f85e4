"""How a worker process ends while it is inside the user's code, whatever that code left running."""

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

# Time for the threads that Python would wait for, and time for all exit handlers together.
THREADS_S, HANDLERS_S = 10.0, 60.0
# Time after that until the process ends by force: code may hold Python's lock, or catch all
# exceptions.
MARGIN_S = 5.0
# Time between two interruptions of a step that goes on after the first.
AGAIN_S = 1.0
# The file descriptor of stderr.
_ERR = 2


class _Enough(BaseException):
    """The time of a step is over."""


def leave(code: int) -> Never:
    """End this process without unwinding the call stack."""
    with contextlib.suppress(ValueError):  # Not in the main thread.
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    # The steps of Python's own exit, as multiprocessing takes them in a forked process.
    if not _do_within(_end_threads, within_s=THREADS_S):
        _say_left()
    _do_within(_run_handlers, within_s=HANDLERS_S, cut=_cut_handlers)
    _do_within(_flush, within_s=HANDLERS_S)
    os._exit(code)


def _do_within(
    step: Callable[[], object],
    *,
    within_s: float,
    cut: Callable[[FrameType | None], None] = lambda _: None,
) -> bool:
    """Do one step and return whether it ended in time; ``cut`` gets the frame that it is cut at."""
    if threading.current_thread() is not threading.main_thread():
        # No signal can interrupt this thread, and the main thread may be waiting for it.
        return step is _end_threads or _try(step)
    first = [cut]

    def end_wait(_signal: int, frame: FrameType | None) -> Never:
        while first:
            first.pop()(frame)
        raise _Enough

    signal.signal(signal.SIGALRM, end_wait)
    # The signal repeats, because code may catch every exception.
    signal.setitimer(signal.ITIMER_REAL, within_s, AGAIN_S)
    _end_by_force(within_s + MARGIN_S)
    try:
        return _try(step)
    except _Enough:
        return False
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)


def _try(step: Callable[[], object]) -> bool:
    with contextlib.suppress(Exception):
        step()
    return True


def _end_by_force(after_s: float) -> None:
    """End the process after this time even if it never runs Python code again."""
    with contextlib.suppress(OSError, RuntimeError):  # stderr is closed.
        faulthandler.dump_traceback_later(after_s, exit=True, file=_ERR)


def _run_handlers() -> None:
    """Run all exit handlers; do not print the exception that ends one when its time is over."""
    shown = sys.unraisablehook

    def show(unraisable: "sys.UnraisableHookArgs") -> None:
        if not issubclass(unraisable.exc_type, _Enough):
            shown(unraisable)

    sys.unraisablehook = show
    atexit._run_exitfuncs()  # noqa: SLF001 - as multiprocessing does


def _cut_handlers(frame: FrameType | None) -> None:
    """Warn which exit handler is cut short, and drop the remaining ones."""
    atexit._clear()  # noqa: SLF001 - there is no other way
    waits = f" It waits for {children}." if (children := _children()) else ""
    fields = {"handler": _handler(frame), "seconds": HANDLERS_S, "waits": waits}
    logger.warning(
        "exit handlers (atexit) must end within %(seconds)g s together, but %(handler)s still ran; "
        "the worker process ends without it and without the remaining ones.%(waits)s End what "
        "training starts before the training function returns; start processes with daemon=True",
        fields,
        extra=fields,
    )


def _handler(frame: FrameType | None) -> str:
    """Return the exit handler that a frame is in, and the line that it has reached."""
    handler, own = None, None
    while frame is not None and frame.f_code is not _run_handlers.__code__:
        if own is None and is_users(frame.f_code.co_filename):
            own = frame
        handler, frame = frame, frame.f_back
    if handler is None or frame is None:
        return "one of them"
    at = own or handler
    return f"{handler.f_code.co_qualname!r} (at {at.f_code.co_filename}:{at.f_lineno})"


def _children() -> str:
    """Return the names of the processes that multiprocessing waits for, if any."""
    multiprocessing = sys.modules.get("multiprocessing")
    children = multiprocessing.active_children() if multiprocessing else []
    return ", ".join(f"{each.name!r} (process {each.pid})" for each in children)


def _end_threads() -> None:
    """End the threads of thread pools, then wait for all threads that are not daemons."""
    for end in reversed(getattr(threading, "_threading_atexits", ())):
        _try(end)
    while threads := _find_threads():
        threads[0].join()


def _find_threads() -> list[threading.Thread]:
    here = {threading.current_thread(), threading.main_thread()}
    return [one for one in threading.enumerate() if not one.daemon and one not in here]


def _say_left() -> None:
    threads = [f"{one.name!r}{_at(one)}" for one in _find_threads()]
    fields = {"threads": ", ".join(threads), "seconds": THREADS_S}
    logger.warning(
        "training must end the threads that it starts, but %(threads)s still ran %(seconds)g s "
        "after training; the worker process ends without waiting for them. Start such threads "
        "with daemon=True, or end them before the training function returns",
        fields,
        extra=fields,
    )


def _at(thread: threading.Thread) -> str:
    """Return the line of the user's code that a thread has reached."""
    frame = sys._current_frames().get(thread.ident or 0)  # noqa: SLF001 - as faulthandler does
    while frame is not None:
        if is_users(frame.f_code.co_filename):
            return f" (at {frame.f_code.co_filename}:{frame.f_lineno})"
        frame = frame.f_back
    return ""


def _flush() -> None:
    """Flush the buffers of open files, Python's and C's, as an ordinary exit does."""
    for thing in gc.get_objects():
        if issubclass(type(thing), io.TextIOWrapper | io.BufferedWriter | io.BufferedRandom):
            with contextlib.suppress(OSError, ValueError):  # The file is closed.
                thing.flush()
    ctypes.CDLL(None).fflush(None)


Handler: TypeAlias = Callable[[int, FrameType | None], None]


def keep_to_this_process(handler: Handler) -> None:
    """Remove a handler of SIGTERM from forked processes.

    A process pool ends its processes with SIGTERM and waits for them. A process with our handler
    would miss a signal that arrives before Python runs there, and the pool would wait for ever. So
    the thread that forks blocks the signal until the child has dropped the handler.
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
