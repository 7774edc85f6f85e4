"""When to warn of a wait that may be long."""

from ramet.clock import Clock

# Seconds before the first warning, and at most between two; in between they double.
FIRST_SAID_S, LAST_SAID_S = 10.0, 600.0


class Wait:
    """A wait for something that comes, goes, and may have to be waited for again.

    >>> from ramet.testing import FakeClock
    >>> clock = FakeClock()
    >>> wait, said = Wait(clock), []
    >>> for _ in range(100):
    ...     if waited_s := wait.go_on():
    ...         said.append(waited_s)
    ...     clock.sleep(1)
    >>> said
    [10.0, 20.0, 40.0, 80.0]
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._since: float | None = None
        self._said_s = 0.0

    def go_on(self) -> float | None:
        """Begin the wait, or go on with it; return how long it is if a warning is due."""
        now = self._clock.uptime()
        if self._since is None:
            self._since, self._said_s = now, 0.0
        waited_s = now - self._since
        if waited_s < FIRST_SAID_S or waited_s - self._said_s < min(waited_s / 2, LAST_SAID_S):
            return None
        self._said_s = waited_s
        return waited_s

    def end(self) -> None:
        """End the wait: what was waited for has come."""
        self._since = None
