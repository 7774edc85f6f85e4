"""When to warn of a wait that goes on: rarely, and more rarely the longer it is."""

from ramet.clock import Clock

# The longest time between two warnings.
LAST_S = 600.0


class Reminders:
    """The times for warnings of one wait: each when the wait has become twice as long.

    Args:
        first_s: Seconds before the first warning.

    >>> reminders = Reminders(10.0)
    >>> [waited_s for waited_s in range(100) if reminders.is_due(waited_s)]
    [10, 20, 40, 80]
    """

    def __init__(self, first_s: float) -> None:
        self._first_s = first_s
        # How long the wait was at the last warning.
        self._said_s: float | None = None

    def is_due(self, waited_s: float) -> bool:
        """Return whether to warn now, and take it that the caller does.

        Args:
            waited_s: How long the wait is so far.
        """
        since_s = waited_s - (self._said_s or 0.0)
        if waited_s < self._first_s or since_s < min(waited_s / 2, LAST_S):
            return False
        self._said_s = waited_s
        return True


class Wait:
    """A wait for something that comes, goes, and may have to be waited for again.

    Args:
        clock: What tells the time.
        first_s: Seconds before the first warning.

    >>> from ramet.testing import FakeClock
    >>> clock = FakeClock()
    >>> wait, said = Wait(clock, 10.0), []
    >>> for _ in range(100):
    ...     if waited_s := wait.go_on():
    ...         said.append(waited_s)
    ...     clock.sleep(1)
    >>> said
    [10.0, 20.0, 40.0, 80.0]
    """

    # When it began, if it has.
    _since: float | None
    _reminders: Reminders

    def __init__(self, clock: Clock, first_s: float) -> None:
        self._clock, self._first_s = clock, first_s
        self.end()

    def go_on(self) -> float | None:
        """Begin the wait, or go on with it; return how long it is if a warning is due."""
        now = self._clock.uptime()
        if self._since is None:
            self._since = now
        waited_s = now - self._since
        return waited_s if self._reminders.is_due(waited_s) else None

    def end(self) -> None:
        """End the wait: what was waited for has come."""
        self._since = None
        self._reminders = Reminders(self._first_s)
