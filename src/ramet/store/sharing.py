"""Who looks at a store and who writes to it, within one process.

SQLite has one shared memory for each file and process. Opened for a look, it can only be read, and
it stays so until all who have it closed it (sqlite.org/src/file/src/os_unix.c): a connection that
joins meanwhile cannot write.
"""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from weakref import WeakSet, WeakValueDictionary


class InUse(Exception):
    """Looks that keep the shared memory from being written have to end first."""


class Sharing:
    """Keeps writers of a file from opening it during a look, and such looks from beginning."""

    def __init__(self) -> None:
        self._writers: WeakSet[object] = WeakSet()
        # The threads at it.
        self._looks: list[int] = []

    def join(self, writer: object) -> None:
        """Expect writes for as long as this object lives."""
        with _lock:
            self._writers.add(writer)

    @property
    def looked_at(self) -> bool:
        """Whether who opens the file now could not write to it."""
        return bool(self._looks)

    @property
    def looked_at_here(self) -> bool:
        """Whether this thread is in such a look itself, so that waiting for its end is in vain."""
        return threading.get_ident() in self._looks

    @contextmanager
    def look(self) -> Iterator[bool]:
        """Yield whether the shared memory must be opened to be read only.

        Where this process has writers, it must not; they open it to write in any case.
        """
        with _lock:
            read_only = not self._writers
            if self._looks and not read_only:
                raise InUse
            if read_only:
                self._looks.append(threading.get_ident())
        try:
            yield read_only
        finally:
            if read_only:
                with _lock:
                    self._looks.remove(threading.get_ident())


# Held for moments only, and by no other thread when a process forks.
_lock = threading.Lock()
_shared: "WeakValueDictionary[str, Sharing]" = WeakValueDictionary()


def sharing(store: Path) -> Sharing:
    """Return what all who use a store in this process have in common."""
    name = os.path.realpath(store)
    with _lock:
        return _shared.setdefault(name, Sharing())


if hasattr(os, "register_at_fork"):
    # Before the hooks of forking.py, which imports this, so that it is locked after theirs.
    os.register_at_fork(
        before=_lock.acquire, after_in_parent=_lock.release, after_in_child=_lock.release
    )
