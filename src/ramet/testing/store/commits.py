"""A commit writes all of its events under a valid lease, or nothing."""

import pytest

from ramet.errors import LeaseLost, LogMoved
from ramet.events import Annotated, AnyEvent, Copied, Explored, Weights
from ramet.store import Standing, Store, standing
from ramet.testing.clock import FakeClock
from ramet.testing.store_steps import (
    TTL_S,
    begin,
    claim,
    end_turn,
    none_is_free,
    read_population,
    seize,
    standing_after,
    standings,
    take_over,
    turn_of,
)


class Commits:
    """Tests of what commits write and when they are refused."""

    def test_i2_a_commit_under_a_lost_lease_writes_nothing(
        self, store: Store, clock: FakeClock
    ) -> None:
        begin(store, members=1)
        lost, _ = take_over(store, clock, late_s=12.3)
        with pytest.raises(
            LeaseLost, match=r"'gpu-17' no longer .* ran out 12\.3 s ago and 'gpu-03'"
        ):
            end_turn(store, lost)
        assert len(store.events("lm")) == 1
        assert standings(store)[0].turn == 0

    def test_i2_a_lease_ends_with_its_commit(self, store: Store) -> None:
        begin(store)
        lease = claim(store)
        end_turn(store, lease)
        with pytest.raises(LeaseLost):
            end_turn(store, lease)

    def test_what_is_written_under_a_lease_says_how_long_it_was_held(
        self, store: Store, clock: FakeClock
    ) -> None:
        begin(store, members=1)
        lease = claim(store)
        clock.sleep(TTL_S - 1)
        lease = store.renew(lease, ttl_s=TTL_S)
        clock.sleep(5)
        end_turn(store, lease)
        opened, ended = store.events("lm")
        assert opened.took_s is None
        assert ended.took_s == pytest.approx(TTL_S + 4)

    def test_a_commit_on_an_old_log_writes_nothing(self, store: Store) -> None:
        begin(store)
        one, other = claim(store), claim(store)
        end_turn(store, one, after=0)
        with pytest.raises(LogMoved, match=r"event 0 .* the last event is 1"):
            end_turn(store, other, after=0)
        assert end_turn(store, other, after=1) == 2

    def test_a_commit_that_changes_another_member_revokes_its_lease(self, store: Store) -> None:
        begin(store)
        one, other = claim(store), claim(store)
        events: list[AnyEvent] = [Explored(member=other.member, hparams={"lr": 0.9})]
        store.commit(one, events, [standing_after(store, events, other.member)])
        with pytest.raises(LeaseLost):
            end_turn(store, other)

    def test_a_commit_that_cannot_be_written_whole_writes_nothing(self, store: Store) -> None:
        begin(store)
        lease = claim(store)
        good = Annotated(member=lease.member, data={"seen": True})
        bad = Annotated(member=lease.member, data=object())
        with pytest.raises(TypeError):
            store.commit(lease, [good, bad], [])
        assert len(store.events("lm")) == 1
        end_turn(store, lease)

    def test_a_commit_that_is_refused_leaves_its_lease_as_it_was(self, store: Store) -> None:
        begin(store, members=1)
        lease = claim(store)
        with pytest.raises(LogMoved):
            end_turn(store, lease, after=7)
        assert none_is_free(store)
        end_turn(store, lease)

    def test_a_score_that_is_not_finite_is_kept_as_one(self, store: Store) -> None:
        begin(store, members=1)
        lease = claim(store)
        turn = turn_of(store, lease, score=None)
        store.commit(lease, [turn], [standing_after(store, [turn], 0)])
        assert standings(store)[0].score is None
        assert read_population(store)[0].curve.points() == ((10, None),)

    def test_a_commit_that_is_refused_begins_no_round(self, store: Store) -> None:
        begin(store, members=1, synchronous=True)
        lease = claim(store)
        with pytest.raises(LogMoved):
            store.commit(lease, [], [Standing(member=0, turn=1)], round=1, after=7)
        store.release(lease)
        assert seize(store, 0, turn=0) is not None

    def test_a_copy_of_what_its_source_no_longer_has_writes_nothing(self, store: Store) -> None:
        begin(store)
        end_turn(store, claim(store))
        source = read_population(store)[0]
        lease = claim(store)
        assert lease.member == 1
        assert source.checkpoint is not None
        weights = Weights(checkpoint=source.checkpoint, points=((10, 0.5),))
        copy = Copied(member=1, source=0, kind="exploit", weights=weights, hparams=None)
        after = [standing_after(store, [copy], 1)]
        store.claim("lm", worker="other", ttl_s=TTL_S)
        end_turn(store, claim(store, "source"))
        with pytest.raises(LogMoved, match="member 0 of run 'lm' went on from 0-0-d"):
            store.commit(lease, [copy], after, copied=[standing(source)])
        assert standings(store)[1] == Standing(member=1)
        now = read_population(store)[0]
        assert store.commit(lease, [copy], after, copied=[standing(now)]) == 3
