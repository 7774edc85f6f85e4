"""Read a whole log, for commands that draw a run or trace its weights."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager

from ramet.history import Result
from ramet.history import load as load_result
from ramet.history.loading import open_without_log


@contextmanager
def whole(store: str, name: str | None = None) -> Iterator[Result]:
    """Provide a run, read in full."""
    with _without_collector():
        yield load_result(store, name)


@contextmanager
def without_log(store: str, name: str | None = None) -> Iterator[Result]:
    """Provide a run, read in full, but without the events of its log."""
    with _without_collector():
        yield open_without_log(store, name)


@contextmanager
def _without_collector() -> Iterator[None]:
    """Turn off Python's garbage collector.

    A long log is millions of objects without cycles. The collector would examine all of them again
    and again, which takes longer than reading them, and adds a fifth to the time in which they are
    drawn.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
