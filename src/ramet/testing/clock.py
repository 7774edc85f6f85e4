"""A clock that tests set."""


class FakeClock:
    """Tells the time it was told; sleeping moves it on at once."""

    def __init__(self, now: float = 1_000_000.0) -> None:
        self._now = now
        self._uptime = 1_000.0
        self._boots = 1

    def now(self) -> float:
        return self._now

    def uptime(self) -> float:
        return self._uptime

    def boot(self) -> str:
        return f"boot {self._boots}"

    def sleep(self, seconds: float) -> None:
        self._now += seconds
        self._uptime += seconds

    def jump(self, seconds: float) -> None:
        """Have the time of day set, forwards or backwards."""
        self._now += seconds

    def reboot(self) -> None:
        """Have the machine start anew."""
        self._boots += 1
        self._uptime = 0.0
