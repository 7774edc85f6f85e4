"""Whatever is asked of it, in whatever order: the file answers as the store in memory does."""

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from msgspec.structs import replace

from ramet.errors import StoreError
from ramet.events import (
    Annotated,
    AnyEvent,
    Conditions,
    Confirmed,
    Extended,
    Resumed,
    RoundEnded,
    Stopped,
    TurnEnded,
)
from ramet.store import Lease, MemoryStore, RunEvent, SQLiteStore, Standing, Store
from ramet.testing import FakeClock, FakeProcesses
from ramet.testing.store_steps import opening

MEMBERS = 3
OPENED = st.sampled_from(["together", "apart"])
RUNS = st.sampled_from(["together", "apart"] * 5 + ["never opened"])
WORKERS = st.sampled_from(["one", "two", "three"])
MEMBER = st.integers(0, MEMBERS - 1)
SECONDS = st.sampled_from([0.0, 1.0, 7.3, 31.0])
# Steps of a turn; a member's budget is 20.
LENGTHS = st.sampled_from([10, 20])
# How far what a worker knows is behind the log.
BEHIND = st.sampled_from([None, 0, 0, 1])
RUN_EVENTS = st.one_of(
    st.builds(Extended, steps=st.sampled_from([20, 30, 50])),
    st.builds(Stopped),
    st.builds(Resumed),
    st.builds(Conditions, threads=st.sampled_from([1, 4])),
    st.builds(Confirmed, member=MEMBER, turn=st.just(0), repeat=st.just(0), score=st.just(0.5)),
)


leased = precondition(lambda self: self.leases)


class Stores(RuleBasedStateMachine):
    """One store in memory and one in a file, asked the same."""

    @initialize()
    def begin(self) -> None:
        self.folder = Path(tempfile.mkdtemp())
        self.path = self.folder / "runs.db"
        self.clock = FakeClock()
        self.processes = FakeProcesses()
        self.memory = MemoryStore(self.clock, self.processes)
        self.file = self.open()
        self.leases: list[Lease] = []
        self.turns = 0
        for name in ("apart", "together"):
            self.open_run(name, "one", MEMBERS)

    def open(self) -> SQLiteStore:
        return SQLiteStore(
            self.path, durability="process", clock=self.clock, processes=self.processes
        )

    def both(self, ask: Callable[[Store], Any]) -> Any:
        expected = outcome(ask, self.memory)
        assert outcome(ask, self.file) == expected
        return expected[1]

    def lease(self, data: st.DataObject) -> Lease:
        """Choose one of the last leases given, lost or not; most often the last."""
        last = self.leases[:-5:-1]
        return data.draw(st.sampled_from([last[0], last[0], last[0], *last]))

    def standing(self, lease: Lease, member: int) -> Standing:
        return self.memory.seats(lease.run)[member].standing

    @rule(name=OPENED, worker=WORKERS, members=st.integers(MEMBERS, MEMBERS + 1))
    def open_run(self, name: str, worker: str, members: int) -> None:
        opened = opening(name, members=members, synchronous=name == "together")
        self.both(lambda store: store.open_run(opened, worker=worker))

    @rule(
        run=RUNS,
        worker=WORKERS,
        ttl_s=SECONDS,
        prefer=st.none() | MEMBER,
        among=st.none() | st.sets(MEMBER),
    )
    def claim(
        self, run: str, worker: str, ttl_s: float, prefer: int | None, among: set[int] | None
    ) -> None:
        self.remember(
            self.both(
                lambda store: store.claim(
                    run, worker=worker, ttl_s=ttl_s, prefer=prefer, among=among
                )
            )
        )

    @rule(run=RUNS, member=MEMBER, turn=st.integers(0, 2), worker=WORKERS)
    def seize(self, run: str, member: int, turn: int, worker: str) -> None:
        self.remember(
            self.both(lambda store: store.seize(run, member, turn=turn, worker=worker, ttl_s=30.0))
        )

    def remember(self, outcome: Any) -> None:
        if isinstance(outcome, Lease):
            self.leases.append(outcome)

    @leased
    @rule(data=st.data(), ttl_s=SECONDS)
    def renew(self, data: st.DataObject, ttl_s: float) -> None:
        lease = self.lease(data)
        self.remember(self.both(lambda store: store.renew(lease, ttl_s=ttl_s)))

    @leased
    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        lease = self.lease(data)
        self.both(lambda store: store.release(lease))

    @rule(run=RUNS, worker=WORKERS)
    def disown(self, run: str, worker: str) -> None:
        self.both(lambda store: store.disown(run, worker=worker))

    @rule(run=OPENED, worker=WORKERS, prefer=st.none() | MEMBER, length=LENGTHS)
    def train(self, run: str, worker: str, prefer: int | None, length: int) -> None:
        """Have a member trained without anything going wrong, or there would not be much to see."""
        lease = self.both(lambda store: store.claim(run, worker=worker, ttl_s=30.0, prefer=prefer))
        if lease is not None:
            self.commit(lease, *self.turn(lease, length, 0.3), behind=0)

    @rule(run=OPENED)
    def claim_all_one_by_one(self, run: str) -> None:
        ask = lambda store: store.claim(run, worker="three", ttl_s=30.0)  # noqa: E731 - an argument
        while (lease := self.both(ask)) is not None:
            self.remember(lease)

    @rule(run=RUNS, ttl_s=SECONDS)
    def claim_all(self, run: str, ttl_s: float) -> None:
        for lease in self.both(lambda store: store.claim_all(run, worker="two", ttl_s=ttl_s)) or ():
            self.remember(lease)

    @leased
    @rule(ttl_s=SECONDS)
    def renew_all(self, ttl_s: float) -> None:
        leases = [each for each in self.leases[-5:] if each.run == self.leases[-1].run]
        for lease in self.both(lambda store: store.renew_all(leases, ttl_s=ttl_s)):
            self.remember(lease)

    @leased
    @rule()
    def release_all(self) -> None:
        leases = [each for each in self.leases[-3:] if each.run == self.leases[-1].run]
        self.both(lambda store: store.release_all(leases))

    @leased
    @rule(behind=BEHIND, length=LENGTHS)
    def end_turns(self, behind: int | None, length: int) -> None:
        run = self.leases[-1].run
        last = {each.member: each for each in self.leases[-5:] if each.run == run}
        first, *others = last.values()
        turns = [self.turn(each, length, 0.5) for each in last.values()]
        events = [event for written, _ in turns for event in written]
        after = [standing for _, standings in turns for standing in standings]
        self.commit(first, events, after, beside=others, behind=behind)

    @leased
    @rule(data=st.data(), behind=BEHIND, length=LENGTHS, score=st.sampled_from([0.1, None]))
    def end_turn(
        self, data: st.DataObject, behind: int | None, length: int, score: float | None
    ) -> None:
        lease = self.lease(data)
        others = data.draw(st.sets(MEMBER, max_size=2)) - {lease.member}
        changed = [replace(self.standing(lease, other), score=0.7, step=3) for other in others]
        events, standings = self.turn(lease, length, score)
        self.commit(lease, events, [*standings, *changed], behind=behind)

    def turn(
        self, lease: Lease, length: int, score: float | None
    ) -> tuple[list[AnyEvent], list[Standing]]:
        """Return what a worker writes that ends a turn."""
        before = self.standing(lease, lease.member)
        self.turns += 1
        turn = TurnEnded(
            member=lease.member,
            turn=before.turn,
            trained=before.trained + length,
            step=before.step + length,
            points=((before.step + length, score),),
            digest=f"turn-{self.turns}",
        )
        after = Standing(
            member=lease.member,
            trained=turn.trained,
            step=turn.step,
            turn=turn.turn + 1,
            score=score,
            checkpoint=turn.checkpoint.key,
        )
        return [turn], [after]

    @leased
    @rule(data=st.data(), behind=BEHIND)
    def end_round(self, data: st.DataObject, behind: int | None) -> None:
        lease = self.lease(data)
        if lease.run == "together":
            before = [seat.standing for seat in self.memory.seats(lease.run)]
            round_ = max(standing.turn for standing in before)
            after = [replace(standing, turn=round_) for standing in before]
            self.commit(lease, [RoundEnded(round=round_)], after, behind=behind, round=round_)

    @leased
    @rule(data=st.data(), source=MEMBER, moved=st.booleans())
    def copy(self, data: st.DataObject, source: int, *, moved: bool) -> None:
        lease = self.lease(data)
        copied = self.standing(lease, source)
        known = replace(copied, checkpoint="another") if moved else copied
        after = replace(copied, member=lease.member)
        note = Annotated(member=lease.member, data={"copied": source})
        self.commit(lease, [note], [after], copied=[known])

    @leased
    @rule(data=st.data())
    def write_what_cannot_be_written(self, data: st.DataObject) -> None:
        lease = self.lease(data)
        if self.lives(lease):
            note = Annotated(member=lease.member, data=object())
            self.both(lambda store: store.commit(lease, [Stopped(), note], []))

    def lives(self, lease: Lease) -> bool:
        return self.both(lambda store: store.renew(lease, ttl_s=30.0)) != "LeaseLost"

    def commit(
        self,
        lease: Lease,
        events: list[AnyEvent],
        standings: list[Standing],
        *,
        behind: int | None = None,
        **options: Any,
    ) -> None:
        head = self.memory.events(lease.run)[-1].number
        after = None if behind is None else head - behind
        self.both(lambda store: store.commit(lease, events, standings, after=after, **options))

    @rule(run=RUNS, event=RUN_EVENTS, worker=WORKERS, after=st.integers(0, 3))
    def append(self, run: str, event: RunEvent, worker: str, after: int) -> None:
        self.both(lambda store: store.append(run, event, worker=worker, after=after))

    @rule(run=OPENED, event=RUN_EVENTS)
    def append_behind_the_last(self, run: str, event: RunEvent) -> None:
        if run in self.memory.runs():
            head = self.memory.events(run)[-1].number
            self.both(lambda store: store.append(run, event, worker="cli", after=head))

    @rule(seconds=SECONDS)
    def time_passes(self, seconds: float) -> None:
        self.clock.sleep(seconds)

    @rule(seconds=st.sampled_from([-1e6, 1e6]))
    def the_clock_is_set(self, seconds: float) -> None:
        self.clock.jump(seconds)

    @rule()
    def another_process_goes_on(self) -> None:
        self.processes.switch()

    @rule()
    def the_process_dies_and_another_goes_on(self) -> None:
        self.processes.die()

    @rule()
    def only_the_file_is_left(self) -> None:
        # What a dead one leaves: the file and its log, as they are, and nothing in memory.
        left = Path(tempfile.mkdtemp(dir=self.folder))
        for file in self.path.parent.glob("runs.db*"):
            if not file.name.endswith("-shm"):
                shutil.copy(file, left)
        self.file.close()
        self.path = left / "runs.db"
        self.file = self.open()

    @rule()
    def close(self) -> None:
        self.file.close()

    @rule(run=RUNS, after=st.integers(-1, 5))
    def read_on(self, run: str, after: int) -> None:
        self.both(lambda store: store.events(run, after))

    @invariant()
    def they_agree(self) -> None:
        self.both(lambda store: store.runs())
        for run in self.memory.runs():
            self.both(lambda store, run=run: (store.opening(run), store.events(run)))
            self.both(lambda store, run=run: store.seats(run))

    def teardown(self) -> None:
        if hasattr(self, "file"):
            self.file.close()
            shutil.rmtree(self.folder)


def outcome(ask: Callable[[Store], Any], store: Store) -> tuple[str, Any]:
    """Return what a store answers, or how it refuses."""
    try:
        return "answers", ask(store)
    except (StoreError, TypeError) as error:
        return str(error), type(error).__name__


TestStores = Stores.TestCase
TestStores.settings = settings(max_examples=60, stateful_step_count=50, deadline=None)
