"""Deleting a run: its log first, then its checkpoints, then its name."""

import contextlib
from collections.abc import Sequence

from ramet.blobs.base import Blobs
from ramet.engine.run.checkpoints import Checkpoints
from ramet.errors import LeaseLost, RunInUse
from ramet.faults import reach
from ramet.store.base import Lease, Store, find_holders

# How long members are held between two batches of checkpoints that are deleted.
HOLD_S = 60.0
# Checkpoints that are deleted at a time.
BATCH = 100
# How often the members of workers are taken from them before this gives up: they claim others.
ATTEMPTS = 10


def delete_run(
    run: str, *, store: Store, blobs: Blobs, worker: str, force: bool = False
) -> dict[str, int]:
    """Delete a run and its checkpoints; return the size of each of its files.

    If the process dies, the store has the run with all of its checkpoints, or one of its name and
    settings that has trained nothing, which has what is left of them. It never has checkpoints that
    no run has, and never a run without its checkpoints.

    Args:
        run: The name of the run.
        store: The store.
        blobs: Where the checkpoints are.
        worker: The name of this worker.
        force: Whether workers that train it lose their turns; without it, RunInUse is raised.
    """
    checkpoints = Checkpoints(blobs, run)
    # Not those of a run of this name in another store.
    checkpoints.attach(store)
    opening, sizes = store.opening(run), blobs.sizes(run)
    for left in reversed(range(ATTEMPTS)):
        if force:
            dismiss(store, run)
        try:
            with checkpoints.change_hands(store):
                store.overwrite_run(opening, worker=worker)
            break
        except RunInUse:
            if not (force and left):
                raise
    reach("emptied")
    clear_away(run, store=store, blobs=blobs, worker=worker)
    return sizes


def dismiss(store: Store, run: str) -> None:
    """Take their members from all workers of a run.

    Args:
        store: The store.
        run: The name of the run.
    """
    for holder in find_holders(store.seats(run)):
        store.disown(run, worker=holder)


def clear_away(run: str, *, store: Store, blobs: Blobs, worker: str) -> None:
    """Delete a run that has trained nothing, and all checkpoints that are kept under its name.

    Raise RunInUse if others have begun to train it.

    Args:
        run: The name of the run.
        store: The store.
        blobs: Where the checkpoints are.
        worker: The name of this worker.
    """
    with contextlib.ExitStack() as cleanup:
        leases = store.claim_all(run, worker=worker, ttl_s=HOLD_S)
        cleanup.callback(store.release_all, leases)
        others = find_holders(store.seats(run)) - {worker}
        if others or len(store.events(run, most=2)) > 1:
            raise _make_taken_up(run)
        keys = list(blobs.sizes(run))
        for first in range(0, len(keys), BATCH):
            _hold(store, leases)
            blobs.delete(run, keys[first : first + BATCH])
            reach("deleting")
        blobs.delete_leftovers(run)
        reach("cleared")
        _hold(store, leases)
        Checkpoints(blobs, run).forget()
        store.delete_run(run, worker=worker, after=0)
        # They are gone with the run.
        cleanup.pop_all()


def _hold(store: Store, leases: Sequence[Lease]) -> None:
    """Raise LeaseLost if another worker may write checkpoints now: then this one was suspended."""
    held = store.renew_all(leases, ttl_s=HOLD_S)
    if len(held) < len(leases):
        raise LeaseLost(
            f"a run must be held while its checkpoints are deleted, but the leases of this process "
            f"ran out, and others train run {leases[0].run!r} from its beginning now; stop them "
            f"and delete it again"
        )


def _make_taken_up(run: str) -> RunInUse:
    return RunInUse(
        f"a run must be left by its workers before it is deleted, but others have begun to train "
        f"run {run!r} again from its beginning; its old log is deleted: stop them (ramet stop) and "
        f"delete it again"
    )
