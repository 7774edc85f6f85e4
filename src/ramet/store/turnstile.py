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

    SQLite sees to it that one connection writes at a time, but not that none does while another
    copies the write-ahead log back, and before 3.51.3 a rare race between the two breaks the file
    (sqlite.org/wal.html#walresetbug). Who is through may do both.
    """

    def __init__(self, store: Path) -> None:
        # Where a link leads to, so that all who use a store are at the same file.
        self._path = f"{os.path.realpath(store)}{SUFFIX}"
        self._file: int | None = None

    def enter(self) -> bool:
        """Go through, unless somebody else is; say whether it worked."""
        if sys.platform == "win32":  # Which has other locks; SQLite's own must do.
            return True
        try:
            if self._file is None:
                # To be locked it need not be writable, and it may be somebody else's.
                self._file = os.open(self._path, os.O_RDONLY | os.O_CREAT, 0o666)
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError as error:
            # No such file may be made, or there are no locks: SQLite says what is to be said. It
            # does not of a file that was closed under it.
            return error.errno != errno.EBADF
        return True

    def is_closed(self) -> bool:
        """Say whether other code of this process closed the file under it."""
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
        """Leave, and let go of the file, which must not go through a fork."""
        if self._file is not None:
            with contextlib.suppress(OSError):  # Other code closed it.
                os.close(self._file)
            self._file = None
