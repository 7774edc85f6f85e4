"""Renaming a run: its checkpoints are copied, then its record gets the name."""

import contextlib

from ramet.blobs.base import Blobs
from ramet.engine.run.checkpoints import Checkpoints
from ramet.engine.run.opening import check_name
from ramet.engine.run.removing import ATTEMPTS, clear_away, dismiss
from ramet.errors import CheckpointMissing, LogMoved, RunInUse, RunNotFound
from ramet.faults import reach
from ramet.history.following import Overview
from ramet.store.base import Store, find_holders
from ramet.store.refusals import name_taken, run_in_use


def rename_run(
    run: str, to: str, *, store: Store, blobs: Blobs, worker: str, force: bool = False
) -> int:
    """Give a run another name; return how many checkpoint files it has.

    If the process dies, the store has the whole run under its old name or under its new one. Under
    the old name there may then be a run that has trained nothing, which has what is left there.

    Args:
        run: The name of the run.
        to: Its new name.
        store: The store.
        blobs: Where the checkpoints are.
        worker: The name of this worker.
        force: Whether workers that train it lose their turns; without it, RunInUse is raised.
    """
    check_name(to)
    if to in store.runs():
        raise name_taken(to)
    checkpoints = Checkpoints(blobs, run)
    _check_there(store, blobs, run)
    checkpoints.attach(store)
    checkpoints.attach_as(store, to)
    _copy_and_rename(checkpoints, run, to, store=store, worker=worker, force=force)
    reach("renamed")
    # From here on no other process deletes what is kept under the new name; before, one may have
    # begun and deleted a run of that name.
    checkpoints.copy(to)
    files = len(blobs.sizes(to))
    # Another process may have deleted the old name already.
    with contextlib.suppress(RunNotFound):
        clear_away(run, store=store, blobs=blobs, worker=worker)
    return files


def _check_there(store: Store, blobs: Blobs, run: str) -> None:
    """Refuse to rename a run away from its checkpoints."""
    trained = any(seat.standing.checkpoint for seat in store.seats(run))
    if trained and not blobs.sizes(run):
        raise CheckpointMissing(
            f"a run must be renamed together with its checkpoints, but none of run {run!r} is in "
            f"{blobs!r}; nothing was changed: if they are kept elsewhere (blobs=), move them "
            f"there, or leave the run its name"
        )


def _copy_and_rename(
    checkpoints: Checkpoints, run: str, to: str, *, store: Store, worker: str, force: bool
) -> None:
    """Rename the record once all of its checkpoints are there."""
    record = store.record(run)
    for left in reversed(range(ATTEMPTS)):
        _see_to_workers(store, run, force=force)
        last = Overview(store, run).last
        if store.record(run) != record:
            raise _make_another(run)
        checkpoints.copy(to)
        reach("copied")
        try:
            # What is left under the old name belongs to the run that has it afterwards.
            with checkpoints.change_hands(store):
                store.rename_run(run, to, worker=worker, after=last)
        except (LogMoved, RunInUse):
            # A worker has ended a turn meanwhile, or claimed a member.
            if not left:
                raise
        else:
            return


def _make_another(run: str) -> LogMoved:
    return LogMoved(
        f"a run must stay the same while it is renamed, but another process renamed, deleted or "
        f"overwrote run {run!r} meanwhile; nothing was renamed: see what the store has now (ramet "
        f"runs)"
    )


def _see_to_workers(store: Store, run: str, *, force: bool) -> None:
    if force:
        dismiss(store, run)
    elif holders := find_holders(store.seats(run)):
        raise run_in_use(run, sorted(holders), deed="renamed")
