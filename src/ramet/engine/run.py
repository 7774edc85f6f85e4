"""A run: ask for a turn, train it anywhere, tell how it went. Every engine is built on this."""

import contextlib
import logging
import traceback
from collections.abc import Iterable, Sequence
from typing import Any

from msgspec.structs import replace

from ramet.blobs.base import Blobs
from ramet.clock import Clock, SystemClock
from ramet.engine.consequences import consequences, touched
from ramet.engine.failures import Failures
from ramet.engine.notices import Notices
from ramet.engine.opening import check_same, check_settings, make_opening
from ramet.engine.turn import Turn
from ramet.errors import (
    LeaseLost,
    LogMoved,
    StateError,
    StrategyError,
    TurnMisused,
)
from ramet.events import (
    AnyEvent,
    AttemptFailed,
    LeftUnread,
    Mode,
    TurnEnded,
    TurnLost,
    fold,
)
from ramet.history.result import Result
from ramet.population import Checkpoint, Population
from ramet.space import Space
from ramet.state.tree import Tree, digest, freeze
from ramet.store.base import Store
from ramet.strategies.base import Strategy

logger = logging.getLogger("ramet")

# How soon a worker that found nothing to do looks again, at first and in the long run.
FIRST_POLL_S, POLL_S = 0.001, 0.05


class Run:
    """One worker's hold on a run.

    ``ask`` for a turn until there is none, train it however you like, and ``tell`` its scores and
    state, or ``fail`` it. Any number of turns may be out at a time.
    """

    def __init__(
        self,
        *,
        store: Store,
        blobs: Blobs,
        name: str,
        space: Space,
        strategy: Strategy,
        steps: int,
        seed: int | None,
        mode: Mode = "max",
        strict: bool = False,
        failures: Failures | None = None,
        worker: str,
        lease_ttl_s: float = 60.0,
        clock: Clock | None = None,
        private: bool = False,
    ) -> None:
        if not lease_ttl_s > 0:
            raise StrategyError(f"lease_ttl_s must be above 0 seconds, but got {lease_ttl_s!r}")
        check_settings(name=name, space=space, strategy=strategy, steps=steps, seed=seed, mode=mode)
        self._store, self._blobs = store, blobs
        self._strategy, self._notices = strategy, Notices(strict=strict)
        self._failures = failures or Failures()
        self._worker, self._lease_ttl_s = worker, lease_ttl_s
        self._clock = clock or SystemClock()
        self._out: dict[int, Turn] = {}
        self._failed_here = 0
        opening = make_opening(
            name=name, space=space, strategy=strategy, steps=steps, seed=seed, mode=mode
        )
        self.opening = store.open_run(
            opening,
            fold([opening]).members,
            synchronous=strategy.synchronous,
            worker=worker,
        )
        check_same(self.opening, opening, seed_given=seed is not None)
        self._last = -1
        # The log's own population knows the space's domains; this one has its code as well.
        self.population = replace(self._caught_up(None), space=space)
        # Only where nobody else can hold a turn is it known here what nobody needs.
        self._private, self._swept_at = private, 0

    @property
    def name(self) -> str:
        return self.opening.name

    @property
    def done(self) -> bool:
        """Whether every member has used its budget."""
        self._catch_up()
        return self.population.done

    def __repr__(self) -> str:
        return f"Run({self.name!r}, {len(self.population)} members, {self.population.turns} turns)"

    def ask(self) -> Turn | None:
        """Return a turn to train; None when the run is over, or until a turn that is out is told.

        With none out, None means over; ``done`` tells in any case. Waits while other workers have
        all members. Asking also holds on to the turns that are out; between two calls that lie
        further apart than ``lease_ttl_s``, ``extend`` does.
        """
        for turn in self._out.values():
            with contextlib.suppress(LeaseLost):  # Telling the turn will say so.
                self.extend(turn)
        pause_s = FIRST_POLL_S
        while True:
            lease = self._store.claim(self.name, worker=self._worker, ttl_s=self._lease_ttl_s)
            self._catch_up()
            if lease is not None:
                member = self.population[lease.member]
                turn = Turn(
                    member=member,
                    lease=lease,
                    steps=min(self._strategy.ready, self.opening.steps - member.trained),
                    evaluate_every=self._strategy.evaluate_every,
                    seed=self.opening.seed,
                    mode=self.opening.mode,
                    read=self._blobs.get,
                )
                self._out[turn.member] = turn
                return turn
            if self._out or self.population.done:
                return None
            self._clock.sleep(pause_s)
            pause_s = min(2 * pause_s, POLL_S)

    def tell(
        self,
        turn: Turn,
        scores: Iterable[tuple[int, Any]] | Any = (),
        *,
        state: Tree,
        applied: Iterable[str] = (),
    ) -> Checkpoint:
        """End a turn: its scores, as (step, score) pairs or one number, and the state it left.

        Scores already reported on the turn need not be told. ``applied`` names hyperparameters
        that took effect without being read from ``turn.hparams``. Returns what the state was kept
        as, which need not be what the member goes on from: it may copy another at once.
        """
        self._check_out(turn)
        if state is None:
            raise StateError(
                "a turn must be told with the state it left, which the next one goes on from, but "
                "got None"
            )
        turn.record(scores)
        points = turn.points()
        unread = self._notices.unread(turn, frozenset(applied), said=self.population.unread)
        ended = TurnEnded(
            member=turn.member,
            turn=turn.number,
            trained=turn.trained + turn.steps,
            step=turn.stop,
            points=points,
            digest=self._keep(turn, state),
        )
        self._commit(turn, [ended], over=True, unread=unread)
        self._notices.scores(self.population)
        self._sweep()
        return ended.checkpoint

    def fail(self, turn: Turn, error: BaseException | str) -> None:
        """Record that training a turn raised, or why it failed; raise RunFailed when too many do.

        The member is tried again from its last checkpoint, and after too many attempts its turn is
        given up: it then counts as having no finite score, so that the strategy replaces it.
        """
        self._check_out(turn)
        self._catch_up()
        error = RuntimeError(error) if isinstance(error, str) else error
        what = "".join(traceback.format_exception_only(error)).strip()
        text = "".join(traceback.format_exception(error))
        # A log holds no half characters, which a file's name in a traceback may.
        what, text = (part.encode(errors="replace").decode() for part in (what, text))
        event = AttemptFailed(member=turn.member, turn=turn.number, error=what, traceback=text)
        attempts = self.population[turn.member].attempts + 1
        self._failed_here += 1
        fields = {"member": turn.member, "turn": turn.number, "attempt": attempts}
        logger.warning(
            "member %(member)d raised in turn %(turn)d: %(error)s",
            {**fields, "error": what},
            extra=fields,
        )
        events: list[AnyEvent] = [event]
        given_up = self.population.turns > 0 and self._failures.given_up(attempts)
        if given_up:
            trained = turn.trained + turn.steps
            events.append(TurnLost(member=turn.member, turn=turn.number, trained=trained))
        seen = self._commit(turn, events, over=given_up)
        self._failures.check(seen, error, failed_here=self._failed_here)

    def extend(self, turn: Turn) -> None:
        """Hold on to a turn that takes long, or raise LeaseLost."""
        turn.lease = self._store.extend(turn.lease, ttl_s=self._lease_ttl_s)

    def holds(self, turn: Turn) -> bool:
        """Say whether a turn was asked for here and is still out."""
        return self._out.get(turn.member) is turn

    def release(self, turn: Turn) -> None:
        """Give a turn back untrained."""
        self._let_go(turn)
        self._store.release(turn.lease)

    def release_all(self) -> None:
        """Give back every turn that is out."""
        for turn in list(self._out.values()):
            self.release(turn)

    def result(self) -> Result:
        """Return what the run has come to so far."""
        self._catch_up()
        return Result(store=self._store, blobs=self._blobs, name=self.name)

    def _commit(
        self, turn: Turn, events: Sequence[AnyEvent], *, over: bool, unread: Sequence[str] = ()
    ) -> Population:
        """Write what happened and, if the turn is over, what follows; return what was seen."""
        while True:
            self._catch_up()
            news = [LeftUnread(name=name) for name in unread if name not in self.population.unread]
            written: list[AnyEvent] = [*news, *events]
            seen = after = fold(written, self.population)
            if over:
                follows = consequences(self._strategy, seen, turn.member, seed=self.opening.seed)
                after = fold(follows, seen)
                written += follows
            try:
                last = self._store.commit(
                    turn.lease,
                    written,
                    touched(written, after),
                    round=after.round if after.round > self.population.round else None,
                    after=self._last if self._strategy.synchronous else None,
                )
            except LogMoved:
                continue
            except LeaseLost:
                self._let_go(turn)
                raise
            self._let_go(turn)
            if last == self._last + len(written):
                self._last, self.population = last, after
            return seen

    def _keep(self, turn: Turn, state: Tree) -> str:
        """Keep a state before any event names it."""
        frozen = freeze(state)
        name = digest(frozen)
        if turn.checkpoint is not None:
            self._notices.training(turn, changed=turn.checkpoint.digest != name)
        self._blobs.put(name, frozen)
        return name

    def _catch_up(self) -> None:
        self.population = self._caught_up(self.population)

    def _caught_up(self, population: Population | None) -> Population:
        news = self._store.events(self.name, self._last)
        if not news and population is not None:
            return population
        self._last += len(news)
        return fold([logged.event for logged in news], population)

    def _sweep(self) -> None:
        """Drop the checkpoints that nothing refers to, every so many turns."""
        if not self._private or self.population.turns - self._swept_at < 2 * len(self.population):
            return
        self._swept_at = self.population.turns
        kept = [member.checkpoint for member in self.population]
        if self.population.best is not None:
            kept.append(self.population.best.checkpoint)
        self._blobs.sweep({checkpoint.digest for checkpoint in kept if checkpoint is not None})

    def _let_go(self, turn: Turn) -> None:
        turn.over = True
        if self.holds(turn):
            del self._out[turn.member]

    def _check_out(self, turn: Turn) -> None:
        if self.holds(turn):
            return
        which = f"turn {turn.number} of member {turn.member} of run {self.name!r}"
        if turn.over:
            raise TurnMisused(f"a turn must be told once, but {which} is over already")
        raise LeaseLost(
            f"worker {self._worker!r} does not hold {which}: it was asked for elsewhere, or its "
            f"lease ran out and the member was handed out again. Nothing was written. If a turn "
            f"can pause for longer than its lease lasts, raise lease_ttl_s"
        )
