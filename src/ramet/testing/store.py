"""What every store must do, as tests: subclass, and give the class a ``store`` fixture.

::

    class TestMyStore(StoreContract):
        @pytest.fixture
        def store(self, clock):
            return MyStore(clock=clock)

The promises are numbered as in docs/architecture.md.
"""

import threading
from collections.abc import Callable

import pytest

from ramet.domains import Uniform
from ramet.errors import LeaseLost, LogMoved, RunNotFound
from ramet.events import Annotated, AnyEvent, Birth, Explored, RunOpened, TurnEnded, fold
from ramet.population import Member
from ramet.space import Space
from ramet.store import Lease, Store
from ramet.testing.clock import FakeClock

TTL_S = 30.0


def opening(name: str = "lm", *, members: int = 3, steps: int = 20) -> RunOpened:
    """Return the opening of a small run."""
    return RunOpened(
        name=name,
        seed=0,
        mode="max",
        steps=steps,
        space=Space(lr=Uniform(0.0, 1.0)).describe(),
        strategy={},
        births=tuple(Birth(hparams={"lr": 0.5}) for _ in range(members)),
    )


def begin(
    store: Store, name: str = "lm", *, members: int = 3, synchronous: bool = False
) -> RunOpened:
    """Open a small run in a store."""
    opened = opening(name, members=members)
    return store.open_run(opened, fold([opened]).members, synchronous=synchronous, worker="first")


def claim(store: Store, worker: str = "gpu-03") -> Lease:
    """Claim a member that must be there."""
    lease = store.claim("lm", worker=worker, ttl_s=TTL_S)
    assert lease is not None
    return lease


def end_turn(store: Store, lease: Lease, *, after: int | None = None) -> int:
    """Commit a turn of ten steps."""
    before = store.members("lm")[lease.member]
    events: list[AnyEvent] = [
        TurnEnded(
            member=lease.member,
            turn=before.turn,
            trained=before.trained + 10,
            step=before.step + 10,
            points=((before.step + 10, 0.5),),
            digest="d",
        )
    ]
    return store.commit(lease, events, [_after(store, events, lease.member)], after=after)


def _after(store: Store, events: list[AnyEvent], member: int) -> Member:
    population = fold(logged.event for logged in store.events("lm"))
    return fold(events, population)[member]


def _at_once(work: Callable[[], None]) -> None:
    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


class StoreContract:
    """The tests. Every store passes all of them."""

    @pytest.fixture
    def clock(self) -> FakeClock:
        return FakeClock()

    @pytest.fixture
    def store(self, clock: FakeClock) -> Store:
        raise NotImplementedError("give the class a store fixture")

    def test_a_run_that_was_not_opened_is_named_in_the_error(self, store: Store) -> None:
        with pytest.raises(RunNotFound, match="'lm' was not"):
            store.claim("lm", worker="gpu-03", ttl_s=TTL_S)

    def test_opening_a_run_again_returns_the_opening_on_record(self, store: Store) -> None:
        first = begin(store)
        again = opening(members=5)
        assert store.open_run(again, (), synchronous=False, worker="late") == first
        assert len(store.members("lm")) == 3

    def test_runs_of_one_store_do_not_meet(self, store: Store) -> None:
        begin(store, "lm")
        begin(store, "other", members=1)
        end_turn(store, claim(store))
        assert [len(store.events(name)) for name in ("lm", "other")] == [2, 1]

    def test_i1_a_member_has_at_most_one_live_lease(self, store: Store) -> None:
        begin(store)
        assert {claim(store).member for _ in range(3)} == {0, 1, 2}
        assert store.claim("lm", worker="gpu-03", ttl_s=TTL_S) is None

    def test_i1_holds_among_threads(self, store: Store) -> None:
        begin(store, members=50)
        claimed: list[int] = []

        def work() -> None:
            while (lease := store.claim("lm", worker="thread", ttl_s=TTL_S)) is not None:
                claimed.append(lease.member)

        _at_once(work)
        assert sorted(claimed) == list(range(50))

    def test_the_member_that_trained_least_is_claimed_first(self, store: Store) -> None:
        begin(store)
        end_turn(store, claim(store))
        assert [claim(store).member for _ in range(3)] == [1, 2, 0]

    def test_a_member_without_budget_is_not_claimed(self, store: Store) -> None:
        begin(store, members=1)
        for _ in range(2):
            end_turn(store, claim(store))
        assert store.claim("lm", worker="gpu-03", ttl_s=TTL_S) is None

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
        assert store.members("lm")[0].turn == 0

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

    def test_a_lease_that_was_extended_is_not_taken_over(
        self, store: Store, clock: FakeClock
    ) -> None:
        begin(store, members=1)
        lease = claim(store)
        clock.sleep(TTL_S - 1)
        lease = store.extend(lease, ttl_s=TTL_S)
        clock.sleep(TTL_S - 1)
        assert store.claim("lm", worker="gpu-03", ttl_s=TTL_S) is None
        end_turn(store, lease)

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
        folded = fold(logged.event for logged in store.events("lm"))
        assert list(folded.members) == store.members("lm")

    def test_i5_what_was_read_does_not_change(self, store: Store) -> None:
        begin(store)
        before = store.events("lm"), store.members("lm")
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
        assert store.members("lm")[0].turn == 1

    def test_i8_events_are_numbered_without_gaps(self, store: Store) -> None:
        begin(store, members=50)

        def work() -> None:
            while (lease := store.claim("lm", worker="thread", ttl_s=TTL_S)) is not None:
                note = Annotated(member=lease.member, data={"seen": True})
                changed = _after(store, [note], lease.member)
                # No budget left, so that each is claimed once.
                done = Member(id=lease.member, hparams=changed.hparams, trained=20)
                store.commit(lease, [note, note], [done])

        _at_once(work)
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
        store.commit(one, events, [_after(store, events, other.member)])
        with pytest.raises(LeaseLost):
            end_turn(store, other)

    def test_in_a_round_a_member_is_claimed_once(self, store: Store) -> None:
        begin(store, members=2, synchronous=True)
        end_turn(store, claim(store))
        lease = claim(store)
        assert lease.member == 1
        assert store.claim("lm", worker="gpu-03", ttl_s=TTL_S) is None
        turn = TurnEnded(member=1, turn=0, trained=10, step=10, points=((10, 0.5),), digest="d")
        store.commit(lease, [turn], [_after(store, [turn], 1)], round=1)
        assert {claim(store).member for _ in range(2)} == {0, 1}

    def test_a_commit_that_cannot_be_written_whole_writes_nothing(self, store: Store) -> None:
        begin(store)
        lease = claim(store)
        good = Annotated(member=lease.member, data={"seen": True})
        bad = Annotated(member=lease.member, data=object())
        with pytest.raises(TypeError):
            store.commit(lease, [good, bad], [])
        assert len(store.events("lm")) == 1
        end_turn(store, lease)

    def test_releasing_or_extending_a_lost_lease_does_not_touch_the_one_that_took_over(
        self, store: Store, clock: FakeClock
    ) -> None:
        begin(store, members=1)
        lost = claim(store, "gpu-17")
        clock.sleep(TTL_S + 1)
        taken = claim(store, "gpu-03")
        store.release(lost)
        with pytest.raises(LeaseLost):
            store.extend(lost, ttl_s=TTL_S)
        assert store.claim("lm", worker="gpu-05", ttl_s=TTL_S) is None
        end_turn(store, taken)

    def test_a_commit_that_is_refused_leaves_its_lease_as_it_was(self, store: Store) -> None:
        begin(store, members=1)
        lease = claim(store)
        with pytest.raises(LogMoved):
            end_turn(store, lease, after=7)
        assert store.claim("lm", worker="gpu-05", ttl_s=TTL_S) is None
        end_turn(store, lease)

    def test_a_score_that_is_not_finite_is_kept_as_one(self, store: Store) -> None:
        begin(store, members=1)
        lease = claim(store)
        turn = TurnEnded(member=0, turn=0, trained=10, step=10, points=((10, None),), digest="d")
        store.commit(lease, [turn], [_after(store, [turn], 0)])
        score = store.members("lm")[0].score
        assert score is not None
        assert score != score  # noqa: PLR0124 - NaN alone is not itself
        assert fold(logged.event for logged in store.events("lm"))[0].curve.points() == (
            (10, None),
        )
