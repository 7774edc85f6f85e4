"""Events of a run itself: stopped, goes on, has a target, a greater budget, conditions to keep."""

import contextlib

from ramet.errors import LogMoved
from ramet.events import Conditions, Extended, Mapped, Resumed, Stopped, TargetSet
from ramet.history.follower import Follower
from ramet.replica import Replica
from ramet.store.base import RunEvent, Store


def append(store: Store, log: Follower, event: RunEvent, *, worker: str) -> None:
    """Write an event of the run once, for as long as it is wanted: others may write the same."""
    written = False
    while not written and wanted(event, log.replica):
        with contextlib.suppress(LogMoved):  # Then it is read on, and looked at again.
            store.append(log.opening.name, event, worker=worker, after=log.replica.last)
            written = True
        log.catch_up()


def wanted(event: RunEvent, replica: Replica) -> bool:
    """Say whether an event would change anything."""
    match event:
        case Stopped(why=why):
            # That a run is at its target is said of one that was stopped before, too.
            said = replica.get("why_stopped")
            return not replica.get("stopped") or (why == "target" and said != why)
        case Resumed():
            return bool(replica.get("stopped"))
        case TargetSet(target=target):
            return bool(replica.get("target") != target)
        case Extended(steps=steps):
            return bool(replica.get("steps") < steps)
        case Conditions(threads=threads, mapped=mapped):
            return (threads is not None and replica.threads is None) or _is_new(mapped, replica)


def _is_new(mapped: Mapped | None, replica: Replica) -> bool:
    """Say whether nothing is on record of as many members, or of whether steps are compiled."""
    known = {(known.of, known.compiled) for known in replica.mapped}
    return mapped is not None and (mapped.of, mapped.compiled) not in known
