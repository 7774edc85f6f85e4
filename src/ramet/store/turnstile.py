"""One writer at a time, by a lock on a file beside the store's."""

import contextlib
import errno
import os
import sys
from pathlib import Path

if sys.platform != "win32":
    import fcntl

# Behind the store's file name, as SQLite's own companions are named.
SUFFIX = "-lock"


class Turnstile:
    """Lets one process through at a time, until it leaves or dies.

    SQLite lets one connection write at a time, but another can copy the write-ahead log back at
    the same moment. Before 3.51.3 a rare race between the two damages the file
    (sqlite.org/wal.html#walresetbug). The process that is through may do both.
    """

    def __init__(self, store: Path) -> None:
        # Links are resolved, so that all users of a store lock the same file.
        self._path = f"{os.path.realpath(store)}{SUFFIX}"
        self._file: int | None = None

    def enter(self) -> bool:
        """Go through unless another process is through; say whether it worked."""
        if sys.platform == "win32":  # It has other locks; SQLite's own must do.
            return True
        try:
            if self._file is None:
                # Read-only is enough for a lock, and the file may belong to another user.
                self._file = os.open(self._path, os.O_RDONLY | os.O_CREAT, 0o666)
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError as error:
            # The file cannot be made, or there are no locks: SQLite raises what is needed. It
            # does not if other code closed the file.
            return error.errno != errno.EBADF
        return True

    def is_closed(self) -> bool:
        """Say whether other code of this process closed the file."""
        if self._file is None:
            return False
        try:
            os.fstat(self._file)
        except OSError:
            return True
        return False

    def leave(self) -> None:
        """Let others through."""
        if self._file is not None and sys.platform != "win32":
            with contextlib.suppress(OSError):
                fcntl.flock(self._file, fcntl.LOCK_UN)

    def close(self) -> None:
        """Leave, and close the file, which must not be inherited by a fork."""
        if self._file is not None:
            with contextlib.suppress(OSError):  # Other code closed it.
                os.close(self._file)
            self._file = None
