"""A worker claims the free member that has trained least."""

import pytest
from msgspec.structs import replace

from ramet.errors import LeaseLost
from ramet.events import Birth, Rested
from ramet.store import Standing, Store
from ramet.testing.clock import FakeClock
from ramet.testing.store_steps import (
    TTL_S,
    at_once,
    begin,
    claim,
    claims,
    end_turn,
    none_is_free,
    opening,
    seize,
    standing_after,
    standings,
    turn_of,
)


class Claims:
    """Tests of which member a claim returns."""

    def test_i1_a_member_has_at_most_one_live_lease(self, store: Store) -> None:
        begin(store)
        assert {claim(store).member for _ in range(3)} == {0, 1, 2}
        assert none_is_free(store)

    def test_i1_holds_among_threads(self, store: Store) -> None:
        begin(store, members=50)
        claimed: list[int] = []

        def work() -> None:
            claimed.extend([lease.member for lease in claims(store)])

        at_once(work)
        assert sorted(claimed) == list(range(50))

    def test_the_member_that_trained_least_is_claimed_first(self, store: Store) -> None:
        begin(store)
        end_turn(store, claim(store))
        assert [claim(store).member for _ in range(3)] == [1, 2, 0]

    def test_a_member_without_budget_is_not_claimed(self, store: Store) -> None:
        begin(store, members=1)
        for _ in range(2):
            end_turn(store, claim(store))
        assert none_is_free(store)

    def test_in_a_round_a_member_is_claimed_once(self, store: Store) -> None:
        begin(store, members=2, synchronous=True)
        end_turn(store, claim(store))
        lease = claim(store)
        assert lease.member == 1
        assert none_is_free(store)
        turn = turn_of(store, lease)
        store.commit(lease, [turn], [standing_after(store, [turn], 1)], round=1)
        assert {claim(store).member for _ in range(2)} == {0, 1}

    def test_who_rests_through_a_round_is_claimed_in_the_next(self, store: Store) -> None:
        births = tuple(Birth(hparams={"lr": 0.5}, rests=id_ != 1) for id_ in range(3))
        store.open_run(replace(opening(synchronous=True), births=births), worker="first")
        assert [(there.trained, there.turn) for there in standings(store)] == [
            (10, 1),
            (0, 0),
            (10, 1),
        ]
        lease = claim(store)
        assert lease.member == 1
        assert none_is_free(store)
        assert seize(store, 0, turn=1) is None
        turn = turn_of(store, lease)
        rest = Rested(member=2, turn=1, trained=20)
        after = [standing_after(store, [turn, rest], member) for member in (1, 2)]
        store.commit(lease, [turn, rest], after, round=1)
        assert [lease.member for lease in claims(store)] == [0, 1]

    def test_of_two_that_trained_equally_little_the_preferred_one_is_claimed(
        self, store: Store
    ) -> None:
        begin(store)
        for _ in range(2):
            end_turn(store, claim(store))
        assert [claim(store, prefer=member).member for member in (1, 1, 0)] == [2, 1, 0]

    def test_the_preferred_member_is_claimed_only_if_it_is_free(self, store: Store) -> None:
        begin(store, synchronous=True)
        # As after a turn that spent nothing.
        store.commit(claim(store), [], [Standing(member=0, turn=1)])
        claim(store)
        for prefer in (0, 1):
            lease = claim(store, prefer=prefer)
            assert lease.member == 2
            store.release(lease)

    def test_a_claim_among_some_members_leaves_the_others_to_others(self, store: Store) -> None:
        begin(store, members=4)
        end_turn(store, claim(store, among=[1]))
        # Among those that trained as little, the preferred one; and one that trained more, last.
        claimed = [claim(store, among=[1, 2, 3], prefer=prefer).member for prefer in (3, 1, 1)]
        assert claimed == [3, 2, 1]
        assert store.claim("lm", worker="gpu-03", ttl_s=TTL_S, among=[1, 2, 3]) is None
        assert store.claim("lm", worker="gpu-03", ttl_s=TTL_S, among=[]) is None
        assert claim(store).member == 0

    def test_a_claim_among_some_members_takes_over_from_a_silent_worker(
        self, store: Store, clock: FakeClock
    ) -> None:
        begin(store)
        lost = claim(store, "gpu-17", among=[2])
        assert store.claim("lm", worker="gpu-03", ttl_s=TTL_S, among=[2]) is None
        clock.sleep(TTL_S + 1.0)
        lease = claim(store, among=[2])
        assert (lease.member, lease.lost) == (2, 1)
        with pytest.raises(LeaseLost, match="'gpu-03' holds it now"):
            end_turn(store, lost)

    def test_a_member_whose_turn_is_under_way_can_be_seized(self, store: Store) -> None:
        begin(store, synchronous=True)
        slow = claim(store, "slow")
        assert seize(store, 0, turn=1) is None
        lease = seize(store, 0, turn=0)
        assert lease is not None
        with pytest.raises(LeaseLost, match="'gpu-03' holds it now"):
            end_turn(store, slow)
        end_turn(store, lease)
        assert seize(store, 0, turn=0) is None
        assert seize(store, 0, turn=1) is None
