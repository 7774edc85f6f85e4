"""A run's checkpoints: states kept before any event names them, read back, swept, made good."""

import math
from collections.abc import Iterable, Iterator

from ramet.blobs.base import Blobs
from ramet.digest import digest
from ramet.errors import CheckpointDamaged, CheckpointMissing, StoreError
from ramet.events import AnyEvent, CheckpointLost, Copied, Keep, Weights
from ramet.faults import reach
from ramet.history.keeping import unneeded
from ramet.history.lineage import ancestors, points_behind
from ramet.population import Checkpoint, Member, Population
from ramet.state.codec import decode, encode
from ramet.state.tree import Tree
from ramet.store.base import standing

# What a reader is told that cannot have what it asked for.
UNREADABLE = (CheckpointDamaged, CheckpointMissing)


class Checkpoints:
    """The states of one run's members, as bytes by their key."""

    def __init__(self, blobs: Blobs, run: str) -> None:
        self._blobs, self._run = blobs, run

    def write(self, state: Tree, *, member: int, turn: int, step: int) -> Checkpoint:
        """Keep a state, durably before returning."""
        chunks = encode(state)
        kept = Checkpoint(member=member, turn=turn, step=step, digest=digest(chunks))
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

    def replacement(
        self, member: Member, error: StoreError, population: Population, log: Iterable[AnyEvent]
    ) -> list[AnyEvent]:
        """Return how a member goes on whose checkpoint cannot be read.

        It falls back to the latest one on its own lineage that can, or else takes the weights of
        the best member that has some.
        """
        if member.checkpoint is None:
            raise error
        events = list(log)
        lost = CheckpointLost(member=member.id, key=member.checkpoint.key, error=str(error))
        for older in ancestors(member.checkpoint, events):
            if self.readable(older):
                return [lost, _taken(member, member.id, older, events, kind="fallback")]
        for source in _others(member, population):
            if self.readable(source):
                return [lost, _taken(member, source.member, source, events, kind="rebirth")]
        raise error


def _others(member: Member, population: Population) -> Iterator[Checkpoint]:
    """Yield what a member may take in place of its own weights, the best first."""
    if population.best is not None:
        yield population.best.checkpoint
    scored = [other for other in population if other.checkpoint and other.id != member.id]
    for other in sorted(scored, key=_worth, reverse=True):
        if other.checkpoint is not None:
            yield other.checkpoint


def _worth(member: Member) -> tuple[float, int]:
    score = standing(member).score
    return -math.inf if score is None else score, -member.id


def _taken(
    member: Member, source: int, checkpoint: Checkpoint, log: list[AnyEvent], *, kind: str
) -> Copied:
    points = points_behind(checkpoint, log)
    weights = Weights(checkpoint=checkpoint, points=points)
    return Copied(member=member.id, source=source, kind=kind, weights=weights, hparams=None)
