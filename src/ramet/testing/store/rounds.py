"""What is done for many members at once is done for all of them, or for none."""

import pytest

from ramet.errors import LeaseLost, LogMoved
from ramet.events import AnyEvent
from ramet.store import Lease, Store
from ramet.testing.clock import FakeClock
from ramet.testing.processes import FakeProcesses
from ramet.testing.store_steps import (
    TTL_S,
    at_once,
    begin,
    claim,
    claim_all,
    claims,
    end_turn,
    none_is_free,
    standing_after,
    standings,
    turn_of,
)


class Rounds:
    """Tests of claims, renewals and commits for many members."""

    def test_all_free_members_are_claimed_at_once_as_they_would_be_one_by_one(
        self, store: Store
    ) -> None:
        for name in ("lm", "other"):
            begin(store, name, members=5)
            for _ in range(2):
                end_turn(store, claim(store, name=name))
            claim(store, "gpu-17", name=name)
        one_by_one = [lease.member for lease in claims(store, "other")]
        leases = claim_all(store)
        assert [lease.member for lease in leases] == one_by_one == [3, 4, 0, 1]
        assert {lease.head for lease in leases} == {2}
        assert none_is_free(store)
        assert claim_all(store) == []

    def test_members_that_are_claimed_at_once_keep_their_own_tokens(self, store: Store) -> None:
        begin(store, members=6)
        for member in (1, 2, 2, 4):
            store.release(claim(store, among=[member]))
        leases = store.renew_all(claim_all(store), ttl_s=TTL_S)
        assert [lease.token for lease in leases] == [1, 2, 3, 1, 2, 1]
        for lease in leases:
            end_turn(store, lease)

    def test_i1_holds_among_threads_that_claim_all(self, store: Store) -> None:
        begin(store, members=50)
        claimed: list[int] = []

        def work() -> None:
            claimed.extend([lease.member for lease in claim_all(store)])

        at_once(work)
        assert sorted(claimed) == list(range(50))

    def test_members_of_silent_and_of_dead_workers_are_claimed_with_the_others(
        self, store: Store, clock: FakeClock, processes: FakeProcesses
    ) -> None:
        begin(store)
        claim(store, "gpu-17")
        clock.sleep(TTL_S + 1)
        processes.switch()
        claim(store, "dies", prefer=1)
        processes.die()
        found = {lease.member: (lease.lost, lease.silent_s) for lease in claim_all(store)}
        assert found[2] == (0, None)
        assert sorted(found) == [0, 1, 2]

    def test_leases_are_renewed_at_once_but_for_those_that_are_lost(
        self, store: Store, clock: FakeClock
    ) -> None:
        begin(store)
        leases = claim_all(store)
        store.release(leases[1])
        taken = claim(store, "other")
        clock.sleep(TTL_S - 1)
        renewed = store.renew_all(leases, ttl_s=TTL_S)
        assert [lease.member for lease in renewed] == [0, 2]
        clock.sleep(TTL_S - 1)
        assert claim(store).member == taken.member
        assert none_is_free(store)
        assert store.renew_all([], ttl_s=TTL_S) == []

    def test_members_are_released_at_once_but_for_those_that_others_hold(
        self, store: Store
    ) -> None:
        begin(store)
        leases = claim_all(store)
        store.release(leases[1])
        taken = claim(store, "other")
        store.release_all(leases)
        assert [lease.member for lease in claims(store)] == [0, 2]
        assert taken.member == 1
        store.release_all([])

    def test_a_commit_for_many_members_ends_all_of_their_leases(self, store: Store) -> None:
        begin(store)
        leases = claim_all(store)
        assert _end_turns(store, leases) == 3
        assert [each.turn for each in standings(store)] == [1, 1, 1]
        for lease in leases:
            with pytest.raises(LeaseLost):
                end_turn(store, lease)
        # Tokens of leases that were not revoked grow by one with each lease.
        assert [lease.token for lease in claim_all(store)] == [one.token + 1 for one in leases]

    def test_i2_a_commit_for_many_members_writes_nothing_if_one_lease_is_lost(
        self, store: Store, clock: FakeClock
    ) -> None:
        begin(store)
        leases = claim_all(store)
        clock.sleep(TTL_S + 1)
        claim(store, "other", prefer=2)
        store.renew_all(leases, ttl_s=TTL_S)
        with pytest.raises(LeaseLost, match="member 2"):
            _end_turns(store, leases)
        assert len(store.events("lm")) == 1
        assert _end_turns(store, leases[:2]) == 2

    def test_a_commit_for_many_members_on_an_old_log_writes_nothing(self, store: Store) -> None:
        begin(store)
        leases = claim_all(store)
        with pytest.raises(LogMoved):
            _end_turns(store, leases, after=7)
        assert _end_turns(store, leases, after=0) == 3

    def test_a_commit_also_ends_the_leases_of_members_that_it_does_not_change(
        self, store: Store
    ) -> None:
        begin(store)
        first, *others = claim_all(store)
        events: list[AnyEvent] = [turn_of(store, first)]
        store.commit(first, events, [standing_after(store, events, 0)], beside=others)
        assert [each.turn for each in standings(store)] == [1, 0, 0]
        assert len(claim_all(store)) == 3


def _end_turns(store: Store, leases: list[Lease], *, after: int | None = None) -> int:
    """Commit a turn of ten steps for each lease."""
    events: list[AnyEvent] = [turn_of(store, lease) for lease in leases]
    after_it = [standing_after(store, events, lease.member) for lease in leases]
    return store.commit(leases[0], events, after_it, beside=leases[1:], after=after)
