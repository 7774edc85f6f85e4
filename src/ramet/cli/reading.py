"""Read a whole log, for commands that draw a run or trace its weights."""

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from ramet.history import Result
from ramet.history import load as load_result
from ramet.history.result import open_without_log


@contextmanager
def whole(store: Path, name: str | None = None) -> Iterator[Result]:
    """Provide a run, read in full.

    A long log is millions of objects without cycles. Python's garbage collector would examine all
    of them again and again, which takes longer than reading, so it is off meanwhile.
    """
    with _without_collector(lambda: load_result(store, name)) as result:
        yield result


@contextmanager
def without_log(store: Path, name: str | None = None) -> Iterator[Result]:
    """Provide a run, read in full, but without the events of its log."""
    with _without_collector(lambda: open_without_log(store, name)) as result:
        yield result


@contextmanager
def _without_collector(read: Callable[[], Result]) -> Iterator[Result]:
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        result = read()
        result.lineage()
        gc.freeze()
    finally:
        if was_enabled:
            gc.enable()
    try:
        yield result
    finally:
        gc.unfreeze()
