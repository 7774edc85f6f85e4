"""A run's checkpoints: states kept before any event names them, read back, swept."""

from ramet.blobs.base import Blobs
from ramet.digest import digest
from ramet.errors import CheckpointDamaged, CheckpointMissing
from ramet.events import Keep
from ramet.faults import reach
from ramet.history.keeping import unneeded
from ramet.population import Checkpoint, Population
from ramet.state.codec import decode, encode
from ramet.state.tree import Tree

# What a reader is told that cannot have what it asked for.
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

    def sweep(self, population: Population, keep: Keep, *, dry_run: bool = False) -> dict[str, int]:
        """Delete what is not to be kept; return the size of each that went, or that would go."""
        sizes = self._blobs.sizes(self._run)
        doomed = {key: sizes[key] for key in unneeded(sizes, population, keep)}
        if doomed and not dry_run:
            first, *rest = doomed
            self._blobs.delete(self._run, [first])
            reach("sweeping")
            self._blobs.delete(self._run, rest)
        if not dry_run:
            self._blobs.delete_leftovers(self._run)
        return doomed
