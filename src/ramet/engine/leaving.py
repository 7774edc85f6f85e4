"""How a worker process ends inside the user's code."""

import atexit
import contextlib
import gc
import io
import os
import signal
import threading
from typing import Never


def leave(code: int) -> Never:
    """End this process without unwinding the code that it is in."""
    with contextlib.suppress(ValueError):  # Not in the main thread.
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    # What Python does when it ends, as multiprocessing does it in a forked process.
    for step in (threading._shutdown, atexit._run_exitfuncs, _flush):  # type: ignore[attr-defined]  # noqa: SLF001
        with contextlib.suppress(Exception):
            step()
    os._exit(code)


def _flush() -> None:
    """Write out what open files hold back, which Python does when it deletes them."""
    for thing in gc.get_objects():
        if issubclass(type(thing), io.TextIOWrapper | io.BufferedWriter | io.BufferedRandom):
            with contextlib.suppress(OSError, ValueError):  # It is closed.
                thing.flush()
