"""A clock that tests set."""


class FakeClock:
    """Tells the time it was told; sleeping moves it on at once."""

    def __init__(self, now: float = 1_000_000.0) -> None:
        self._now = now

    def now(self) -> float:
        return self._now

    def sleep(self, seconds: float) -> None:
        self._now += seconds
