"""Python's garbage collector, paused where it could find nothing."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def without_collecting() -> Iterator[None]:
    """Pause the collector in a block that makes many objects and no cycles of them.

    The collector runs once in some hundreds of new objects and, now and then, looks at all that
    there are. It would take a fifth of the time that a round of 1,024 members takes. Reference
    counts free everything as always.

    >>> import gc
    >>> with without_collecting():
    ...     gc.isenabled()
    False
    >>> gc.isenabled()
    True
    """
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
