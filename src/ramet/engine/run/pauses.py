"""How long a worker that has nothing to do waits before it looks again."""

from ramet.clock import Clock
from ramet.engine.run.journal import Journal
from ramet.store.base import Awaitable, Store

# Time until a worker that found nothing to do looks again, at first and at most.
FIRST_POLL_S, POLL_S = 0.0002, 0.02
# The same if the store says when there is something to do, for what it cannot say: that a lease
# has run out.
NOTIFIED_POLL_S = 1.0


class Pauses:
    """The pauses between a worker's looks for something to do, each longer than the last."""

    def __init__(
        self, store: Store, journal: Journal, clock: Clock, *, patience_s: float | None
    ) -> None:
        self._clock, self._run = clock, journal.opening.name
        self._notified: Awaitable | None = None
        self._most_s = POLL_S
        if journal.synchronous and isinstance(store, Awaitable):
            self._notified = store
            self._most_s = min(NOTIFIED_POLL_S, patience_s or NOTIFIED_POLL_S)
        self._next_s = FIRST_POLL_S

    def wait(self) -> None:
        """Wait before another look, or until the store says that it is time."""
        if self._notified is None:
            self._clock.sleep(self._next_s)
        else:
            self._notified.wait(self._run, most_s=self._next_s)
        self._next_s = min(2 * self._next_s, self._most_s)
