"""The files that a store is made of, as they are on the disk."""

import os
from pathlib import Path
from typing import NamedTuple

# Device, inode, size and time of change; None if there is no such file to be seen.
Stat = tuple[int, int, int, int] | None


class Files(NamedTuple):
    """What is there, by which it is seen how a store can be read and whether others wrote."""

    store: Stat
    # The write-ahead log.
    log: Stat
    # Whether there is the memory that those who have it open share.
    shared: bool
    # Whether there is a rollback journal, which other programs may leave.
    journal: bool

    @classmethod
    def of(cls, store: str) -> "Files":
        """Look at the disk."""
        shared, journal = Path(f"{store}-shm").exists(), Path(f"{store}-journal").exists()
        # The log last: SQLite makes it before the shared memory, and removes it behind.
        return cls(_stat(store), _stat(f"{store}-wal"), shared, journal)

    @property
    def alone(self) -> bool:
        """Whether all there is to be read is in the store's file itself."""
        return not self.journal and (self.log is None or self.log[2] == 0)

    @property
    def lost(self) -> bool:
        """Whether the write-ahead log was removed: SQLite never leaves its index without it."""
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
