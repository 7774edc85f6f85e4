"""How long a request to object storage is tried again, and what is said meanwhile."""

import logging
import random
import time

from ramet.blobs.address import Address
from ramet.blobs.cloud_refusals import Doing

logger = logging.getLogger("ramet")

# How long the client tries again by itself. Then the first warning comes, and later ones when the
# wait has become twice as long.
CLIENT_S = 5.0
# The longest pause before the client is asked again.
PAUSE_S = 1.0


class Patience:
    """The patience for one request.

    Args:
        address: Where it goes.
        doing: What is asked.
        patience_s: Seconds for which it is tried.
    """

    def __init__(self, address: Address, doing: Doing, patience_s: float) -> None:
        self._address, self._doing, self._patience_s = address, doing, patience_s
        self._began = time.monotonic()
        self._warn_at_s = min(CLIENT_S, patience_s) / 2

    def wait(self, error: str) -> bool:
        """Wait for the next try, after an error that may pass; say whether there is one."""
        waited_s = time.monotonic() - self._began
        if waited_s >= self._patience_s:
            return False
        if waited_s >= self._warn_at_s:
            self._warn_at_s = 2 * waited_s
            self._warn(waited_s, error)
        # Random, so that workers that wait together do not try together.
        time.sleep(random.uniform(0, min(PAUSE_S, self._patience_s)))  # noqa: S311 - no secret
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
