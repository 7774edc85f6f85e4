"""How long a request to object storage is tried again, and what is said meanwhile."""

import logging
import random
import time

from ramet.blobs.address import Address
from ramet.blobs.cloud_refusals import Doing
from ramet.reminders import Reminders

logger = logging.getLogger("ramet")

# How long the client tries again by itself. Then the first warning comes.
CLIENT_S = 5.0
# The longest pause before the client is asked again.
PAUSE_S = 1.0
# Decides nothing but pauses. Not the module's own generator: training may draw from that.
_chance = random.SystemRandom()


def pause(most_s: float) -> float:
    """Sleep for a random time, so that workers that wait together do not try together.

    Args:
        most_s: Seconds that it takes at most.

    Returns:
        Seconds that it took.
    """
    pause_s = _chance.uniform(0, most_s)
    time.sleep(pause_s)
    return pause_s


class Patience:
    """The patience for one request.

    Args:
        address: Where it goes.
        doing: What is asked.
        patience_s: Seconds for which it is tried while it fails.
        client_s: Seconds for which the client tries again by itself.
    """

    def __init__(
        self, address: Address, doing: Doing, patience_s: float, *, client_s: float
    ) -> None:
        self._address, self._doing = address, doing
        self._patience_s, self._client_s = patience_s, client_s
        self._reminders = Reminders(min(CLIENT_S, patience_s) / 2)
        # Seconds of failing. A large state may have been sent for minutes before.
        self._failed_s = 0.0

    def wait(self, error: str, took_s: float) -> bool:
        """Wait for the next try, after an error that may pass; say whether there is one.

        Args:
            error: What failed.
            took_s: How long the last try took.
        """
        # The client has tried again for so long; before that, it went well.
        self._failed_s += min(took_s, self._client_s)
        if self._failed_s >= self._patience_s:
            return False
        if self._reminders.is_due(self._failed_s):
            self._warn(self._failed_s, error)
        self._failed_s += pause(min(PAUSE_S, self._patience_s))
        return True

    def _warn(self, waited_s: float, error: str) -> None:
        fields = {
            "blobs": str(self._address),
            "doing": self._doing.verb,
            "waited_s": waited_s,
            "patience_s": self._patience_s,
            "error": error,
        }
        logger.warning(
            "%(doing)s checkpoints in %(blobs)s has failed for %(waited_s).0f s: %(error)s. This "
            "process tries again, for up to %(patience_s).0f s in all",
            fields,
            extra=fields,
        )
