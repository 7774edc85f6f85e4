"""Claim members that are free to train, and make their turns."""

import contextlib

from ramet.engine.run.checkpoints import Checkpoints
from ramet.engine.run.journal import Journal
from ramet.engine.run.turn import Turn
from ramet.errors import StoreBusy
from ramet.faults import reach
from ramet.store.base import Lease, Store
from ramet.strategies.base import NeedsScores, Strategy


class Claims:
    """Claims one member at a time for a worker, and makes the turn that it trains next."""

    def __init__(
        self,
        store: Store,
        journal: Journal,
        checkpoints: Checkpoints,
        *,
        strategy: Strategy,
        ttl_s: float,
    ) -> None:
        self._store, self._journal, self._checkpoints = store, journal, checkpoints
        self._ttl_s = ttl_s
        self._evaluate_every = strategy.evaluate_every
        self._needs_scores = isinstance(strategy, NeedsScores) and strategy.needs_scores

    def claim(self, *, prefer: int | None) -> Turn | None:
        """Return a turn if a member is free to train and the run is not stopped."""
        journal = self._journal
        lease = self._store.claim(
            journal.opening.name, worker=journal.worker, ttl_s=self._ttl_s, prefer=prefer
        )
        try:
            journal.check_run()
            journal.catch_up(lease.head if lease else None)
            if lease is None:
                return None
            if not journal.stopped:
                reach("claimed")
                return self._make_turn(lease)
        except BaseException:
            if lease is not None:
                with contextlib.suppress(Exception):  # Then it expires; this error comes first.
                    self._store.release(lease)
            raise
        with contextlib.suppress(StoreBusy):  # Then it expires.
            self._store.release(lease)
        return None

    def _make_turn(self, lease: Lease) -> Turn:
        journal = self._journal
        member = journal.member(lease.member)
        return Turn(
            member=member,
            lease=lease,
            steps=journal.turn_steps(member),
            evaluate_every=self._evaluate_every,
            draws=journal.draws(member),
            read=self._checkpoints.read,
            needs_scores=self._needs_scores,
        )
