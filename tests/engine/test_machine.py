"""Whatever workers do, in whatever order: the log, the store and every worker's view agree."""

import contextlib
import math
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, rule

import ramet
from ramet.blobs import MemoryBlobs
from ramet.errors import CheckpointMissing, LeaseLost, RunFailed
from ramet.events import LeftUnread, fold
from ramet.state.codec import decode
from ramet.store import MemoryStore, standing
from ramet.testing import FakeClock
from tests.engine.chaos import SPACE, Chaos

SCORES = st.sampled_from([0.0, 1.0, 2.0, math.nan, math.inf]) | st.floats(-9, 9)
WORKERS = ("one", "two", "three")


class Workers(RuleBasedStateMachine):
    """Three workers that ask, tell, fail, give back, fall silent and start anew."""

    turns: Bundle[tuple[ramet.Run, ramet.Turn]] = Bundle("turns")

    @initialize(
        synchronous=st.booleans(),
        exploit=st.sampled_from(
            [None, ramet.Truncation(0.5), ramet.BinaryTournament(), ramet.TTest(window=2)]
        ),
        copies=st.sampled_from(["both", "weights", "hparams"]),
        chaos=st.booleans(),
        seed=st.integers(0, 9),
    )
    def begin(self, synchronous: Any, exploit: Any, copies: Any, chaos: Any, seed: int) -> None:
        self.clock = FakeClock()
        self.store, self.blobs = MemoryStore(self.clock), MemoryBlobs()
        self.strategy: ramet.Strategy = ramet.PBT(
            population=4,
            turn_steps=2,
            exploit=exploit,
            copies=copies,
            synchronous=synchronous,
            evaluate_every=1,
        )
        self.strategy = Chaos(synchronous) if chaos else self.strategy
        self.seed = seed
        self.workers = {name: self.open(name) for name in WORKERS}
        self.told = 0

    def open(self, worker: str) -> ramet.Run:
        return ramet.open(
            ramet.Storage(self.store, blobs=self.blobs),
            space=SPACE,
            strategy=self.strategy,
            steps=9,
            mode="max",
            seed=self.seed,
            worker=worker,
            failures=ramet.Failures(tolerate=1.0, lease_ttl_s=30.0),
        )

    @rule(target=turns, name=st.sampled_from(WORKERS))
    def ask(self, name: str) -> Any:
        run = self.workers[name]
        # A worker waits only while others have every member, which would not end here.
        lease = self.store.claim("run", worker="probe", ttl_s=30.0)
        if lease is not None:
            self.store.release(lease)
            return run, run.ask()
        return run, None

    @rule(turn=consumes(turns), early=SCORES, last=SCORES, reads=st.sampled_from(["lr", "n", "ln"]))
    def tell(self, turn: Any, early: float, last: float, reads: str) -> None:
        run, out = turn
        if out is None:
            return
        for name in ("lr", "n"):
            if name[0] in reads:
                assert SPACE[name].contains(out.hparams[name])
        try:
            state = out.load(default={"seen": 0})
        except CheckpointMissing as pruned:
            # Only what a lost turn was to go on from may be gone.
            with pytest.raises(LeaseLost):
                run.recover(out, pruned)
            return
        scores = {out.start + 1: early, out.stop: last}
        try:
            run.tell(out, scores, state={"seen": state["seen"] + out.steps})
            self.told += 1
        except LeaseLost:
            pass

    @rule(turn=consumes(turns))
    def fail(self, turn: Any) -> None:
        run, out = turn
        if out is not None:
            with contextlib.suppress(LeaseLost, RunFailed):
                run.fail(out, "it broke")

    @rule(turn=consumes(turns))
    def give_back(self, turn: Any) -> None:
        run, out = turn
        if out is not None:
            run.release(out)

    @rule(seconds=st.sampled_from([1.0, 31.0]))
    def time_passes(self, seconds: float) -> None:
        self.clock.sleep(seconds)

    @rule(name=st.sampled_from(WORKERS))
    def start_anew(self, name: str) -> None:
        self.workers[name] = self.open(name)

    @invariant()
    def the_log_the_store_and_every_view_agree(self) -> None:
        log = [logged.event for logged in self.store.events("run")]
        folded = fold(log)
        assert [standing(member) for member in folded] == [
            seat.standing for seat in self.store.seats("run")
        ]
        for run in self.workers.values():
            assert run.done == folded.done
            assert run.population == folded
        assert folded.turns == self.told
        assert sum(isinstance(event, LeftUnread) for event in log) == len(folded.unread)

    @invariant()
    def every_member_is_in_the_space_and_has_what_it_goes_on_from(self) -> None:
        for member in fold(logged.event for logged in self.store.events("run")):
            assert SPACE.contains(member.hparams)
            assert member.trained == min(2 * member.turn, 9)
            if member.checkpoint is not None:
                kept = self.blobs.get("run", member.checkpoint.key)
                assert decode(kept) == {"seen": member.step}


TestWorkers = Workers.TestCase
TestWorkers.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
