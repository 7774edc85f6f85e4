"""A run: ask for a turn, train it anywhere, tell how it went. Every engine is built on this."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

from ramet.blobs.base import Blobs
from ramet.clock import Clock, SystemClock
from ramet.engine.run.checkpoints import Checkpoints
from ramet.engine.run.claims import Claims
from ramet.engine.run.ending import go_on
from ramet.engine.run.failures import Failures
from ramet.engine.run.fitting import fit_settings
from ramet.engine.run.foresight import Foresight
from ramet.engine.run.leases import TurnsOut
from ramet.engine.run.opening import Settings, Terms, begin, check_text
from ramet.engine.run.pauses import Pauses
from ramet.engine.run.telling import Telling
from ramet.engine.run.turn import Turn
from ramet.engine.run.unfinished import give_up, stragglers
from ramet.errors import StoreError, UsageError
from ramet.events import Conditions, Mapped, Stopped
from ramet.history.reported import report_opening, report_population
from ramet.history.result import Result
from ramet.population import Checkpoint, Population
from ramet.state.tree import Tree
from ramet.store.base import Store, find_holders


class Run:
    """One worker's part in a run, as ``ramet.open`` returns it.

    ``ask`` for a turn until there is none, train it however you like, and ``tell`` its scores and
    state, or ``fail`` it. From ``ask`` until then, the turn is *out*. Several may be out at once.
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
        """Begin a run or take part in it, as ``ramet.open`` does.

        Args:
            settings: What makes the run this run.
            failures: How failures and silent workers are tolerated.
            store: The record of the run.
            blobs: Its checkpoints.
            worker: The name of this worker.
            existing: What to do with a run of this name.
            beating: Whether a thread renews leases.
            clock: The clock to wait by; None is the system's.
        """
        check_text("worker", worker)
        settings = fit_settings(settings, store)
        self.worker, self.failures = worker, failures or Failures()
        self._store, self._blobs = store, blobs
        self._clock = clock or SystemClock()
        self._journal = begin(settings, store, worker=worker, existing=existing)
        self.opening = report_opening(self._journal.opening)
        self._checkpoints = Checkpoints(blobs, self.name)
        self._checkpoints.attach(store)
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
        self._claims = Claims(
            store,
            self._journal,
            self._checkpoints,
            strategy=settings.strategy,
            ttl_s=self.failures.lease_ttl_s,
        )
        self._telling = Telling(store, self._journal, self._checkpoints, self._out, self.failures)
        self.foresight = Foresight(self._journal, self._claims, self._out)
        # The member that this worker trained last.
        self._last: int | None = None

    @property
    def name(self) -> str:
        """The run's name in its store."""
        return self.opening.name

    @property
    def population(self) -> Population:
        """The population as it was at the last call of another method.

        Scores are as they were reported. A strategy gets the population of maximised scores.
        """
        return report_population(self._journal.population, self.opening.mode)

    @property
    def done(self) -> bool:
        """Whether every member has used its budget."""
        self._journal.catch_up()
        return self._journal.done

    @property
    def stopped(self) -> bool:
        """Whether the run must stop, because of a request, a training loop or its target."""
        self._journal.catch_up()
        return self._journal.stopped

    @property
    def over(self) -> bool:
        """Whether there are no more turns: the run is done, or it has stopped."""
        self._journal.catch_up()
        return self._journal.over

    @property
    def threads(self) -> int | None:
        """The threads of each process on record, or None."""
        return self._journal.threads

    @property
    def mapped(self) -> tuple[Mapped, ...]:
        """The recorded numbers of members that one program trains at once."""
        return self._journal.mapped

    def keep_to(self, conditions: Conditions) -> None:
        """Record conditions that floats depend on, unless there are some on record."""
        self._journal.append(conditions)

    def __repr__(self) -> str:
        return (
            f"Run({self.name!r}, {len(self.opening.births)} members, {self._journal.turns} turns)"
        )

    def ask(self) -> Turn | None:
        """Return a turn to train, or None if there is none for now.

        If no turn is out, None means that the run is over. If some are out, end one of them and ask
        again; ``over`` says whether the run is over. With no turn out, ``ask`` waits while other
        workers hold all members. Turns that are out stay with this worker as long as it lives.
        """
        turns = self._wait_for(lambda: self._claims.claim(prefer=self._last))
        return turns[0] if turns else None

    def ask_all(self) -> list[Turn]:
        """Return a turn for each member that is free to train; none if there is none for now.

        It waits as ``ask`` does. Tell such turns together, with ``tell_all``.
        """
        return self._wait_for(self._claims.claim_all)

    def ask_only(self, members: Collection[int]) -> None:
        """Have ``ask`` return turns of these members only, from now on.

        Args:
            members: Their ids.
        """
        self._claims.keep_to(members)

    def tell(
        self,
        turn: Turn,
        scores: Iterable[tuple[int, Any]] | Any = (),
        *,
        state: Tree,
        metrics: Mapping[str, Any] | None = None,
        applied: Iterable[str] = (),
    ) -> Checkpoint:
        """End a turn, and return the checkpoint of its state.

        The member need not go on from that checkpoint: it may copy another member at once.

        Args:
            turn: The turn, as ``ask`` returned it.
            scores: (step, score) pairs, or the score of the last step; None says that there is
                none. Scores reported by ``turn.report`` need not be repeated.
            state: The state after the turn, which the next one goes on from.
            metrics: Further numbers by name, each one number or (step, value) pairs.
            applied: Names of hyperparameters that took effect although the loop did not read them
                from ``turn.hparams``.
        """
        kept = self._telling.end(turn, scores, state, metrics, applied)
        self._last = turn.member
        return kept

    def tell_all(
        self, turns: Sequence[Turn], scores: Sequence[Any], *, states: Sequence[Tree]
    ) -> list[Checkpoint | None]:
        """End several turns at once, with one file for their states and one commit.

        In an asynchronous run, the strategy decides about the members in the order of the turns.
        Return the checkpoint of each state. If the lease of a turn is lost, the turn is lost too:
        it gets None instead of a checkpoint, a warning says so, and the other turns end without it.

        Args:
            turns: Different turns, as ``ask`` and ``ask_all`` returned them.
            scores: For each turn its scores, as for ``tell``.
            states: For each turn the state after it, or all of them as a stack.
        """
        return self._telling.end_all(turns, scores, states)

    def fail(self, turn: Turn, error: BaseException | str) -> None:
        """Record that a turn failed; raise RunFailed when too many do.

        The member is tried again from its last checkpoint. After too many attempts its turn is
        given up: the member then has no finite score, so that the strategy replaces it. If the
        checkpoint cannot be read, call ``recover`` instead, which continues from another. Misuse of
        ramet, a ``UsageError``, is no failure of the member: it is raised again.

        Args:
            turn: The turn, as ``ask`` returned it.
            error: What training raised, or the reason in words.
        """
        self._out.check(turn)
        self._journal.catch_up()
        if isinstance(error, UsageError):
            # The code cannot work, and would fail at each attempt.
            self.release(turn)
            raise error
        self._telling.fail(turn, RuntimeError(error) if isinstance(error, str) else error)

    def recover(self, turn: Turn, error: StoreError) -> None:
        """Continue a turn's member from another checkpoint, because its own cannot be read.

        The turn is over; ``ask`` returns the member's next one.

        Args:
            turn: The turn, as ``ask`` returned it.
            error: The ``CheckpointMissing`` or ``CheckpointDamaged`` that ``turn.load`` raised.
        """
        self._out.check(turn)
        self._telling.recover(turn, error)

    def read_all(self, turns: Sequence[Turn]) -> list[Tree | StoreError]:
        """Return the state in each turn's checkpoint, or why it cannot be read.

        Args:
            turns: Turns that have a checkpoint.
        """
        return self._checkpoints.read_all([kept for turn in turns if (kept := turn.checkpoint)])

    def renew(self, turn: Turn) -> None:
        """Renew the lease of a turn that takes long, or raise LeaseLost."""
        self._out.renew(turn)

    def holds(self, turn: Turn) -> bool:
        """Return whether this worker has asked for a turn, and it is still out."""
        return turn in self._out

    def release(self, turn: Turn) -> None:
        """Give a turn back untrained."""
        self._out.release(turn)

    def release_all(self) -> None:
        """Give back every turn that is out; log those that the store does not take."""
        self._out.release_all()

    def give_up(self, member: int, *, turn: int, why: str) -> bool:
        """Give up another worker's turn; return whether it was not over yet.

        Args:
            member: The member's id.
            turn: The number of its turn.
            why: The reason, for the log.
        """
        ttl_s = self.failures.lease_ttl_s
        given_up = give_up(self._store, self._journal, member, turn=turn, why=why, ttl_s=ttl_s)
        if given_up:
            self._telling.prune_if_due()
        return given_up

    def disown(self, worker: str) -> list[int]:
        """Take back the members that a dead worker held, and return their ids.

        Args:
            worker: The worker's name in the log. It must be known to be dead.
        """
        members = self._store.disown(self.name, worker=worker)
        self._journal.catch_up()
        return members

    def stop(self) -> None:
        """Ask all workers to stop after their turns; opening the run again resumes it."""
        self._journal.catch_up()
        self._journal.append(Stopped())

    def prune(self, *, dry_run: bool = False) -> dict[str, int]:
        """Delete checkpoints that are no longer needed; return their sizes in bytes by key.

        Args:
            dry_run: Whether only to return what would be deleted.
        """
        self._journal.catch_up()
        self._journal.check_run()
        return self._checkpoints.prune(self._journal.population, self.opening.keep, dry_run=dry_run)

    def others(self) -> list[str]:
        """Return the names of the other workers that hold members of the run."""
        return sorted(find_holders(self._store.seats(self.name)) - {self.worker})

    def result(self) -> Result:
        """Return the result of the run so far."""
        return Result(store=self._store, blobs=self._blobs, name=self.name)

    def _wait_for(self, claim: Callable[[], list[Turn]]) -> list[Turn]:
        """Claim turns; while other workers have all members and no turn is out, wait for some."""
        self._out.beat_if_late()
        if not self._journal.over:
            self._checkpoints.expect(kept=self._journal.must_find_checkpoints())
        patience_s = self.failures.straggler_timeout_s
        pauses = Pauses(self._store, self._journal, self._clock, patience_s=patience_s)
        since, round_ = self._clock.uptime(), self._journal.round
        while True:
            turns = claim()
            self._out.add_all(turns)
            if turns or self._out or self._journal.over:
                return turns
            pauses.wait()
            if round_ != self._journal.round:
                round_, since = self._journal.round, self._clock.uptime()
            elif self._waits_for_others and self.failures.has_waited_enough(
                self._clock.uptime() - since
            ):
                self._close_round()
                since = self._clock.uptime()

    @property
    def _waits_for_others(self) -> bool:
        """Whether a wait means that other workers train all members that are left of the round."""
        return self._journal.synchronous and self._claims.among is None

    def _close_round(self) -> None:
        """End the round without the members that still train."""
        self._journal.catch_up()
        for member in stragglers(self._journal.population):
            self.give_up(member.id, turn=member.turn, why="straggler")
