"""A fleet of simulated workers: they claim, train and commit in virtual time, in a real store.

Their claims, renewals, decisions and commits are ramet's own. Only training is simulated: it takes
as long as is drawn, and its scores follow from the hyperparameters. All workers share one replica
of the population, because 10,000 replicas of 10,000 members would not fit into a machine. So what a
worker takes to read the events of the others is not in the figures. No state is written.
"""

import heapq
import itertools
import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import cast

import numpy as np

import ramet
from ramet.digest import digest
from ramet.engine.run.journal import Journal, Written
from ramet.engine.run.leases import RENEWALS_PER_LEASE, lasting_s
from ramet.engine.run.opening import Settings, begin
from ramet.errors import LeaseLost
from ramet.events import TurnEnded
from ramet.population import Member
from ramet.store import Lease, Store
from ramet.testing import FakeClock

RUN, TURN_STEPS = "run", 10
SPACE = ramet.Space(lr=ramet.LogUniform(1e-5, 1.0))
# What a worker that vanishes does: give its turn back, die, or stop for a while with its turn.
WAYS = ("leave", "die", "freeze")


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is simulated. Seconds are those of the virtual time."""

    workers: int
    members: int
    # The turns of each member.
    turns: int
    synchronous: bool = False
    # The mean duration of a turn of the usual worker.
    turn_s: float = 60.0
    # How much workers differ in speed, and turns of one worker in duration: standard deviations of
    # the logarithm.
    spread: float = 0.0
    jitter: float = 0.0
    # How many times longer the turns of the first worker take.
    slow: float = 1.0
    # The mean time after which a worker vanishes, and that after which it is back.
    vanish_every_s: float = math.inf
    away_s: float = 300.0
    # Workers join one by one within this time.
    join_within_s: float = 0.0
    lease_ttl_s: float = 60.0
    seed: int = 0

    @property
    def settings(self) -> Settings:
        """The settings of the run."""
        strategy = ramet.PBT(
            population=self.members, turn_steps=TURN_STEPS, synchronous=self.synchronous
        )
        return Settings(
            name=RUN,
            space=SPACE,
            strategy=strategy,
            steps=TURN_STEPS * self.turns,
            mode="max",
            seed=self.seed,
        )


@dataclass(slots=True, eq=False)
class Worker:
    """A simulated worker."""

    name: str
    # How many times longer than usual its turns take.
    factor: float
    lease: Lease | None = None
    # The member that it trained last.
    last: int | None = None
    # Since when it has been here, and has waited for a member; None if it is not, or does not.
    here_since: float | None = None
    waits_since: float | None = None

    @property
    def turn(self) -> tuple[int, int, float] | None:
        """What no other turn has in common with the one that it trains now, if it does."""
        if self.lease is None or self.here_since is None:
            return None
        return self.lease.member, self.lease.token, self.here_since


@dataclass(slots=True)
class Counts:
    """What happened to the workers."""

    vanished: int = 0
    # Turns of silent workers that others took over, and of these the commits that came after.
    taken_over: int = 0
    refused: int = 0
    # Seconds that workers were here, and that they waited for a member.
    here_s: float = 0.0
    waited_s: float = 0.0
    # The virtual time at which each turn ended, by member and turn.
    ended: dict[tuple[int, int], float] = field(default_factory=dict)


class Fleet:
    """Workers that train one run.

    Args:
        plan: What is simulated.
        store: The store, with the virtual clock as its own.
        clock: The virtual clock.
    """

    def __init__(self, plan: Plan, store: Store, clock: FakeClock) -> None:
        self.plan, self.counts = plan, Counts()
        self._store, self._clock = store, clock
        self.journal: Journal = begin(plan.settings, store, worker="fleet")
        self._rng = np.random.default_rng(plan.seed)
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = itertools.count()
        self._waiting: deque[Worker] = deque()
        self._workers = [self._make_worker(number) for number in range(plan.workers)]

    def train(self) -> float:
        """Train until every member has used its budget; return the virtual seconds that it took."""
        began = self._clock.uptime()
        for number, worker in enumerate(self._workers):
            self._after(self.plan.join_within_s * number / len(self._workers), self._join, worker)
        while not self.journal.done:
            at, _, act = heapq.heappop(self._due)
            self._clock.sleep(max(0.0, at - self._clock.uptime()))
            act()
        for worker in self._workers:
            self._go(worker)
        return self._clock.uptime() - began

    def _make_worker(self, number: int) -> Worker:
        factor = math.exp(self.plan.spread * self._rng.normal())
        return Worker(f"worker-{number}", factor * (1.0 if number else self.plan.slow))

    def _after(self, seconds: float, act: Callable[[Worker], None], worker: Worker) -> None:
        self._at(self._clock.uptime() + seconds, lambda: act(worker))

    def _at(self, time: float, act: Callable[[], None]) -> None:
        heapq.heappush(self._due, (time, next(self._numbers), act))

    def _join(self, worker: Worker) -> None:
        worker.here_since = self._clock.uptime()
        if math.isfinite(self.plan.vanish_every_s):
            self._after(self._rng.exponential(self.plan.vanish_every_s), self._vanish, worker)
        if worker.lease is None:
            self._ask(worker)
        else:
            self._end(worker)

    def _ask(self, worker: Worker) -> None:
        """Claim a member, or wait until something is free: as if the store said so at once."""
        now, ttl_s = self._clock.uptime(), self.plan.lease_ttl_s
        if worker.here_since is None:
            return
        worker.waits_since = now if worker.waits_since is None else worker.waits_since
        lease = self._store.claim(RUN, worker=worker.name, ttl_s=ttl_s, prefer=worker.last)
        if lease is None:
            self._waiting.append(worker)
            return
        self.journal.catch_up(lease.head)
        self.counts.waited_s += now - worker.waits_since
        self.counts.taken_over += lease.silent_s is not None
        worker.lease, worker.waits_since = lease, None
        usual_s = self.plan.turn_s * math.exp(self.plan.jitter * self._rng.normal())
        self._while_held(worker, usual_s * worker.factor, self._end)
        if lease.lost:
            self._renew(worker)
        else:
            self._while_held(worker, ttl_s / RENEWALS_PER_LEASE, self._renew)

    def _while_held(self, worker: Worker, seconds: float, act: Callable[[Worker], None]) -> None:
        """Act after so long, unless the worker has lost its turn or vanished by then."""
        turn = worker.turn

        def act_if_held() -> None:
            if worker.turn == turn:
                act(worker)

        self._at(self._clock.uptime() + seconds, act_if_held)

    def _renew(self, worker: Worker) -> None:
        """Renew a lease, as a worker's heartbeat does."""
        assert worker.lease is not None  # noqa: S101 - it is held
        ttl_s = lasting_s(self.plan.lease_ttl_s, lost=worker.lease.lost)
        for lease in self._store.renew_all([worker.lease], ttl_s=ttl_s):
            worker.lease = lease
            self._while_held(worker, self.plan.lease_ttl_s / RENEWALS_PER_LEASE, self._renew)

    def _end(self, worker: Worker) -> None:
        """Commit a turn with what follows from it, and ask for the next."""
        lease, round_ = worker.lease, self.journal.round
        assert lease is not None  # noqa: S101 - it is held
        worker.lease, worker.last = None, lease.member
        ended = train(self.journal, self.journal.member(lease.member))
        try:
            self.journal.commit([Written(lease, [ended])], over=True)
        except LeaseLost:
            self.counts.refused += 1
        else:
            self.counts.ended[ended.member, ended.turn] = self._clock.uptime()
        if self.journal.round > round_:
            self._wake(len(self._waiting))
        self._ask(worker)

    def _wake(self, most: int = 1) -> None:
        """Have workers that wait look again, those first that have waited longest."""
        for _ in range(min(most, len(self._waiting))):
            self._ask(self._waiting.popleft())

    def _vanish(self, worker: Worker) -> None:
        """Take a worker away, and bring it back after a while."""
        self.counts.vanished += 1
        self._go(worker)
        way, lease = WAYS[self._rng.integers(len(WAYS))], worker.lease
        if worker in self._waiting:
            self._waiting.remove(worker)
        if lease is not None:
            if way == "leave":
                self._store.release(lease)
                self._wake()
            else:
                self._at(lease.expires_at, self._wake)
            worker.lease = lease if way == "freeze" else None
        self._after(self._rng.exponential(self.plan.away_s), self._join, worker)

    def _go(self, worker: Worker) -> None:
        now = self._clock.uptime()
        if worker.here_since is not None:
            self.counts.here_s += now - worker.here_since
        if worker.waits_since is not None:
            self.counts.waited_s += now - worker.waits_since
        worker.here_since = worker.waits_since = None


def train(journal: Journal, member: Member) -> TurnEnded:
    """Return what a turn of a member comes to, whichever worker trains it and whenever."""
    steps = journal.turn_steps(member)
    error = journal.draws(member).training().normal()
    better = 1.0 - abs(math.log10(cast(float, member.hparams["lr"])) + 2.0) / 2.0
    step = member.step + steps
    return TurnEnded(
        member=member.id,
        turn=member.turn,
        trained=member.trained + steps,
        step=step,
        points=((step, (member.weights_score or 0.0) + better + 0.1 * error),),
        digest=digest([f"{member.id} {member.turn}".encode()]),
    )
