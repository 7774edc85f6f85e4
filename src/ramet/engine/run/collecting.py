"""Python's garbage collector, paused where it would find nothing or come at a bad time."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Self


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


class Collector:
    """Keeps the collector from taking up time between rounds, as a context of a whole run."""

    def __init__(self) -> None:
        self._paused = self._frozen = False
        # Whether ``freeze`` was called. To count what is frozen takes milliseconds.
        self._freeze_called = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.resume()
        if self._frozen:
            gc.unfreeze()

    def pause(self) -> None:
        """Let it collect nothing from now on."""
        if gc.isenabled():
            gc.disable()
            self._paused = True

    def freeze(self) -> None:
        """Have it leave alone, until the run ends, the objects that exist at the first call.

        To look at them, such as at all that compiling has made, takes a tenth of a second now and
        then, in which no thread can run Python.
        """
        if self._freeze_called:
            return
        self._freeze_called = True
        # What the user has stopped or frozen is left to the user.
        if (self._paused or gc.isenabled()) and not gc.get_freeze_count():
            # First what is garbage already: nothing frees it later.
            gc.collect()
            gc.freeze()
            self._frozen = True

    def resume(self) -> None:
        """Let it collect again, if it was paused here."""
        if self._paused:
            self._paused = False
            gc.enable()
