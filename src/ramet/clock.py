"""Time as an argument, so that tests need not wait for it."""

import time
from pathlib import Path
from typing import Protocol

# Goes on through sleep, and is never set; where there is none, the next best.
_UPTIME = getattr(time, "CLOCK_BOOTTIME", getattr(time, "CLOCK_MONOTONIC", None))
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class Clock(Protocol):
    """What tells the time and waits."""

    def now(self) -> float:
        """Return the seconds since the epoch, which jump whenever the clock is set."""
        ...

    def uptime(self) -> float:
        """Return seconds that never jump, the same ones for all processes of this machine."""
        ...

    def boot(self) -> str:
        """Return what tells this start of the machine, and with it ``uptime``, from others."""
        ...

    def sleep(self, seconds: float) -> None:
        """Wait."""
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
