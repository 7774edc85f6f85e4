"""Reading a whole log: what commands that draw a run or trace its weights begin with."""

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

    A long log is millions of objects in no cycle. Python's collector would look at all of them
    again and again, which takes longer than to read them; here it leaves them alone.
    """
    with _uncollected(lambda: load_result(store, name)) as result:
        yield result


@contextmanager
def without_log(store: Path, name: str | None = None) -> Iterator[Result]:
    """Provide a run, read in full, but without the events of its log."""
    with _uncollected(lambda: open_without_log(store, name)) as result:
        yield result


@contextmanager
def _uncollected(read: Callable[[], Result]) -> Iterator[Result]:
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
