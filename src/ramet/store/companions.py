"""The files of a store, as they are on the disk."""

import os
from pathlib import Path
from typing import NamedTuple

# Device, inode, size and time of change; None if the file does not exist or cannot be seen.
Stat = tuple[int, int, int, int] | None


class Files(NamedTuple):
    """The state of a store's files: how it can be read, and whether others wrote to it."""

    store: Stat
    # The write-ahead log.
    log: Stat
    # Whether the shared memory of open connections exists.
    shared: bool
    # Whether there is a rollback journal, which other programs may leave behind.
    journal: bool

    @classmethod
    def of(cls, store: str) -> "Files":
        """Look at the disk."""
        shared, journal = Path(f"{store}-shm").exists(), Path(f"{store}-journal").exists()
        # The log last: SQLite creates it before the shared memory, and removes it afterwards.
        return cls(_stat(store), _stat(f"{store}-wal"), shared, journal)

    @property
    def alone(self) -> bool:
        """Whether all data is in the store's file itself."""
        return not self.journal and (self.log is None or self.log[2] == 0)

    @property
    def lost(self) -> bool:
        """Whether the write-ahead log was removed: SQLite never leaves shared memory without it."""
        return self.shared and self.log is None

    @property
    def kinds(self) -> tuple[bool, ...]:
        """What decides how the store can be read."""
        return self.alone, self.shared, self.log is None, self.journal


def _stat(path: str) -> Stat:
    try:
        found = os.stat(path)  # noqa: PTH116 - a text is what it is given
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns
