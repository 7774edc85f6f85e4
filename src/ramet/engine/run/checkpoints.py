"""The checkpoints of a run: written before any event names them, read back, pruned."""

import logging
import math

from ramet.blobs.base import Blobs
from ramet.digest import digest
from ramet.engine.run.journal import Journal
from ramet.errors import CheckpointDamaged, CheckpointMissing, StoreError
from ramet.events import Keep
from ramet.faults import reach
from ramet.history.keeping import find_unneeded
from ramet.population import Checkpoint, Population
from ramet.state.codec import decode, encode
from ramet.state.tree import Tree

logger = logging.getLogger("ramet")

# A worker prunes when at least 8 turns, and as many as a quarter of the members, have ended since.
PRUNE_AFTER_TURNS, PRUNE_AFTER_MEMBERS_OVER = 8, 4

# Errors for checkpoints that cannot be read.
UNREADABLE = (CheckpointDamaged, CheckpointMissing)


class Checkpoints:
    """The states of one run's members, as bytes by their key."""

    def __init__(self, blobs: Blobs, run: str) -> None:
        self._blobs, self._run = blobs, run

    def expect(self, *, kept: bool) -> None:
        """Refuse to go on where nothing is left of what was ``kept`` and the log names.

        The place is then not what it was: members that took what comes into it next would lose all
        that they have learned.
        """
        if callable(expect := getattr(self._blobs, "expect", None)):
            expect(self._run, kept=kept)

    def write(
        self, state: Tree, *, member: int, turn: int, step: int, others: bool = False
    ) -> Checkpoint:
        """Keep a state, durably before returning; with ``others``, that were kept before it."""
        chunks = encode(state)
        kept = Checkpoint(member=member, turn=turn, step=step, digest=digest(chunks))
        # As late as can be: what was encoded may have been large.
        self.expect(kept=others)
        self._blobs.put(self._run, kept.key, chunks)
        return kept

    def read(self, checkpoint: Checkpoint) -> Tree:
        """Return a state, not to be written on."""
        return decode(self._blobs.get(self._run, checkpoint.key))

    def readable(self, checkpoint: Checkpoint) -> bool:
        """Say whether a state is there, as it was written."""
        try:
            self.read(checkpoint)
        except UNREADABLE:
            return False
        return True

    def prune(self, population: Population, keep: Keep, *, dry_run: bool = False) -> dict[str, int]:
        """Delete what is not to be kept; return the size of each that went, or that would go."""
        sizes = self._blobs.sizes(self._run)
        doomed = {key: sizes[key] for key in find_unneeded(sizes, population, keep)}
        if doomed and not dry_run:
            first, *rest = doomed
            self._blobs.delete(self._run, [first])
            reach("pruning")
            self._blobs.delete(self._run, rest)
        if not dry_run:
            self._blobs.delete_leftovers(self._run)
        return doomed


class Pruning:
    """Prunes a run's checkpoints when it is time."""

    def __init__(self, journal: Journal, checkpoints: Checkpoints) -> None:
        self._journal, self._checkpoints = journal, checkpoints
        # Turns ended when this worker last pruned; its first turn looks what others left.
        self._pruned_at: int | None = None

    def prune_if_due(self) -> None:
        """Delete the checkpoints that are no longer needed, now and then and at the end."""
        turns, opening = self._journal.turns, self._journal.opening
        since = math.inf if self._pruned_at is None else turns - self._pruned_at
        if (
            since < max(PRUNE_AFTER_TURNS, len(opening.births) // PRUNE_AFTER_MEMBERS_OVER)
            and not self._journal.done
        ):
            return
        self._pruned_at = turns
        try:
            self._checkpoints.prune(self._journal.population, opening.keep)
        except (StoreError, OSError) as error:
            # The turn has ended all the same, and the worker prunes again later.
            logger.warning("could not delete what nobody needs: %s", error)
