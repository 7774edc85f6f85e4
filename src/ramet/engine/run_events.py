"""Events of a run itself: that it was stopped, goes on, has a target or a greater budget."""

import contextlib

from ramet.errors import LogMoved
from ramet.events import Extended, Resumed, Stopped, TargetSet
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
        case Stopped():
            return not replica.get("stopped")
        case Resumed():
            return bool(replica.get("stopped"))
        case TargetSet(target=target):
            return bool(replica.get("target") != target)
        case Extended(steps=steps):
            return bool(replica.get("steps") < steps)
