"""Warnings about a store that another process keeps locked."""

import logging
import time
from pathlib import Path

from ramet.clock import Clock
from ramet.reminders import Reminders
from ramet.store.file_refusals import remedy_for
from ramet.store.holder import LOOKS, Holder, holder_of

logger = logging.getLogger("ramet")

# How often to look for the process that holds the lock.
LOOK_EVERY_S = 1.0
# Seconds that one process holds the lock before the first warning. Many processes that write in
# turn are no reason to warn.
FIRST_SAID_S = 5.0


class Waiting:
    """Warns, for all threads of this process, which process they wait for."""

    def __init__(self, store: Path, clock: Clock) -> None:
        self._store, self._clock = store, clock
        self._holder: Holder | None = None
        # When that process was first seen to hold the lock, and the time of the last look.
        self._since: float | None = None
        self._looked_at = 0.0
        self._reminders = Reminders(FIRST_SAID_S)
        # Whether there was a warning in this wait, of whichever process.
        self._warned = False

    def is_due(self, waited_s: float) -> bool:
        """Say whether it is time to look for the process that holds the lock."""
        return waited_s >= LOOK_EVERY_S and self._clock.uptime() - self._looked_at >= LOOK_EVERY_S

    def look(self) -> None:
        """Find the process that holds the lock; warn if it has held it for long."""
        now, holder = self._clock.uptime(), self._find_holder()
        self._looked_at = now
        if self._since is None or _number(holder) != _number(self._holder):
            self._since, self._reminders = now, Reminders(FIRST_SAID_S)
        self._holder = holder
        held_s = now - self._since
        if self._reminders.is_due(held_s):
            self._say(held_s)

    def over(self) -> None:
        """Log that the wait is over, if there was a warning."""
        if self._warned:
            fields = {"store": str(self._store)}
            logger.info("the store %(store)s is free again", fields, extra=fields)
        self._holder = self._since = None
        self._reminders, self._warned = Reminders(FIRST_SAID_S), False

    def _find_holder(self) -> Holder | None:
        """Return the process that holds the lock, preferably the same as before."""
        looks = (holder_of(self._store) for _ in range(LOOKS))
        found = [holder for holder in looks if holder is not None]
        same = (holder for holder in found if holder.pid == _number(self._holder))
        return next(same, found[-1] if found else None)

    def _say(self, held_s: float) -> None:
        holder, self._warned = self._holder, True
        since = time.localtime(self._clock.now() - held_s)
        fields = {
            "store": str(self._store),
            "held_s": held_s,
            "pid": _number(holder),
            "stopped": holder is not None and holder.stopped,
        }
        words = {
            "who": str(holder or "another process"),
            "since": time.strftime("%Y-%m-%d %H:%M:%S", since),
            "remedy": remedy_for(holder),
        }
        logger.warning(
            "the store %(store)s cannot be written: %(who)s has kept it locked for %(held_s).0f s "
            "or longer, since %(since)s; %(remedy)s. This process waits, and goes on after that",
            {**fields, **words},
            extra=fields,
        )


def _number(holder: Holder | None) -> int | None:
    return holder.pid if holder else None
