"""When a worker deletes what nobody needs: from its first turn on, now and then, and at the end."""

import logging
import math

from ramet.engine.checkpoints import Checkpoints
from ramet.engine.journal import Journal
from ramet.errors import StoreError

logger = logging.getLogger("ramet")

# A sweep comes whenever this part of the members, and so many turns, have left checkpoints behind.
PART, TURNS = 4, 8


class Sweeping:
    """Sweeps a run's checkpoints when it is time."""

    def __init__(self, journal: Journal, checkpoints: Checkpoints) -> None:
        self._journal, self._checkpoints = journal, checkpoints
        # Turns ended when this worker last swept; its first turn looks what others left.
        self._swept_at: int | None = None

    def sweep_if_due(self) -> None:
        """Drop the checkpoints that nobody needs, every so many turns and at the end."""
        turns, opening = self._journal.turns, self._journal.opening
        since = math.inf if self._swept_at is None else turns - self._swept_at
        if since < max(TURNS, len(opening.births) // PART) and not self._journal.done:
            return
        self._swept_at = turns
        try:
            self._checkpoints.sweep(self._journal.population, opening.keep)
        except (StoreError, OSError) as error:
            # The turn is over all the same, and the next sweep comes.
            logger.warning("could not delete what nobody needs: %s", error)
