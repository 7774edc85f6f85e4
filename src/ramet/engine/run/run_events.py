"""The events of an ended turn; and of a run itself, such as its target, appended once."""

import contextlib

from msgspec import UNSET

from ramet.engine.run.turn import Turn
from ramet.errors import LogMoved
from ramet.events import (
    AnyEvent,
    Conditions,
    Confirmed,
    Confirming,
    Extended,
    Mapped,
    Resumed,
    StopAsked,
    Stopped,
    TargetSet,
    TurnEnded,
)
from ramet.history.following import Follower
from ramet.points import Point
from ramet.population import Checkpoint, Confirmation
from ramet.replica import Replica
from ramet.series import Series
from ramet.store.base import RunEvent, Store


def turn_ended(
    turn: Turn, *, kept: Checkpoint, points: tuple[Point, ...], metrics: tuple[Series, ...]
) -> list[AnyEvent]:
    """Return the events of a turn that was trained to its end."""
    ended = TurnEnded(
        member=turn.member,
        turn=turn.number,
        trained=turn.trained + turn.steps,
        step=turn.stop,
        points=points,
        digest=kept.digest,
        metrics=metrics,
        stack=UNSET if kept.stack is None else kept.stack,
        row=UNSET if kept.stack is None else kept.row,
        renewed=turn.renewed or UNSET,
    )
    return [ended, StopAsked(member=turn.member, turn=turn.number)] if turn.stops_run else [ended]


def append(store: Store, log: Follower, event: RunEvent, *, worker: str) -> None:
    """Write an event of the run, unless it would change nothing: others may write the same."""
    log.check_run()
    written = False
    while not written and would_change(event, log.replica):
        with contextlib.suppress(LogMoved):  # Then read the new events, and check again.
            store.append(log.opening.name, event, worker=worker, after=log.replica.last)
            written = True
        log.catch_up()


def would_change(event: RunEvent, replica: Replica) -> bool:
    """Return whether an event would change anything."""
    match event:
        case Stopped(why=why):
            # A run that was stopped before may still reach its target, which is recorded.
            said = replica.why_stopped
            return not replica.stopped or (why == "target" and said != why)
        case Resumed():
            return replica.stopped
        case TargetSet(target=target):
            return replica.target != target
        case Extended(steps=steps):
            return replica.steps < steps
        case Conditions(threads=threads, mapped=mapped):
            return (threads is not None and replica.threads is None) or _is_new(mapped, replica)
        case Confirming() | Confirmed():
            return _is_awaited(event, replica.confirmation, over=replica.over)


def _is_awaited(event: Confirming | Confirmed, known: Confirmation | None, *, over: bool) -> bool:
    if known is None:
        return over and isinstance(event, Confirming)
    if isinstance(event, Confirmed):
        place = known.find(event.member, event.turn)
        return place is not None and event.repeat == len(known.candidates[place].fresh)
    there = {candidate.checkpoint for candidate in known.candidates}
    wanted = {candidate.checkpoint for candidate in event.candidates}
    # One that takes something back was decided on before another process wrote.
    grows = wanted >= there and event.times >= known.times
    return over and grows and (wanted, event.times) != (there, known.times)


def _is_new(mapped: Mapped | None, replica: Replica) -> bool:
    """Return whether nothing is on record for this number of members, or about compiling."""
    known = {(known.of, known.compiled) for known in replica.mapped}
    return mapped is not None and (mapped.of, mapped.compiled) not in known
