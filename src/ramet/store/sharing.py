"""Coordinates the readers and writers of a store within one process.

SQLite has one shared memory for each file and process. If a reader opened it, it is read-only until
all connections that use it are closed (sqlite.org/src/file/src/os_unix.c), so a connection that is
opened meanwhile cannot write.
"""

import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar
from weakref import WeakSet, WeakValueDictionary

T = TypeVar("T")


class InUse(Exception):
    """Reads that keep the shared memory read-only have to end first."""


class Sharing:
    """Keeps writers from opening a file during a look, and looks from beginning at wrong times."""

    def __init__(self) -> None:
        self._writers: WeakSet[object] = WeakSet()
        # The threads that are looking.
        self._looks: list[int] = []

    def join(self, writer: object) -> None:
        """Expect writes for as long as this object lives."""
        with _lock:
            self._writers.add(writer)

    @property
    def looked_at(self) -> bool:
        """Whether a connection that is opened now could not write."""
        return bool(self._looks)

    @property
    def looked_at_here(self) -> bool:
        """Whether this thread is looking itself, so that waiting would never end."""
        return threading.get_ident() in self._looks

    def look(self, read: Callable[[bool], T]) -> T:
        """Return what is read while no writer opens the file.

        Args:
            read: What reads. It gets whether the shared memory must be opened read-only. If this
                process has writers, it must not: they need to write to it.
        """
        here, looking = threading.get_ident(), False
        try:
            with _lock:
                read_only = not self._writers
                if self._looks and not read_only:
                    raise InUse
                if read_only:
                    # Before it is true, because an interrupt may come as soon as it is.
                    looking = True
                    self._looks.append(here)
            found = read(read_only)
        finally:
            if looking:
                with _lock:
                    self._looks.remove(here)
        return found


# Held for moments only, and by no other thread when a process forks.
_lock = threading.Lock()
_shared: "WeakValueDictionary[str, Sharing]" = WeakValueDictionary()


def sharing(store: Path) -> Sharing:
    """Return the object that all users of a store in this process share."""
    name = os.path.realpath(store)
    with _lock:
        return _shared.setdefault(name, Sharing())


if hasattr(os, "register_at_fork"):
    # Before the hooks of forking.py, which imports this, so that it is locked after theirs.
    os.register_at_fork(
        before=_lock.acquire, after_in_parent=_lock.release, after_in_child=_lock.release
    )
