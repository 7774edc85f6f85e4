"""Turns that do not end: they are retried, given up, or continued from another checkpoint."""

import contextlib
import logging
import math
import traceback
from collections.abc import Callable, Iterable, Iterator

from ramet.engine.run.checkpoints import Checkpoints
from ramet.engine.run.journal import Journal, Written
from ramet.errors import (
    CheckpointMissing,
    LeaseLost,
    LogMoved,
    RunFailed,
    StoreBusy,
    StoreError,
)
from ramet.events import (
    AnyEvent,
    AttemptFailed,
    CheckpointLost,
    Copied,
    Extended,
    TurnLost,
    Weights,
)
from ramet.frames import format_error, leave_out, place_of
from ramet.history.lineage import Lineage
from ramet.history.narrating import say_why_lost, shorten
from ramet.population import Checkpoint, Member, Population
from ramet.replica import Replica
from ramet.store.base import Lease, Store, standing

logger = logging.getLogger("ramet")

# Characters that a log keeps of an error, which may quote arrays.
MOST_OF_ERROR = 10_000


def attempt_failed(error: BaseException, *, member: int, turn: int) -> AttemptFailed:
    """Return the event for an error that training a turn raised."""
    # A log cannot hold lone surrogates, which a file's name in a traceback may contain.
    what, trace, where = (
        text.encode(errors="replace").decode()
        for text in (_name_error(error), format_error(error), place_of(error))
    )
    return AttemptFailed(member=member, turn=turn, error=what, traceback=trace, where=where)


def warn_failed(error: BaseException, *, member: int, turn: int, attempt: int) -> None:
    """Warn that training a turn raised."""
    fields = {"member": member, "turn": turn, "attempt": attempt}
    logger.warning(
        "member %(member)d raised in turn %(turn)d: %(error)s",
        {**fields, "error": shorten(describe_error(error))},
        extra=fields,
    )


def warn_given_up(lost: TurnLost) -> None:
    """Warn that a turn is given up, and say what becomes of its member."""
    fields = {"member": lost.member, "turn": lost.turn, "why": lost.why}
    logger.warning(
        "member %(member)d, turn %(turn)d is given up: %(said)s; its steps count as trained, and "
        "the member has no score until it ends another turn",
        {**fields, "said": say_why_lost(lost)},
        extra=fields,
    )


def describe_error(error: BaseException) -> str:
    """Return an error with the line of the user's code that raised it."""
    where = place_of(error)
    return f"{_name_error(error)} ({where})" if where else _name_error(error)


def _name_error(error: BaseException) -> str:
    return leave_out("".join(traceback.format_exception_only(error)).strip(), MOST_OF_ERROR)


def give_up(
    store: Store, journal: Journal, member: int, *, turn: int, why: str, ttl_s: float
) -> bool:
    """Give up another worker's turn; return whether it was not over yet."""
    if journal.prescribed:
        raise indispensable(member, turn, why)
    run = journal.opening.name
    journal.check_run()
    lease = store.seize(run, member, turn=turn, worker=journal.worker, ttl_s=ttl_s)
    if lease is None:
        return False
    journal.catch_up()
    lost = turn_lost(journal, member, why)
    try:
        journal.commit([Written(lease, [lost])], over=True)
    except LeaseLost:
        return False  # Another worker gave it up meanwhile.
    except BaseException:
        with contextlib.suppress(StoreBusy):  # Then the lease expires.
            store.release(lease)
        raise
    warn_given_up(lost)
    return True


def turn_lost(journal: Journal, member: int, why: str) -> TurnLost:
    """Return the event that gives up a member's current turn; its steps count as used."""
    before = journal.member(member)
    trained = before.trained + journal.turn_steps(before)
    return TurnLost(member=member, turn=before.turn, trained=trained, why=why)


def indispensable(member: int, turn: int, why: str, *, traceback: str = "") -> RunFailed:
    """Return the error for a turn that a replay would have to give up."""
    return RunFailed(
        f"a replay must train every step of its schedule, but turn {turn} of member {member} would "
        f"have to be given up: {why}. It was not given up: remove the cause and run again, and the "
        f"replay resumes there",
        traceback=traceback,
    )


def stragglers(population: Population) -> list[Member]:
    """Return the members that a synchronous round is waiting for."""
    return [
        member
        for member in population
        if member.turn == population.round and not population.is_finished(member.id)
    ]


KEPT_THE_BEST = "the run was over, and kept only its best checkpoint (keep='best')"


def recover(
    store: Store, journal: Journal, checkpoints: Checkpoints, lease: Lease, error: StoreError
) -> None:
    """Let a member go on from another checkpoint than its own, and give its turn back."""
    checkpoints.expect(kept=True)
    if journal.prescribed:
        raise error  # Other weights were not trained on its schedule.
    log = [logged.event for logged in store.events(lease.run)]
    member = journal.member(lease.member)
    missing = isinstance(error, CheckpointMissing) and journal.opening.keep == "best"
    pruned = missing and _was_pruned(member.checkpoint, log)
    events = replacement(
        member,
        error,
        journal.population,
        Lineage(log),
        readable=checkpoints.readable,
        why=KEPT_THE_BEST if pruned else str(error),
    )
    fields = {"member": member.id, "turn": member.turn}
    logger.log(
        # A warning said so when the run was given more steps.
        logging.INFO if pruned else logging.WARNING,
        "member %(member)d goes on from another checkpoint, as its own cannot be read: %(error)s",
        {**fields, "error": KEPT_THE_BEST if pruned else error},
        extra=fields,
    )
    try:
        journal.write_once(lease, events)
    except LogMoved:
        store.release(lease)  # The next worker that claims the member finds the same.


def _was_pruned(checkpoint: Checkpoint | None, log: Iterable[AnyEvent]) -> bool:
    """Return whether the run was over since this checkpoint, and then kept only its best."""
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
    """Return the events by which a member goes on if its checkpoint cannot be read.

    It falls back to the latest readable checkpoint on its own lineage. If there is none, it takes
    the weights of the best member that has some, first from its own sub-population.
    """
    if member.checkpoint is None:
        raise error
    lost = CheckpointLost(member=member.id, key=member.checkpoint.key, error=why)
    for turn in reversed(lineage.behind(member.checkpoint)):
        if turn.origin is not None and readable(turn.origin):
            return [lost, _make_copied(member, member.id, turn.origin, lineage, kind="fallback")]
    for source in _others(member, population):
        if readable(source):
            return [lost, _make_copied(member, source.member, source, lineage, kind="rebirth")]
    raise error


def _others(member: Member, population: Population) -> Iterator[Checkpoint]:
    """Yield the checkpoints of others that a member may take, the best first."""
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


def _make_copied(
    member: Member, source: int, checkpoint: Checkpoint, lineage: Lineage, *, kind: str
) -> Copied:
    points = lineage.turns[checkpoint.member, checkpoint.turn].points
    weights = Weights(checkpoint=checkpoint, points=points[-1:])
    return Copied(member=member.id, source=source, kind=kind, weights=weights, hparams=None)
