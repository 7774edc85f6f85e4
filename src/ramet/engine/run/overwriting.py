"""Overwriting a run: its record is replaced at once, then its checkpoints are deleted."""

import contextlib
import logging
from collections import defaultdict
from collections.abc import Iterable

from ramet.blobs.base import Blobs
from ramet.engine.run.checkpoints import Checkpoints
from ramet.engine.run.fitting import fit_to_budget
from ramet.engine.run.opening import Settings, make_opening
from ramet.errors import LeaseLost, StoreBusy
from ramet.store.base import Lease, Store

logger = logging.getLogger("ramet")

# How long members are held while their old checkpoints are deleted, unless this process dies.
DELETING_S = 60.0


def overwrite(settings: Settings, *, store: Store, blobs: Blobs, worker: str) -> None:
    """Begin a run in place of the one of its name, if there is one.

    If the process dies, the store has the old run with all its checkpoints, or the new one. Old
    checkpoints that are then left over are pruned once the new run has trained as many turns.

    Args:
        settings: The settings of the new run.
        store: The store.
        blobs: Where the checkpoints are.
        worker: The name of this worker.
    """
    name = settings.name
    if name not in store.runs():
        return
    # Settings that cannot be are refused here, before anything is deleted.
    opening = make_opening(fit_to_budget(settings))
    outdated = blobs.sizes(name)
    store.overwrite_run(opening, worker=worker)
    Checkpoints(blobs, name).attach(store, anew=True)
    with contextlib.ExitStack() as leases:
        _Deletion(name, store, blobs, worker=worker, leases=leases).delete(outdated)
    fields = {"run": name, "files": len(outdated)}
    logger.info(
        "run %(run)r is begun anew; the old one and its checkpoints are deleted, files: %(files)d",
        fields,
        extra=fields,
    )


class _Deletion:
    """Deletes the checkpoints of the old run, and none that another worker writes meanwhile.

    With the same seed, a turn of the new run may write a checkpoint of the same key. So members are
    held while theirs are deleted.
    """

    def __init__(
        self, run: str, store: Store, blobs: Blobs, *, worker: str, leases: contextlib.ExitStack
    ) -> None:
        self._run, self._store, self._blobs = run, store, blobs
        self._held: dict[int, Lease] = {}
        while lease := store.claim(run, worker=worker, ttl_s=DELETING_S):
            self._held[lease.member] = lease
            leases.callback(self._release, lease)
        seats = store.seats(run)
        self._members = len(seats)
        # The first turn of which no worker can have written a checkpoint yet. Free members that are
        # not held here have ended their turn of the round, and the next round cannot begin before
        # the members held here have ended theirs.
        self._first_turns = {
            seat.standing.member: seat.standing.turn
            for seat in seats
            if self._held and seat.worker in {None, worker}
        }

    def delete(self, keys: Iterable[str]) -> None:
        """Delete those of the old run's checkpoints that the new run cannot have.

        The others are pruned once the turns that they are named after have ended.
        """
        by_member: defaultdict[int, list[str]] = defaultdict(list)
        for key in keys:
            member, turn = (int(number) for number in key.split("-", 2)[:2])
            if member >= self._members or turn >= self._first_turns.get(member, turn + 1):
                by_member[member].append(key)
        for member, outdated in by_member.items():
            if member >= self._members or self._still_holds(member):
                self._blobs.delete(self._run, outdated)

    def _still_holds(self, member: int) -> bool:
        """Say whether no other worker can train a member now, and for as long as a lease lasts."""
        lease = self._held.get(member, next(iter(self._held.values())))
        try:
            self._store.renew(lease, ttl_s=DELETING_S)
        except LeaseLost:
            # This process was suspended.
            return False
        return True

    def _release(self, lease: Lease) -> None:
        with contextlib.suppress(StoreBusy):  # Then it expires.
            self._store.release(lease)
