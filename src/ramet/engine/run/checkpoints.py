"""The checkpoints of a run: write them before any event names them, read and prune them."""

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
    """The saved states of one run's members."""

    def __init__(self, blobs: Blobs, run: str) -> None:
        self._blobs, self._run = blobs, run

    def expect(self, *, kept: bool) -> None:
        """Refuse to go on if checkpoints were ``kept`` but none is left.

        Their folder was then moved or deleted, and members would lose all that they have learned.
        """
        if callable(expect := getattr(self._blobs, "expect", None)):
            expect(self._run, kept=kept)

    def write(
        self, state: Tree, *, member: int, turn: int, step: int, others: bool = False
    ) -> Checkpoint:
        """Write a state durably; ``others`` says whether the run has checkpoints already."""
        chunks = encode(state)
        kept = Checkpoint(member=member, turn=turn, step=step, digest=digest(chunks))
        # As late as possible: encoding may have taken long.
        self.expect(kept=others)
        self._blobs.put(self._run, kept.key, chunks)
        return kept

    def read(self, checkpoint: Checkpoint) -> Tree:
        """Return a state as read-only arrays."""
        return decode(self._blobs.get(self._run, checkpoint.key))

    def readable(self, checkpoint: Checkpoint) -> bool:
        """Return whether a checkpoint exists and is undamaged."""
        try:
            self.read(checkpoint)
        except UNREADABLE:
            return False
        return True

    def prune(self, population: Population, keep: Keep, *, dry_run: bool = False) -> dict[str, int]:
        """Delete checkpoints that are no longer needed; return their sizes in bytes by key."""
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
    """Prunes a run's checkpoints from time to time."""

    def __init__(self, journal: Journal, checkpoints: Checkpoints) -> None:
        self._journal, self._checkpoints = journal, checkpoints
        # The run's ended turns when this worker last pruned; None makes it prune after its first.
        self._pruned_at: int | None = None

    def prune_if_due(self) -> None:
        """Prune if enough turns have ended since the last time, or the run is done."""
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
            # The turn has ended in any case, and the worker prunes again later.
            logger.warning("could not delete checkpoints that are no longer needed: %s", error)
