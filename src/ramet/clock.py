"""Clocks, which are passed as arguments so that tests need not wait."""

import time
from pathlib import Path
from typing import Protocol

# Advances while the machine sleeps, and is never set; the next best elsewhere.
_UPTIME = getattr(time, "CLOCK_BOOTTIME", getattr(time, "CLOCK_MONOTONIC", None))
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class Clock(Protocol):
    """The time, and a way to wait."""

    def now(self) -> float:
        """Return the seconds since the epoch, which jump when the clock is set."""
        ...

    def uptime(self) -> float:
        """Return seconds that never jump, and are the same for all processes of this machine."""
        ...

    def boot(self) -> str:
        """Return a name of this start of the machine, in which ``uptime`` counts."""
        ...

    def sleep(self, seconds: float) -> None:
        """Wait for ``seconds``."""
        ...


class SystemClock:
    """The machine's own clock."""

    def now(self) -> float:
        return time.time()

    def uptime(self) -> float:
        return time.monotonic() if _UPTIME is None else time.clock_gettime(_UPTIME)

    def boot(self) -> str:
        try:
            return _BOOT_ID.read_text().strip()
        except OSError:
            return ""

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)
