"""A lease lasts while it is renewed and its process exists."""

import pytest

from ramet.errors import LeaseLost
from ramet.events import Annotated
from ramet.store import Store
from ramet.testing.clock import FakeClock
from ramet.testing.processes import FakeProcesses
from ramet.testing.store_steps import (
    TTL_S,
    begin,
    claim,
    end_turn,
    none_is_free,
    standing_after,
    standings,
    take_over,
)


class Leases:
    """Tests of how long a lease lasts, and of who can claim the member afterwards."""

    def test_a_lease_that_ran_out_still_commits_until_the_member_is_claimed(
        self, store: Store, clock: FakeClock
    ) -> None:
        begin(store, members=1)
        lease = claim(store)
        clock.sleep(10 * TTL_S)
        assert end_turn(store, lease) == 1

    def test_a_lease_that_was_renewed_is_not_taken_over(
        self, store: Store, clock: FakeClock
    ) -> None:
        begin(store, members=1)
        lease = claim(store)
        clock.sleep(TTL_S - 1)
        lease = store.renew(lease, ttl_s=TTL_S)
        clock.sleep(TTL_S - 1)
        assert none_is_free(store)
        end_turn(store, lease)

    def test_a_released_member_can_be_claimed_at_once(self, store: Store) -> None:
        begin(store, members=1)
        lease = claim(store)
        store.release(lease)
        store.release(lease)
        assert claim(store).token > lease.token

    def test_i6_a_worker_that_died_leaves_its_member_at_its_last_turn(
        self, store: Store, clock: FakeClock
    ) -> None:
        begin(store, members=1)
        end_turn(store, claim(store))
        claim(store, "dies")
        clock.sleep(TTL_S + 1)
        assert claim(store).member == 0
        assert standings(store)[0].turn == 1

    def test_i6_what_a_process_held_is_free_as_soon_as_the_process_is_gone(
        self, store: Store, processes: FakeProcesses
    ) -> None:
        begin(store)
        end_turn(store, claim(store))
        dead = claim(store, "dies")
        assert dead.member == 1
        processes.die()
        assert store.seats("lm")[1].worker is None
        taken = claim(store)
        assert taken.member == 1
        assert taken.token > dead.token
        with pytest.raises(LeaseLost, match="'gpu-03' holds it now"):
            end_turn(store, dead)
        end_turn(store, taken)

    def test_the_preferred_member_is_claimed_from_a_process_that_is_gone(
        self, store: Store, processes: FakeProcesses
    ) -> None:
        begin(store)
        claim(store, prefer=2)
        processes.die()
        assert claim(store, prefer=2).member == 2

    def test_a_process_that_may_be_there_keeps_what_it_holds(
        self, store: Store, processes: FakeProcesses
    ) -> None:
        begin(store, members=1)
        lease = claim(store, "stopped")
        processes.switch()
        assert store.seats("lm")[0].worker == "stopped"
        assert none_is_free(store)
        end_turn(store, lease)

    def test_a_lease_is_held_by_the_process_that_last_renewed_it(
        self, store: Store, processes: FakeProcesses
    ) -> None:
        begin(store, members=1)
        lease = claim(store)
        processes.switch()
        lease = store.renew(lease, ttl_s=TTL_S)
        processes.switch()
        assert none_is_free(store)
        end_turn(store, lease)

    def test_releasing_or_renewing_a_lost_lease_does_not_touch_the_one_that_took_over(
        self, store: Store, clock: FakeClock
    ) -> None:
        begin(store, members=1)
        lost, taken = take_over(store, clock)
        store.release(lost)
        with pytest.raises(LeaseLost):
            store.renew(lost, ttl_s=TTL_S)
        assert none_is_free(store)
        end_turn(store, taken)

    def test_what_a_dead_worker_held_can_be_claimed_at_once(self, store: Store) -> None:
        begin(store)
        dead = [claim(store, "dead") for _ in range(2)]
        end_turn(store, claim(store, "alive"))
        assert store.disown("lm", worker="dead") == [0, 1]
        assert store.disown("lm", worker="dead") == []
        with pytest.raises(LeaseLost):
            end_turn(store, dead[0])
        assert [claim(store).member for _ in range(2)] == [0, 1]

    def test_a_lease_says_how_often_workers_fell_silent_in_its_turn(
        self, store: Store, clock: FakeClock
    ) -> None:
        begin(store, members=1)
        leases = []
        for worker in ("gpu-17", "gpu-03", "gpu-17"):
            leases.append(claim(store, worker))
            clock.sleep(TTL_S + 1)
        assert [lease.lost for lease in leases] == [0, 1, 2]
        assert [lease.silent_s for lease in leases] == [None, TTL_S + 1, TTL_S + 1]
        last = store.renew(leases[-1], ttl_s=TTL_S)
        assert last.lost == 2
        end_turn(store, last)
        assert claim(store).lost == 0

    def test_a_worker_that_gives_its_member_back_has_not_fallen_silent(
        self, store: Store, clock: FakeClock
    ) -> None:
        begin(store, members=1)
        _, lease = take_over(store, clock)
        store.release(lease)
        clock.sleep(TTL_S + 1)
        again = claim(store)
        assert (again.lost, again.silent_s) == (1, None)
        store.disown("lm", worker=again.worker)
        assert claim(store).lost == 1

    def test_a_process_that_is_gone_has_not_fallen_silent(
        self, store: Store, clock: FakeClock, processes: FakeProcesses
    ) -> None:
        begin(store, members=1)
        claim(store, "dies")
        processes.die()
        clock.sleep(TTL_S + 1)
        lease = claim(store)
        assert (lease.lost, lease.silent_s) == (0, None)

    def test_a_commit_in_the_midst_of_a_turn_forgets_no_silence(
        self, store: Store, clock: FakeClock
    ) -> None:
        begin(store, members=1)
        _, lease = take_over(store, clock)
        note = Annotated(member=0, data={"raised": True})
        store.commit(lease, [note], [standing_after(store, [note], 0)])
        assert claim(store).lost == 1

    def test_a_clock_that_is_set_neither_ends_a_lease_nor_makes_it_last(
        self, store: Store, clock: FakeClock
    ) -> None:
        begin(store, members=1)
        claim(store, "gpu-17")
        clock.jump(1e6)
        assert none_is_free(store)
        clock.jump(-2e6)
        clock.sleep(TTL_S + 1)
        assert claim(store).worker == "gpu-03"
