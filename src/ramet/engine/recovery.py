"""Members whose checkpoint cannot be read, and what they go on from instead."""

import logging
import math
from collections.abc import Callable, Iterable, Iterator

from ramet.engine.checkpoints import Checkpoints
from ramet.engine.journal import Journal
from ramet.errors import CheckpointMissing, LogMoved, StoreError
from ramet.events import AnyEvent, CheckpointLost, Copied, Extended, Weights
from ramet.history.lineage import Lineage
from ramet.population import Checkpoint, Member, Population
from ramet.replica import Replica
from ramet.store.base import Lease, Store, standing

logger = logging.getLogger("ramet")

KEPT_THE_BEST = "the run was over, and kept only its best checkpoint (keep='best')"


def recover(
    store: Store, journal: Journal, checkpoints: Checkpoints, lease: Lease, error: StoreError
) -> None:
    """Have a member go on from something else than its checkpoint, and let go of it."""
    checkpoints.expect(kept=True)
    if journal.prescribed:
        raise error  # Other weights have not been trained with what its schedule says.
    log = [logged.event for logged in store.events(lease.run)]
    member = journal.member(lease.member)
    missing = isinstance(error, CheckpointMissing) and journal.opening.keep == "best"
    swept = missing and _was_swept(member.checkpoint, log)
    events = replacement(
        member,
        error,
        journal.population,
        Lineage(log),
        readable=checkpoints.readable,
        why=KEPT_THE_BEST if swept else str(error),
    )
    fields = {"member": member.id, "turn": member.turn}
    logger.log(
        # Whoever gave the run more steps was warned of it.
        logging.INFO if swept else logging.WARNING,
        "member %(member)d goes on from another checkpoint, as its own cannot be read: %(error)s",
        {**fields, "error": KEPT_THE_BEST if swept else error},
        extra=fields,
    )
    try:
        journal.write_once(lease, events)
    except LogMoved:
        store.release(lease)  # Whoever gets the turn next finds the same.


def _was_swept(checkpoint: Checkpoint | None, log: Iterable[AnyEvent]) -> bool:
    """Say whether a run was over since it had a checkpoint, and then kept only its best."""
    replica = Replica()
    for event in log:
        if isinstance(event, Extended):
            before = replica.population
            if before.done and any(member.checkpoint == checkpoint for member in before):
                return True
        replica.apply(event)
    return False


def replacement(
    member: Member,
    error: StoreError,
    population: Population,
    lineage: Lineage,
    *,
    readable: Callable[[Checkpoint], bool],
    why: str,
) -> list[AnyEvent]:
    """Return how a member goes on whose checkpoint cannot be read.

    It falls back to the latest one on its own lineage that can, or else takes the weights of the
    best member that has some: of its own sub-population, if there is one.
    """
    if member.checkpoint is None:
        raise error
    lost = CheckpointLost(member=member.id, key=member.checkpoint.key, error=why)
    for turn in reversed(lineage.behind(member.checkpoint)):
        if turn.origin is not None and readable(turn.origin):
            return [lost, _taken(member, member.id, turn.origin, lineage, kind="fallback")]
    for source in _others(member, population):
        if readable(source):
            return [lost, _taken(member, source.member, source, lineage, kind="rebirth")]
    raise error


def _others(member: Member, population: Population) -> Iterator[Checkpoint]:
    """Yield what a member may take in place of its own weights, the best first."""
    others = [other for other in population if other.id != member.id]
    kin = [other for other in others if other.group == member.group]
    best = [population.best.checkpoint] if population.best is not None else []
    if member.ranked:
        yield from best
    for group in (kin, others):
        for other in sorted(group, key=_worth, reverse=True):
            if other.checkpoint is not None:
                yield other.checkpoint
    yield from best


def _worth(member: Member) -> tuple[float, int]:
    score = standing(member).score
    return -math.inf if score is None else score, -member.id


def _taken(
    member: Member, source: int, checkpoint: Checkpoint, lineage: Lineage, *, kind: str
) -> Copied:
    points = lineage.turns[checkpoint.member, checkpoint.turn].points
    weights = Weights(checkpoint=checkpoint, points=points[-1:])
    return Copied(member=member.id, source=source, kind=kind, weights=weights, hparams=None)
