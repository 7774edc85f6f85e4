"""Finds the process that holds a store's lock, on Linux."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from ramet.process import is_stopped
from ramet.store import turnstile

_PROC = Path("/proc")
# Bytes of the index of SQLite's write-ahead log: the locks to write, to copy back, to recover.
WRITE, RECOVER = 120, 122
# Linux lists locks page by page, and one may be missed if others change meanwhile.
LOOKS = 3
# Characters of a command line that are shown.
SHOWN = 60


class Lock(NamedTuple):
    """A line of /proc/locks."""

    pid: int
    device: int
    inode: int
    first: int

    @classmethod
    def read(cls, line: str) -> "Lock | None":
        """Return an exclusive lock; None for one that is shared or waited for.

        >>> Lock.read("7: FLOCK  ADVISORY  WRITE 998 fe:00:2181 0 EOF")
        Lock(pid=998, device=65024, inode=2181, first=0)
        >>> Lock.read("7: -> FLOCK  ADVISORY  WRITE 999 fe:00:2181 0 EOF")
        """
        _, _, _, access, pid, file, first, *_ = line.split()
        if access != "WRITE":
            return None
        major, minor, inode = file.split(":")
        device = os.makedev(int(major, 16), int(minor, 16))
        return cls(int(pid), device, int(inode), int(first))


class Holder(NamedTuple):
    """A process that holds a store's lock."""

    pid: int
    # Its command line, cut short; empty where it cannot be read.
    program: str
    stopped: bool

    def __str__(self) -> str:
        return f"process {self.pid} ({self.program})" if self.program else f"process {self.pid}"


def holder_of(store: Path) -> Holder | None:
    """Return the process that keeps others from writing to a store, if it is visible."""
    for _ in range(LOOKS):
        if (found := _find(store)) is not None:
            return found
    return None


def _find(store: Path) -> Holder | None:
    held, name = list(_locks()), os.path.realpath(store)
    # In this order, because waiting processes hold the turnstile for a moment at each attempt.
    for suffix, bytes_ in (
        ("-shm", range(WRITE, RECOVER + 1)),
        ("", None),
        (turnstile.SUFFIX, None),
    ):
        try:
            found = os.stat(f"{name}{suffix}")  # noqa: PTH116 - as the store does
        except OSError:
            continue
        for lock in held:
            at_it = bytes_ is None or lock.first in bytes_
            if (lock.device, lock.inode) == (found.st_dev, found.st_ino) and at_it and lock.pid > 0:
                return Holder(lock.pid, _program(lock.pid), is_stopped(lock.pid))
    return None


def _locks() -> Iterator[Lock]:
    try:
        lines = (_PROC / "locks").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        try:
            lock = Lock.read(line)
        except ValueError:  # A line of an unknown kind.
            continue
        if lock is not None:
            yield lock


def _program(pid: int) -> str:
    try:
        words = (_PROC / str(pid) / "cmdline").read_text(errors="replace").rstrip("\0").split("\0")
    except OSError:
        return ""
    # Without folders, to leave room for what distinguishes programs.
    names = [Path(word).name if word.startswith("/") else word for word in words]
    line = " ".join(names)
    line = "".join(one if one.isprintable() else "?" for one in line)
    return line if len(line) <= SHOWN else f"{line[: SHOWN - 3]}..."
