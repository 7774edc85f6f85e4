"""Locks by which everyone sees that a store is in use, also where SQLite's own were lost."""

import contextlib
import os
import struct
import sys

if sys.platform == "linux":
    import fcntl

# What SQLite locks for as long as a connection is open (sqlite.org/src/file/src/os_unix.c): in the
# file SHARED_FIRST and SHARED_SIZE, in the -shm UNIX_SHM_DMS.
_IN_FILE = (0x40000002, 510)
_IN_SHARED_MEMORY = (128, 1)


class Hold:
    """Keeps other processes from taking themselves for the only one that has a store open.

    SQLite's locks are of the process: closing any descriptor of the file lets go of them, as a copy
    of the file does that is taken in the training code (sqlite.org/howtocorrupt.html, 2.2). The
    next process that closes the store would then delete the write-ahead log. Locks of an open
    file description on the same bytes are let go of by us alone, and SQLite respects them.
    """

    def __init__(self) -> None:
        self._files: list[int] = []
        # Whether all locks are there; elsewhere than on Linux, SQLite's own must do.
        self.taken = False

    def take(self, file: str, shared_memory: str) -> None:
        """Lock, beside a connection that has the store open."""
        if sys.platform == "linux":
            with contextlib.suppress(OSError):
                self._lock(file, *_IN_FILE)
                self._lock(shared_memory, *_IN_SHARED_MEMORY)
                self.taken = True

    def let_go(self) -> None:
        """Unlock, so that the connection can find out whether it is the last; then close it."""
        self.taken = False
        if sys.platform == "linux":
            for descriptor in self._files:
                with contextlib.suppress(OSError):
                    fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, _flock(fcntl.F_UNLCK, 0, 0))

    def close(self) -> None:
        """Close the files, after the connection: this lets go of SQLite's own locks as well."""
        self.taken = False
        while self._files:
            with contextlib.suppress(OSError):  # Other code closed it.
                os.close(self._files.pop())

    def is_closed(self) -> bool:
        """Say whether other code of this process closed a file under it."""
        try:
            for descriptor in self._files:
                os.fstat(descriptor)
        except OSError:
            return True
        return False

    if sys.platform == "linux":

        def _lock(self, path: str, start: int, length: int) -> None:
            self._files.append(os.open(path, os.O_RDONLY))
            wanted = _flock(fcntl.F_RDLCK, start, length)
            fcntl.fcntl(self._files[-1], fcntl.F_OFD_SETLK, wanted)


def _flock(kind: int, start: int, length: int) -> bytes:
    """Return a ``struct flock`` of Linux."""
    return struct.pack("hhqqi4x", kind, os.SEEK_SET, start, length, 0)
