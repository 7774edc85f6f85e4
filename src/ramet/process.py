"""Names this process, and says whether another process of this machine still exists.

The name of a process has four parts, which together are unique: the start of the machine, the
namespaces of process numbers and of time, the process's number, and when it started. Numbers alone
are used again, and each container counts from one. All parts are read from /proc; no process is
ever sent a signal. If /proc does not say enough, a process counts as running.
"""

import functools
import os
import time
from pathlib import Path
from typing import NamedTuple, Protocol

# How long a running process is assumed to run without another look.
LOOK_EVERY_S = 0.1
# Separates the names of a process and of the one that watches it.
_AND = "; "
# Where Linux lists processes.
_PROC = Path("/proc")
_BOOT_ID = _PROC / "sys/kernel/random/boot_id"


class Processes(Protocol):
    """What names processes; tests replace it, so that they need not end any."""

    def this(self) -> str | None:
        """Return the name of this process, or None if processes cannot be named here.

        Its first word is that of all processes that may be known to have ended.
        """
        ...

    def is_gone(self, name: str | None) -> bool:
        """Say whether the process ``name`` is known to have ended."""
        ...


class Process(NamedTuple):
    """The parts of a process's name."""

    # The start of the machine that it belongs to.
    boot: str
    # The namespaces of its number and of its time.
    namespaces: str
    pid: int
    # Ticks between the machine's start and its own.
    started: int

    @classmethod
    def read(cls, name: str) -> "Process":
        """Return a process by its name, or raise ValueError."""
        boot, namespaces, pid, started = name.split()
        return cls(boot, namespaces, int(pid), int(started))

    @property
    def name(self) -> str:
        return " ".join(map(str, self))


class Stat(NamedTuple):
    """What /proc/<pid>/stat says of a process."""

    state: str
    threads: int
    started: int

    @classmethod
    def read(cls, text: str) -> "Stat":
        """Return what a line says; a program's name in it may have blanks and parentheses."""
        fields = text.rpartition(")")[2].split()
        # Counted from the third: proc_pid_stat(5).
        return cls(fields[3 - 3], int(fields[20 - 3]), int(fields[22 - 3]))

    @property
    def ended(self) -> bool:
        """Whether only its entry is left; a first thread may end before the others do."""
        return self.state in {"Z", "X"} and self.threads <= 1


def is_gone(holder: Process, here: Process, stat: Stat | None) -> bool:
    """Say whether a process has ended, by the line that /proc has for its number, if any.

    >>> here = Process("boot", "pid:[1]", 7, 100)
    >>> is_gone(here._replace(pid=9), here, None)
    True
    >>> is_gone(here._replace(pid=9, namespaces="pid:[2]"), here, None)
    False
    """
    if (holder.boot, holder.namespaces) != (here.boot, here.namespaces):
        return False
    return stat is None or stat.ended or stat.started != holder.started


class SystemProcesses:
    """The machine's own processes."""

    def __init__(self) -> None:
        self._gone: set[str] = set()
        # When each was last seen.
        self._seen_at: dict[str, float] = {}

    def this(self) -> str | None:
        return _this(os.getpid(), _watcher)

    def is_gone(self, name: str | None) -> bool:
        if name is None or name == self.this():
            return False
        if name in self._gone:
            return True
        now = time.monotonic()
        if now - self._seen_at.get(name, -LOOK_EVERY_S) < LOOK_EVERY_S:
            return False
        if all(map(_is_gone, name.split(_AND))):
            self._gone.add(name)
            return True
        self._seen_at[name] = now
        return False


# The name of the process that watches this one.
_watcher: str | None = None


def set_watcher(name: str | None) -> None:
    """Record the process that watches this one and takes back what it leaves behind.

    While the watcher exists, leases of this process are not treated as abandoned: the watcher takes
    them back, and counts how many processes died in the same turn.
    """
    global _watcher  # noqa: PLW0603 - a process is watched as a whole
    _watcher = name


@functools.cache
def _this(pid: int, watcher: str | None) -> str | None:
    this = _process(pid)
    return None if this is None else _AND.join(filter(None, [this.name, watcher]))


@functools.cache
def _process(pid: int) -> Process | None:
    """Return this process, if /proc belongs to its namespace and shows all processes."""
    try:
        ours = (_PROC / "self").readlink() == Path(str(pid))
        seen = ours and not _hides((_PROC / "mounts").read_text())
        stat, boot = _stat(pid), _BOOT_ID.read_text().strip()
        namespaces = _namespaces()
    except (OSError, ValueError, IndexError):
        return None
    if not seen or stat is None or not boot:
        return None
    return Process(boot, namespaces, pid, stat.started)


def _namespaces() -> str:
    folder = _PROC / "self/ns"
    # Start times depend on the reader's time namespace; kernels before 5.6 have only one.
    kinds = ["pid", *(["time"] if (folder / "time").is_symlink() else [])]
    return ",".join(str((folder / kind).readlink()) for kind in kinds)


def _hides(mounts: str) -> bool:
    """Say whether /proc hides the processes of other users.

    >>> _hides("proc /proc proc rw,relatime,hidepid=invisible 0 0")
    True
    >>> _hides("proc /proc proc rw,relatime 0 0")
    False
    """
    lines = [line.split() for line in mounts.splitlines()]
    return any(fields[1] == str(_PROC) and "hidepid=" in fields[3] for fields in lines)


def _is_gone(name: str) -> bool:
    here = _process(os.getpid())
    try:
        holder = Process.read(name)
        return here is not None and is_gone(holder, here, _stat(holder.pid))
    except (OSError, ValueError, IndexError):
        return False


def _stat(pid: int) -> Stat | None:
    """Return the line of a process, by its number; None if no process has it."""
    try:
        return Stat.read((_PROC / str(pid) / "stat").read_text(errors="replace"))
    except (FileNotFoundError, ProcessLookupError):
        return None


def is_stopped(pid: int) -> bool:
    """Say whether a process is stopped by a signal or a debugger."""
    try:
        stat = _stat(pid)
    except (OSError, ValueError, IndexError):
        return False
    return stat is not None and stat.state in {"T", "t"}


def forget() -> None:
    """Forget the cached name of this process."""
    _this.cache_clear()
    _process.cache_clear()


if hasattr(os, "register_at_fork"):
    # A child may have its parent's number, in a namespace of its own.
    os.register_at_fork(after_in_child=forget)
