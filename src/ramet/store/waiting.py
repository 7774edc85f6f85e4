"""What is said of a store that others keep locked, while it is waited for."""

import logging
import time
from pathlib import Path

from ramet.clock import Clock
from ramet.store.file_refusals import freed_by
from ramet.store.holder import holder_of

logger = logging.getLogger("ramet")

# Seconds of waiting before it is said, and at most between two times; in between they double.
FIRST_SAID_S, LAST_SAID_S = 5.0, 600.0


class Waiting:
    """Says for all threads of a process whom they wait for: once, then now and then."""

    def __init__(self, store: Path, clock: Clock) -> None:
        self._store, self._clock = store, clock
        self._said_at: float | None = None

    def is_long(self, waited_s: float) -> bool:
        """Say whether a wait is so long that it is time to say so, or to say it again."""
        if waited_s < FIRST_SAID_S:
            return False
        between_s = min(waited_s / 2, LAST_SAID_S)
        return self._said_at is None or self._clock.uptime() - self._said_at >= between_s

    def say(self, waited_s: float) -> None:
        """Warn of the process that holds the lock."""
        self._said_at = self._clock.uptime()
        holder = holder_of(self._store)
        since = time.localtime(self._clock.now() - waited_s)
        fields = {
            "store": str(self._store),
            "waited_s": waited_s,
            "pid": holder.pid if holder else None,
            "stopped": holder.stopped if holder else None,
        }
        told = {
            "who": str(holder or "another process"),
            "since": time.strftime("%Y-%m-%d %H:%M:%S", since),
            "remedy": freed_by(holder),
        }
        logger.warning(
            "the store %(store)s cannot be written: %(who)s has kept it locked for "
            "%(waited_s).0f s or longer, since %(since)s; %(remedy)s. This process waits, and goes "
            "on after that",
            {**fields, **told},
            extra=fields,
        )

    def over(self, waited_s: float) -> None:
        """Say that the wait is over, if anything was said of it."""
        if self._said_at is not None and waited_s >= FIRST_SAID_S:
            fields = {"store": str(self._store), "waited_s": waited_s}
            logger.info(
                "the store %(store)s is free again, after %(waited_s).0f s", fields, extra=fields
            )
            self._said_at = None
