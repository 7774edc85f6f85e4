"""What every store must do, as tests: subclass, and give the class a ``store`` fixture.

::

    class TestMyStore(StoreContract):
        @pytest.fixture
        def store(self, clock, processes):
            return MyStore(clock=clock, processes=processes)

The promises are numbered as in docs/architecture.md.
"""

import math
from collections.abc import Callable

import pytest
from msgspec.structs import replace

from ramet.errors import LeaseLost, LogMoved, RunNotFound
from ramet.events import (
    Annotated,
    AnyEvent,
    Birth,
    Copied,
    Explored,
    Extended,
    Rested,
    Stopped,
    Weights,
)
from ramet.store import Lease, Standing, Store, standing
from ramet.store.summary import summed_up
from ramet.testing.clock import FakeClock
from ramet.testing.processes import FakeProcesses
from ramet.testing.store_steps import (
    TTL_S,
    at_once,
    begin,
    claim,
    claims,
    end_turn,
    folded,
    nobody_is_free,
    opening,
    seize,
    standing_after,
    standings,
    turn_of,
)


class StoreContract:
    """The tests. Every store passes all of them."""

    @pytest.fixture
    def clock(self) -> FakeClock:
        return FakeClock()

    @pytest.fixture
    def processes(self) -> FakeProcesses:
        return FakeProcesses()

    @pytest.fixture
    def store(self, clock: FakeClock, processes: FakeProcesses) -> Store:
        raise NotImplementedError("give the class a store fixture")

    def test_a_run_that_was_not_opened_is_named_in_the_error(self, store: Store) -> None:
        with pytest.raises(RunNotFound, match="'lm' was not"):
            store.claim("lm", worker="gpu-03", ttl_s=TTL_S)

    def test_opening_a_run_again_returns_the_opening_on_record(self, store: Store) -> None:
        first = begin(store)
        assert store.open_run(opening(members=5), worker="late") == first
        assert store.opening("lm") == first
        assert len(standings(store)) == 3

    def test_an_opening_is_what_its_first_event_is_read_as(self, store: Store) -> None:
        births = (Birth(hparams={"lr": 0.5}, data=(1, math.nan)),)
        returned = store.open_run(replace(opening(), births=births), worker="first")
        read = store.events("lm")[0].event
        assert [returned, store.opening("lm"), store.open_run(opening(), worker="late")] == [
            read
        ] * 3

    def test_every_verb_names_the_run_that_was_not_opened(self, store: Store) -> None:
        begin(store, "other")
        lease = Lease(
            run="lm", member=0, worker="gpu-03", token=1, given_at=0.0, expires_at=0.0, head=0
        )
        verbs: list[Callable[[], object]] = [
            lambda: store.opening("lm"),
            lambda: store.claim("lm", worker="gpu-03", ttl_s=TTL_S),
            lambda: store.seize("lm", 0, turn=0, worker="gpu-03", ttl_s=TTL_S),
            lambda: store.renew(lease, ttl_s=TTL_S),
            lambda: store.release(lease),
            lambda: store.disown("lm", worker="gpu-03"),
            lambda: store.commit(lease, [], []),
            lambda: store.append("lm", Stopped(), worker="cli", after=0),
            lambda: store.events("lm"),
            lambda: store.summary("lm"),
            lambda: store.seats("lm"),
        ]
        for verb in verbs:
            with pytest.raises(RunNotFound, match=r"'lm' was not; this store has \['other'\]"):
                verb()

    def test_runs_of_one_store_do_not_meet(self, store: Store) -> None:
        begin(store, "lm")
        begin(store, "other", members=1)
        end_turn(store, claim(store))
        assert [len(store.events(name)) for name in ("lm", "other")] == [2, 1]
        assert store.runs() == ["lm", "other"]

    def test_i1_a_member_has_at_most_one_live_lease(self, store: Store) -> None:
        begin(store)
        assert {claim(store).member for _ in range(3)} == {0, 1, 2}
        assert nobody_is_free(store)

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
        assert nobody_is_free(store)

    def test_i2_a_commit_under_a_lost_lease_writes_nothing(
        self, store: Store, clock: FakeClock
    ) -> None:
        begin(store, members=1)
        lost = claim(store, "gpu-17")
        clock.sleep(TTL_S + 12.3)
        claim(store, "gpu-03")
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

    def test_a_lease_that_ran_out_still_commits_while_nobody_took_over(
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
        assert nobody_is_free(store)
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

    def test_a_released_member_can_be_claimed_at_once(self, store: Store) -> None:
        begin(store, members=1)
        lease = claim(store)
        store.release(lease)
        store.release(lease)
        assert claim(store).token > lease.token

    def test_i4_the_members_are_what_the_events_lead_to(self, store: Store) -> None:
        begin(store)
        for _ in range(4):
            end_turn(store, claim(store))
        assert [standing(member) for member in folded(store)] == standings(store)

    def test_i5_what_was_read_does_not_change(self, store: Store) -> None:
        begin(store)
        before = store.events("lm"), store.seats("lm")
        copies = list(before[0]), list(before[1])
        end_turn(store, claim(store))
        assert before == copies

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
        assert nobody_is_free(store)
        end_turn(store, lease)

    def test_a_lease_is_held_by_the_process_that_last_renewed_it(
        self, store: Store, processes: FakeProcesses
    ) -> None:
        begin(store, members=1)
        lease = claim(store)
        processes.switch()
        lease = store.renew(lease, ttl_s=TTL_S)
        processes.switch()
        assert nobody_is_free(store)
        end_turn(store, lease)

    def test_i8_events_are_numbered_without_gaps(self, store: Store) -> None:
        begin(store, members=50)

        def work() -> None:
            for lease in claims(store):
                note = Annotated(member=lease.member, data={"seen": True})
                # No budget left, so that each is claimed once.
                done = Standing(member=lease.member, trained=20)
                store.commit(lease, [note, note], [done])

        at_once(work)
        log = store.events("lm")
        assert [logged.number for logged in log] == list(range(101))
        # The two events of a commit stand together.
        owners = [logged.event.member for logged in log[1:]]  # type: ignore[union-attr]  # all are notes
        assert owners[::2] == owners[1::2]

    def test_reading_goes_on_behind_what_was_read(self, store: Store) -> None:
        begin(store)
        last = end_turn(store, claim(store))
        assert store.events("lm", last) == []
        end_turn(store, claim(store))
        assert [logged.number for logged in store.events("lm", last)] == [last + 1]

    def test_a_part_of_the_log_is_its_first_events(self, store: Store) -> None:
        begin(store)
        for _ in range(3):
            end_turn(store, claim(store))
        assert [logged.number for logged in store.events("lm", 0, most=2)] == [1, 2]
        assert [logged.number for logged in store.events("lm", 1, most=5)] == [2, 3]
        assert store.events("lm", 3, most=5) == []

    def test_a_summary_is_what_the_log_leads_to(self, store: Store) -> None:
        begin(store)
        lease = claim(store)
        note = Annotated(member=lease.member, data="seen")
        # As many as a run of some hours has.
        last = store.commit(lease, [note] * 5_000, [])
        known = store.summary("lm")
        if known is not None:
            assert known.last <= last
            assert known == summed_up(None, store.events("lm", most=known.last + 1), "lm")

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

    def test_in_a_round_a_member_is_claimed_once(self, store: Store) -> None:
        begin(store, members=2, synchronous=True)
        end_turn(store, claim(store))
        lease = claim(store)
        assert lease.member == 1
        assert nobody_is_free(store)
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
        assert nobody_is_free(store)
        assert seize(store, 0, turn=1) is None
        turn = turn_of(store, lease)
        rest = Rested(member=2, turn=1, trained=20)
        after = [standing_after(store, [turn, rest], member) for member in (1, 2)]
        store.commit(lease, [turn, rest], after, round=1)
        assert [lease.member for lease in claims(store)] == [0, 1]

    def test_a_commit_that_cannot_be_written_whole_writes_nothing(self, store: Store) -> None:
        begin(store)
        lease = claim(store)
        good = Annotated(member=lease.member, data={"seen": True})
        bad = Annotated(member=lease.member, data=object())
        with pytest.raises(TypeError):
            store.commit(lease, [good, bad], [])
        assert len(store.events("lm")) == 1
        end_turn(store, lease)

    def test_releasing_or_renewing_a_lost_lease_does_not_touch_the_one_that_took_over(
        self, store: Store, clock: FakeClock
    ) -> None:
        begin(store, members=1)
        lost = claim(store, "gpu-17")
        clock.sleep(TTL_S + 1)
        taken = claim(store, "gpu-03")
        store.release(lost)
        with pytest.raises(LeaseLost):
            store.renew(lost, ttl_s=TTL_S)
        assert nobody_is_free(store)
        end_turn(store, taken)

    def test_a_commit_that_is_refused_leaves_its_lease_as_it_was(self, store: Store) -> None:
        begin(store, members=1)
        lease = claim(store)
        with pytest.raises(LogMoved):
            end_turn(store, lease, after=7)
        assert nobody_is_free(store)
        end_turn(store, lease)

    def test_a_score_that_is_not_finite_is_kept_as_one(self, store: Store) -> None:
        begin(store, members=1)
        lease = claim(store)
        turn = turn_of(store, lease, score=None)
        store.commit(lease, [turn], [standing_after(store, [turn], 0)])
        assert standings(store)[0].score is None
        assert folded(store)[0].curve.points() == ((10, None),)

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

    def test_a_commit_that_is_refused_begins_no_round(self, store: Store) -> None:
        begin(store, members=1, synchronous=True)
        lease = claim(store)
        with pytest.raises(LogMoved):
            store.commit(lease, [], [Standing(member=0, turn=1)], round=1, after=7)
        store.release(lease)
        assert seize(store, 0, turn=0) is not None

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

    def test_what_a_dead_worker_held_can_be_claimed_at_once(self, store: Store) -> None:
        begin(store)
        dead = [claim(store, "dead") for _ in range(2)]
        end_turn(store, claim(store, "alive"))
        assert store.disown("lm", worker="dead") == [0, 1]
        assert store.disown("lm", worker="dead") == []
        with pytest.raises(LeaseLost):
            end_turn(store, dead[0])
        assert [claim(store).member for _ in range(2)] == [0, 1]

    def test_a_copy_of_what_its_source_no_longer_has_writes_nothing(self, store: Store) -> None:
        begin(store)
        end_turn(store, claim(store))
        source = folded(store)[0]
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
        now = folded(store)[0]
        assert store.commit(lease, [copy], after, copied=[standing(now)]) == 3

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
        claim(store, "gpu-17")
        clock.sleep(TTL_S + 1)
        lease = claim(store)
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
        claim(store, "gpu-17")
        clock.sleep(TTL_S + 1)
        lease = claim(store)
        note = Annotated(member=0, data={"raised": True})
        store.commit(lease, [note], [standing_after(store, [note], 0)])
        assert claim(store).lost == 1

    def test_a_seat_tells_who_is_at_work_and_since_when_nothing_was_heard(
        self, store: Store, clock: FakeClock
    ) -> None:
        begin(store)
        lease = claim(store, "gpu-17")
        clock.sleep(10)
        assert store.seats("lm")[0].worker == "gpu-17"
        assert store.seats("lm")[0].silent_s == 10
        store.renew(lease, ttl_s=TTL_S)
        assert store.seats("lm")[0].silent_s == 0
        clock.sleep(TTL_S + 1)
        assert store.seats("lm")[0].worker is None

    def test_an_extended_run_goes_on(self, store: Store) -> None:
        begin(store, members=1)
        for _ in range(2):
            end_turn(store, claim(store))
        assert store.append("lm", Extended(steps=30), worker="cli", after=2) == 3
        end_turn(store, claim(store))
        assert nobody_is_free(store)
        assert folded(store).steps == 30

    def test_an_event_of_the_run_is_not_written_on_an_old_log(self, store: Store) -> None:
        begin(store)
        end_turn(store, claim(store))
        with pytest.raises(LogMoved):
            store.append("lm", Stopped(), worker="cli", after=0)
        store.append("lm", Stopped(), worker="cli", after=1)
        assert folded(store).stopped

    def test_a_clock_that_is_set_neither_ends_a_lease_nor_makes_it_last(
        self, store: Store, clock: FakeClock
    ) -> None:
        begin(store, members=1)
        claim(store, "gpu-17")
        clock.jump(1e6)
        assert nobody_is_free(store)
        clock.jump(-2e6)
        clock.sleep(TTL_S + 1)
        assert claim(store).worker == "gpu-03"
