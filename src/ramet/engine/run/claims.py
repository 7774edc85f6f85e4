"""Claim members that are free to train, and make their turns."""

import contextlib
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import NamedTuple

from ramet.engine.run.checkpoints import Checkpoints
from ramet.engine.run.collecting import without_collecting
from ramet.engine.run.journal import Journal
from ramet.engine.run.turn import Turn
from ramet.errors import StoreBusy, UsageError
from ramet.faults import reach
from ramet.population import Member
from ramet.store.base import Lease, Store
from ramet.strategies.base import NeedsScores, Strategy


class Claimed(NamedTuple):
    """A member that this worker trains next, and the lease under which it does."""

    member: Member
    lease: Lease


class Claims:
    """Claims members for a worker, one or all, and makes the turns that it trains next."""

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
        # The members that this worker trains; None is all.
        self.among: frozenset[int] | None = None
        self._evaluate_every = strategy.evaluate_every
        self._needs_scores = isinstance(strategy, NeedsScores) and strategy.needs_scores

    def keep_to(self, members: Collection[int]) -> None:
        """Claim one at a time from these members only; refuse members that the run has not got."""
        opening = self._journal.opening
        among = frozenset(members)
        wrong = sorted(map(repr, among.difference(range(len(opening.births)))))
        if wrong or not among:
            said = f"these are not: {', '.join(wrong)}" if wrong else "there are none"
            raise UsageError(
                f"ask_only takes ids of members of run {opening.name!r}, from 0 to "
                f"{len(opening.births) - 1}, but {said}; ask would wait for them for ever"
            )
        self.among = among

    def claim(self, *, prefer: int | None) -> list[Turn]:
        """Return a turn if a member is free to train and the run is not stopped; else none."""
        lease = self._store.claim(
            self._journal.opening.name,
            worker=self._journal.worker,
            ttl_s=self._ttl_s,
            prefer=prefer,
            among=self.among,
        )
        return self._make_turns_or_release(self._begin([] if lease is None else [lease]))

    @without_collecting()
    def claim_all(self) -> list[Turn]:
        """Return a turn for each member that is free to train, unless the run is stopped."""
        return self._make_turns_or_release(self.claim_members())

    def claim_members(self) -> list[Claimed]:
        """Claim each member that is free to train, unless the run is stopped."""
        leases = self._store.claim_all(
            self._journal.opening.name, worker=self._journal.worker, ttl_s=self._ttl_s
        )
        return self._begin(leases)

    def _begin(self, leases: list[Lease]) -> list[Claimed]:
        """Return the members of leases, or give these back if the run is stopped."""
        journal = self._journal
        with self.release_after_errors(leases):
            journal.check_run()
            journal.catch_up(leases[-1].head if leases else None)
            if not leases:
                return []
            if not journal.stopped:
                reach("claimed")
                return [Claimed(journal.member(lease.member), lease) for lease in leases]
        with contextlib.suppress(StoreBusy):  # Then they expire.
            self._store.release_all(leases)
        return []

    def _make_turns_or_release(self, claimed: Sequence[Claimed]) -> list[Turn]:
        with self.release_after_errors([lease for _, lease in claimed]):
            return self.make_turns(claimed)

    @contextlib.contextmanager
    def release_after_errors(self, leases: Sequence[Lease]) -> Iterator[None]:
        """Give leases back if the block raises.

        Args:
            leases: Leases that no turn holds yet.
        """
        try:
            yield
        except BaseException:
            with contextlib.suppress(Exception):  # Then they expire; this error comes first.
                self._store.release_all(leases)
            raise

    def make_turns(self, claimed: Iterable[tuple[Member, Lease]]) -> list[Turn]:
        """Return the next turns of members, each under a lease."""
        journal, read = self._journal, self._checkpoints.read
        conditions = journal.population.space.conditions
        return [
            Turn(
                member=member,
                lease=lease,
                steps=journal.turn_steps(member),
                evaluate_every=self._evaluate_every,
                draws=journal.draws(member),
                read=read,
                needs_scores=self._needs_scores,
                renewed=journal.renews(member),
                conditions=conditions,
            )
            for member, lease in claimed
        ]
