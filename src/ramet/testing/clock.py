"""A clock that tests control."""


class FakeClock:
    """A clock that only ``sleep`` and ``jump`` move; sleeping takes no time.

    Args:
        now: The time of day that it begins with, in seconds since the epoch.
    """

    def __init__(self, now: float = 1_000_000.0) -> None:
        self._now = now
        self._uptime = 1_000.0
        self._boots = 1

    def now(self) -> float:
        """Return the seconds since the epoch."""
        return self._now

    def uptime(self) -> float:
        """Return the seconds since the machine started."""
        return self._uptime

    def boot(self) -> str:
        """Return the name of this start of the machine."""
        return f"boot {self._boots}"

    def sleep(self, seconds: float) -> None:
        """Move on by ``seconds`` at once."""
        self._now += seconds
        self._uptime += seconds

    def jump(self, seconds: float) -> None:
        """Change the time of day by ``seconds``, forwards or backwards, but not ``uptime``."""
        self._now += seconds

    def reboot(self) -> None:
        """Restart the machine."""
        self._boots += 1
        self._uptime = 0.0
