"""A run: ask for a turn, train it anywhere, tell how it went. Every engine is built on this."""

import contextlib
import logging
from collections.abc import Iterable, Mapping
from typing import Any

from ramet.blobs.base import Blobs
from ramet.clock import Clock, SystemClock
from ramet.engine.run.checkpoints import Checkpoints, Pruning
from ramet.engine.run.ending import go_on
from ramet.engine.run.failures import Failures
from ramet.engine.run.leases import TurnsOut
from ramet.engine.run.notices import Notices
from ramet.engine.run.opening import Settings, Terms, begin, check_text
from ramet.engine.run.turn import Turn
from ramet.engine.run.unfinished import (
    attempt_failed,
    describe_error,
    give_up,
    indispensable,
    recover,
    stragglers,
    turn_lost,
)
from ramet.errors import StateError, StoreBusy, StoreError, UsageError
from ramet.events import AnyEvent, Conditions, Mapped, StopAsked, Stopped, TurnEnded
from ramet.faults import reach
from ramet.history.result import Result
from ramet.population import Checkpoint, Population
from ramet.state.tree import Tree
from ramet.store.base import Lease, Store
from ramet.strategies.base import NeedsScores

logger = logging.getLogger("ramet")

# How soon a worker that found nothing to do looks again, at first and in the long run.
FIRST_POLL_S, POLL_S = 0.0002, 0.02


class Run:
    """One worker's hold on a run.

    ``ask`` for a turn until there is none, train it however you like, and ``tell`` its scores and
    state, or ``fail`` it. Any number of turns may be out at a time.
    """

    def __init__(
        self,
        settings: Settings,
        failures: Failures | None = None,
        *,
        store: Store,
        blobs: Blobs,
        worker: str,
        existing: Terms = "resume",
        beating: bool = True,
        clock: Clock | None = None,
    ) -> None:
        check_text("worker", worker)
        self.worker, self.failures = worker, failures or Failures()
        self._store, self._blobs = store, blobs
        self._strategy, self._notices = settings.strategy, Notices(strict=self.failures.strict)
        strategy = self._strategy
        self._needs_scores = isinstance(strategy, NeedsScores) and strategy.needs_scores
        self._clock = clock or SystemClock()
        self._journal = begin(settings, store, worker=worker, existing=existing)
        self.opening = self._journal.opening
        self._checkpoints = Checkpoints(blobs, self.name)
        self._pruning = Pruning(self._journal, self._checkpoints)
        if existing != "join":
            go_on(self._journal, target=settings.maximised_target)
        self._out = TurnsOut(
            store,
            run=self.name,
            worker=worker,
            ttl_s=self.failures.lease_ttl_s,
            beating=beating,
            clock=self._clock,
        )
        self._failed_here = 0
        # Whose state the worker last had in its hands.
        self._last: int | None = None

    @property
    def name(self) -> str:
        return self.opening.name

    @property
    def population(self) -> Population:
        """The population as it was at the last call of another method."""
        return self._journal.population

    @property
    def done(self) -> bool:
        """Whether every member has used its budget."""
        self._journal.catch_up()
        return self._journal.done

    @property
    def stopped(self) -> bool:
        """Whether the run is to stop, because somebody asked for it or it reached its target."""
        self._journal.catch_up()
        return self._journal.stopped

    @property
    def over(self) -> bool:
        """Whether there is nothing more to ask for: the run is done, or it has stopped."""
        self._journal.catch_up()
        return self._journal.over

    @property
    def threads(self) -> int | None:
        """The threads of each process that the run keeps to, if any are on record."""
        return self._journal.threads

    @property
    def mapped(self) -> tuple[Mapped, ...]:
        """How many members are mapped at once, as the run keeps to it."""
        return self._journal.mapped

    def keep_to(self, conditions: Conditions) -> None:
        """Record conditions, unless there are some on record."""
        self._journal.append(conditions)

    def __repr__(self) -> str:
        return f"Run({self.name!r}, {len(self.population)} members, {self._journal.turns} turns)"

    def ask(self) -> Turn | None:
        """Return a turn to train; None when the run is over, or until a turn that is out is told.

        With none out, None means that the run is over; ``over`` says so in any case. Waits while
        other workers have all members. Turns that are out stay this worker's for as long as it
        lives.
        """
        self._out.beat_if_late()
        if not self._journal.over:
            self._checkpoints.expect(kept=self._others_were_kept())
        pause_s, since, round_ = FIRST_POLL_S, self._clock.uptime(), self._journal.round
        while True:
            turn = self._claimed()
            if turn is not None or self._out or self._journal.over:
                return turn
            self._clock.sleep(pause_s)
            pause_s = min(2 * pause_s, POLL_S)
            if round_ != self._journal.round:
                round_, since = self._journal.round, self._clock.uptime()
            elif self._waited_long(since):
                self._close_round()
                since = self._clock.uptime()

    def tell(
        self,
        turn: Turn,
        scores: Iterable[tuple[int, Any]] | Any = (),
        *,
        state: Tree,
        metrics: Mapping[str, Any] | None = None,
        applied: Iterable[str] = (),
    ) -> Checkpoint:
        """End a turn: its scores, as (step, score) pairs or one number, and the state it left.

        Scores already reported on the turn need not be told; None says that there is none.
        ``metrics`` are further numbers by name, each one number or (step, value) pairs as well.
        ``applied`` names hyperparameters that took effect without being read from
        ``turn.hparams``. Returns what the state was kept as, which need not be what the member
        goes on from: it may copy another at once.
        """
        self._out.check(turn)
        if state is None:
            raise StateError(
                "a turn must be told with the state it left, which the next one goes on from, but "
                "got None"
            )
        turn.record(scores)
        points = turn.points()
        logged = turn.metrics(metrics)
        unread = self._notices.unread(turn, frozenset(applied), said=self._journal.unread)
        reach("trained")
        kept = self._checkpoints.write(
            state,
            member=turn.member,
            turn=turn.number,
            step=turn.stop,
            others=self._others_were_kept(),
        )
        self._notices.training(turn, kept)
        ended = TurnEnded(
            member=turn.member,
            turn=turn.number,
            trained=turn.trained + turn.steps,
            step=turn.stop,
            points=points,
            digest=kept.digest,
            metrics=logged,
        )
        events: list[AnyEvent] = [ended]
        if turn.stops_run:
            events.append(StopAsked(member=turn.member, turn=turn.number))
        with self._out.ending(turn):
            self._journal.commit(turn.lease, events, over=True, unread=unread)
        self._last = turn.member
        self._notices.without_score(points, turn.stop)
        self._notices.look(self._journal.turns, len(self.opening.births), lambda: self.population)
        self._pruning.prune_if_due()
        return kept

    def fail(self, turn: Turn, error: BaseException | str) -> None:
        """Record that training a turn raised, or why it failed; raise RunFailed when too many do.

        The member is tried again from its last checkpoint, and after too many attempts its turn is
        given up: it then counts as having no finite score, so that the strategy replaces it.
        If the checkpoint cannot be read, call ``recover`` instead, which continues from another.
        Misuse of ramet, a ``UsageError``, is no failure of the member: it is raised again.
        """
        self._out.check(turn)
        self._journal.catch_up()
        if isinstance(error, UsageError):
            # What was written cannot work, and would fail each time that it is tried.
            self.release(turn)
            raise error
        error = RuntimeError(error) if isinstance(error, str) else error
        failed = attempt_failed(error, member=turn.member, turn=turn.number)
        attempts = self._journal.member(turn.member).attempts + 1
        self._failed_here += 1
        fields = {"member": turn.member, "turn": turn.number, "attempt": attempts}
        logger.warning(
            "member %(member)d raised in turn %(turn)d: %(error)s",
            {**fields, "error": describe_error(error)},
            extra=fields,
        )
        events: list[AnyEvent] = [failed]
        too_often = self._journal.turns > 0 and self.failures.gives_up(attempts)
        given_up = too_often and not self._journal.prescribed
        if given_up:
            events.append(turn_lost(self._journal, turn.member, "failed"))
        with self._out.ending(turn):
            self._journal.commit(turn.lease, events, over=given_up)
        if too_often and not given_up:
            raise indispensable(turn.member, turn.number, failed.error) from error
        if given_up:
            self._pruning.prune_if_due()
        self._journal.catch_up()
        self.failures.check(self.population, error, failed_here=self._failed_here)

    def recover(self, turn: Turn, error: StoreError) -> None:
        """Continue the turn's member from another checkpoint, because its own cannot be read.

        ``error`` is what ``turn.saved()`` raised: ``CheckpointMissing`` or ``CheckpointDamaged``.
        The turn is over; ``ask`` returns the member's next one.
        """
        self._out.check(turn)
        self._journal.catch_up()
        with self._out.ending(turn):
            # If the lease was lost, the checkpoint may have been pruned since.
            self.renew(turn)
            recover(self._store, self._journal, self._checkpoints, turn.lease, error)

    def renew(self, turn: Turn) -> None:
        """Renew the lease of a turn that takes long, or raise LeaseLost."""
        self._out.renew(turn)

    def holds(self, turn: Turn) -> bool:
        """Say whether a turn was asked for here and is still out."""
        return turn in self._out

    def release(self, turn: Turn) -> None:
        """Give a turn back untrained."""
        self._out.release(turn)

    def release_all(self) -> None:
        """Give back every turn that is out, as far as the store lets it."""
        self._out.release_all()

    def give_up(self, member: int, *, turn: int, why: str) -> bool:
        """Give up a turn that another worker has or had; say whether it was not over yet."""
        given_up = give_up(
            self._store,
            self._journal,
            member,
            turn=turn,
            why=why,
            ttl_s=self.failures.lease_ttl_s,
        )
        if given_up:
            self._pruning.prune_if_due()
        return given_up

    def disown(self, worker: str) -> list[int]:
        """Take from a worker that is known to be dead what it held; return the members."""
        members = self._store.disown(self.name, worker=worker)
        self._journal.catch_up()
        return members

    def stop(self) -> None:
        """Have all workers stop once their turns are over; opening the run again goes on."""
        self._journal.catch_up()
        self._journal.append(Stopped())

    def prune(self, *, dry_run: bool = False) -> dict[str, int]:
        """Delete the checkpoints that nobody needs; return the size of each by its key."""
        self._journal.catch_up()
        return self._checkpoints.prune(self.population, self.opening.keep, dry_run=dry_run)

    def others(self) -> list[str]:
        """Return the workers that hold members of the run, this one left out."""
        seats = self._store.seats(self.name)
        return sorted({seat.worker for seat in seats if seat.worker} - {self.worker})

    def result(self) -> Result:
        """Return what the run has come to so far."""
        return Result(store=self._store, blobs=self._blobs, name=self.name)

    def _others_were_kept(self) -> bool:
        """Say whether the log names checkpoints, which must then still be there."""
        if not self._journal.names_checkpoints:
            # Others may have ended turns while this worker trained its first.
            self._journal.catch_up()
        return self._journal.names_checkpoints

    def _claimed(self) -> Turn | None:
        """Return a turn if a member is free to train and the run is not stopped."""
        lease = self._store.claim(
            self.name, worker=self.worker, ttl_s=self.failures.lease_ttl_s, prefer=self._last
        )
        try:
            if lease is not None:
                self._journal.check_record(lease)
            self._journal.catch_up(lease.head if lease else None)
            if lease is None:
                return None
            if not self._journal.stopped:
                reach("claimed")
                return self._handed_out(lease)
        except BaseException:
            if lease is not None:
                with contextlib.suppress(Exception):  # Then it runs out; the error comes first.
                    self._store.release(lease)
            raise
        with contextlib.suppress(StoreBusy):  # Then it runs out.
            self._store.release(lease)
        return None

    def _handed_out(self, lease: Lease) -> Turn:
        member = self._journal.member(lease.member)
        turn = Turn(
            member=member,
            lease=lease,
            steps=self._journal.turn_steps(member),
            evaluate_every=self._strategy.evaluate_every,
            draws=self._journal.draws(member),
            mode=self.opening.mode,
            read=self._checkpoints.read,
            needs_scores=self._needs_scores,
        )
        self._out.add(turn)
        return turn

    def _waited_long(self, since: float) -> bool:
        limit = self.failures.straggler_timeout_s
        return (
            limit is not None
            and self._strategy.synchronous
            and self._clock.uptime() - since > limit
        )

    def _close_round(self) -> None:
        """End the round without those who still train."""
        self._journal.catch_up()
        for member in stragglers(self.population):
            self.give_up(member.id, turn=member.turn, why="straggler")
