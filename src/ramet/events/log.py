"""A log of events, and the population that it leads to."""

from collections.abc import Iterable
from typing import TypeAlias, TypeVar

import msgspec

from ramet.errors import CorruptLog
from ramet.events.confirming import Confirmed, Confirming
from ramet.events.decisions import Annotated, Copied, Explored, RoundEnded, Weights
from ramet.events.opening import RunOpened
from ramet.events.turns import (
    AttemptFailed,
    CheckpointLost,
    LeftUnread,
    Rested,
    TurnEnded,
    TurnLost,
)
from ramet.events.whole import Conditions, Extended, Resumed, StopAsked, Stopped, TargetSet
from ramet.laws import check_moment, check_name, check_place
from ramet.population import Population
from ramet.replica import Replica

# Every event there is.
AnyEvent: TypeAlias = (
    RunOpened
    | TurnEnded
    | AttemptFailed
    | TurnLost
    | Rested
    | Copied
    | Explored
    | Annotated
    | LeftUnread
    | RoundEnded
    | CheckpointLost
    | Extended
    | TargetSet
    | StopAsked
    | Stopped
    | Resumed
    | Conditions
    | Confirming
    | Confirmed
)


# What a member's turn writes before the round ends: in a log, in the order that turns end in.
Arrival: TypeAlias = TurnEnded | AttemptFailed | TurnLost | LeftUnread
Each = TypeVar("Each", bound=AnyEvent)


class Logged(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """An event in its place in the log, and when and where it was written."""

    # Counted from 0 without gaps.
    number: int
    # Seconds since the epoch, by the clock of the machine that wrote it.
    at: float
    # The name of the worker that wrote it.
    worker: str
    # Seconds since the worker got the lease under which it was written; None without a lease.
    took_s: float | None = None
    # What happened.
    event: AnyEvent


def fold(events: Iterable[AnyEvent], start: Population | None = None) -> Population:
    """Return the population that events lead to.

    Its scores are those of the events. Events read from a store hold maximised scores;
    ``Result.events`` holds them as they were reported, and ``fold(result.events)`` is
    ``result.population``.

    Args:
        events: The events, in the order of the log.
        start: The population that the events before these led to; None if these are all.
    """
    replica = Replica(start)
    for event in events:
        _apply(event, replica)
    return replica.population


def follow(log: Iterable[Logged], replica: Replica, run: str) -> None:
    """Apply a run's log, or the new part of it, to a replica. An error says which event is wrong.

    Args:
        log: The events, each with its number.
        replica: A replica to which all events before these were applied.
        run: The run's name.
    """
    for logged in log:
        try:
            check_place(logged.number, replica.last + 1)
            check_moment(logged.at, logged.took_s)
            if isinstance(logged.event, RunOpened):
                check_name(logged.event.name, run)
            if not replica.empty:
                logged.event.check(replica)
            _apply(logged.event, replica)
        except CorruptLog as error:
            raise CorruptLog(
                f"run {run!r} must have a log that a run can have written, but event "
                f"{logged.number!r} is not: {error}. Put back a copy of the store that is whole"
            ) from error
        replica.last = logged.number


def canonical(events: Iterable[AnyEvent]) -> list[AnyEvent]:
    """Return a synchronous run's log without what depends on the number and speed of workers.

    The turns of each round are in the order of their members, and their checkpoints are named as if
    each had been written by itself. Events about stopping, resuming, and conditions are left out.
    Two runs with equal canonical logs are the same run.

    Args:
        events: The events, in the order of the log.
    """
    ordered: list[AnyEvent] = []
    arrivals: list[Arrival] = []
    for event in events:
        if isinstance(event, TargetSet | StopAsked | Stopped | Resumed | Conditions):
            continue
        if isinstance(event, RunOpened):
            event = msgspec.structs.replace(event, code=None)  # noqa: PLW2901 - the code is no part of a run's course
        if isinstance(event, Arrival):
            arrivals.append(_unstack(event))
        else:
            ordered += [*sorted(arrivals, key=_place), _unstack(event)]
            arrivals.clear()
    return ordered + sorted(arrivals, key=_place)


def _unstack(event: Each) -> Each:
    """Return an event as if each checkpoint had been written by itself."""
    match event:
        case TurnEnded():
            return msgspec.structs.replace(event, stack=msgspec.UNSET, row=msgspec.UNSET)
        case Copied(weights=Weights() as weights):
            alone = msgspec.structs.replace(weights, checkpoint=weights.checkpoint.by_itself())
            return msgspec.structs.replace(event, weights=alone)
        case Confirming():
            alone_each = tuple(
                msgspec.structs.replace(it, checkpoint=it.checkpoint.by_itself())
                for it in event.candidates
            )
            return msgspec.structs.replace(event, candidates=alone_each)
    return event


def _apply(event: AnyEvent, replica: Replica) -> None:
    if replica.empty and not isinstance(event, RunOpened):
        begins = type(event).__name__
        raise CorruptLog(f"a log must begin with RunOpened, but begins with {begins}")
    replica.apply(event)


def _place(event: Arrival) -> tuple[int, int, str]:
    return (1, 0, event.name) if isinstance(event, LeftUnread) else (0, event.member, "")
