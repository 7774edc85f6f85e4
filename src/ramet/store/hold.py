"""Locks that show that a store is in use, even if SQLite's own were lost."""

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
    """Shows other processes that they are not the only one that has a store open.

    SQLite's locks belong to the process: closing any descriptor of the file releases them, for
    example after training code copied the file (sqlite.org/howtocorrupt.html, 2.2). The next
    process that closes the store would then delete the write-ahead log. Only we can release locks
    of an open file description on the same bytes, and SQLite respects them.
    """

    def __init__(self) -> None:
        self._files: list[int] = []
        # Whether all locks are held; other systems than Linux have only SQLite's own.
        self.taken = False

    def take(self, file: str, shared_memory: str) -> None:
        """Lock the files of a store that a connection has open."""
        if sys.platform == "linux":
            with contextlib.suppress(OSError):
                self._lock(file, *_IN_FILE)
                self._lock(shared_memory, *_IN_SHARED_MEMORY)
                self.taken = True

    def let_go(self) -> None:
        """Unlock before the connection closes, so that it can see whether it is the last."""
        self.taken = False
        if sys.platform == "linux":
            for descriptor in self._files:
                with contextlib.suppress(OSError):
                    fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, _flock(fcntl.F_UNLCK, 0, 0))

    def close(self) -> None:
        """Close the files after the connection, because this releases SQLite's locks as well."""
        self.taken = False
        while self._files:
            with contextlib.suppress(OSError):  # Other code closed it.
                os.close(self._files.pop())

    def is_closed(self) -> bool:
        """Say whether other code of this process closed one of the files."""
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
