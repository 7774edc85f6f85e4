"""Ends turns: with scores and states, as failed, or because a checkpoint cannot be read."""

import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from ramet.engine.run.checkpoints import Checkpoints, Pruning
from ramet.engine.run.collecting import without_collecting
from ramet.engine.run.failures import Failures
from ramet.engine.run.goals import require_metrics
from ramet.engine.run.journal import Journal, Written
from ramet.engine.run.leases import TurnsOut
from ramet.engine.run.notices import Notices
from ramet.engine.run.run_events import turn_ended
from ramet.engine.run.turn import Turn
from ramet.engine.run.unfinished import (
    attempt_failed,
    indispensable,
    recover,
    turn_lost,
    warn_failed,
    warn_given_up,
)
from ramet.errors import LeaseLost, StateError, StoreError, TurnMisused
from ramet.events import AnyEvent
from ramet.faults import reach
from ramet.history.reported import maximise_points
from ramet.points import Point
from ramet.population import Checkpoint
from ramet.series import Series
from ramet.state.stacks import Stack
from ramet.state.tree import Tree
from ramet.store.base import Store

logger = logging.getLogger("ramet")


class Trained(NamedTuple):
    """A turn that was trained to its end, and what the log keeps of it beside its state."""

    turn: Turn
    points: tuple[Point, ...]
    metrics: tuple[Series, ...]
    # Hyperparameters that the loop did not read.
    unread: list[str]


class Telling:
    """Ends the turns of one worker."""

    def __init__(
        self,
        store: Store,
        journal: Journal,
        checkpoints: Checkpoints,
        out: TurnsOut,
        failures: Failures,
    ) -> None:
        self._store, self._journal, self._checkpoints = store, journal, checkpoints
        self._out, self._failures = out, failures
        self._notices = Notices(strict=failures.strict)
        self._pruning = Pruning(journal, checkpoints)
        self._failed_here = 0

    def end(
        self,
        turn: Turn,
        scores: Iterable[tuple[int, Any]] | Any,
        state: Tree,
        metrics: Mapping[str, Any] | None,
        applied: Iterable[str],
    ) -> Checkpoint:
        """End a turn; return the checkpoint of its state, or raise LeaseLost."""
        self._out.check(turn)
        _check_state(state)
        trained = self._read(turn, scores, metrics, applied)
        reach("trained")
        with self._out.ending(turn):
            [kept] = self._write([trained], [state])
        self._look([trained])
        return kept

    @without_collecting()
    def end_all(
        self, turns: Sequence[Turn], scores: Sequence[Any], states: Sequence[Tree]
    ) -> list[Checkpoint | None]:
        """End turns in one commit; return their checkpoints, with None where a lease was lost."""
        self._check_all(turns, states)
        trained = [self._read(turn, its) for turn, its in zip(turns, scores, strict=True)]
        reach("trained")
        kept: dict[Turn, Checkpoint] = {}
        left = list(range(len(trained)))
        while left:
            ending = [trained[place] for place in left]
            try:
                written = self._write(ending, _select(states, left))
            except LeaseLost:
                held = self._let_go_of_lost([each.turn for each in ending])
                left = [place for place in left if trained[place].turn in held]
                continue
            kept = {each.turn: its for each, its in zip(ending, written, strict=True)}
            self._out.let_go_all(list(kept))
            self._look(ending)
            break
        return [kept.get(each.turn) for each in trained]

    def fail(self, turn: Turn, error: BaseException) -> None:
        """Record that a turn failed; raise RunFailed when too many do."""
        journal, failures = self._journal, self._failures
        failed = attempt_failed(error, member=turn.member, turn=turn.number)
        attempts = journal.member(turn.member).attempts + 1
        self._failed_here += 1
        warn_failed(error, member=turn.member, turn=turn.number, attempt=attempts)
        too_often = journal.turns > 0 and failures.gives_up(attempts)
        gives_up = too_often and not journal.prescribed
        lost = turn_lost(journal, turn.member, "failed") if gives_up else None
        events: list[AnyEvent] = [failed] if lost is None else [failed, lost]
        with self._out.ending(turn):
            journal.commit([Written(turn.lease, events)], over=gives_up)
        if too_often and not gives_up:
            raise indispensable(
                turn.member, turn.number, failed.error, traceback=failed.traceback
            ) from error
        if lost is not None:
            warn_given_up(lost)
            self.prune_if_due()
        journal.catch_up()
        failures.check(journal.population, error, failed_here=self._failed_here)

    def recover(self, turn: Turn, error: StoreError) -> None:
        """Continue a turn's member from another checkpoint, because its own cannot be read."""
        self._journal.catch_up()
        with self._out.ending(turn):
            # If the lease was lost, the checkpoint may have been pruned since.
            self._out.renew(turn)
            recover(self._store, self._journal, self._checkpoints, turn.lease, error)

    def prune_if_due(self) -> None:
        """Delete checkpoints that are no longer needed, from time to time."""
        self._pruning.prune_if_due()

    def _read(
        self,
        turn: Turn,
        scores: Iterable[tuple[int, Any]] | Any,
        metrics: Mapping[str, Any] | None = None,
        applied: Iterable[str] = (),
    ) -> Trained:
        """Return what a turn has come to; refuse one that was not trained to its end."""
        opening = self._journal.opening
        turn.record(scores)
        points = maximise_points(turn.points(), opening.mode)
        logged = turn.metrics(metrics)
        if opening.goals:
            require_metrics(turn, points, logged, opening.goals)
        if unread := turn.hparams.unread():
            unread = self._notices.unread(turn, unread, {*applied}, said=self._journal.unread)
        return Trained(turn, points, logged, unread)

    def _write(self, trained: Sequence[Trained], states: Sequence[Tree]) -> list[Checkpoint]:
        """Write the states, and then commit the turns with what follows from them."""
        turns = [each.turn for each in trained]
        others = self._journal.must_find_checkpoints()
        # Other workers' turns are decided on as late as possible, where they can end at any time.
        beside = len(turns) > 1 and self._journal.synchronous
        writing = self._checkpoints.begin_to_write(states, turns, others=others, beside=beside)
        with writing:
            self._notices.training(turns, writing.kept)
            written = [
                Written(turn.lease, turn_ended(turn, kept=its, points=points, metrics=metrics), un)
                for (turn, points, metrics, un), its in zip(trained, writing.kept, strict=True)
            ]
            # A checkpoint is on the disk before any event names it.
            self._journal.commit(written, over=True, first=writing.wait)
        return writing.kept

    def _check_all(self, turns: Sequence[Turn], states: Sequence[Tree]) -> None:
        for turn in turns:
            self._out.check(turn)
        if len(set(turns)) < len(turns) or len(states) != len(turns):
            raise TurnMisused(
                f"turns that end together must be different ones, each with its state, but "
                f"run.tell_all got {len(set(turns))} different turns of {len(turns)}, and "
                f"{len(states)} states"
            )
        for state in () if isinstance(states, Stack) else states:
            _check_state(state)

    def _let_go_of_lost(self, turns: Sequence[Turn]) -> set[Turn]:
        """Warn of each turn with a lost lease, and let go of it; return the others."""
        held = set(turns)
        for turn in turns:
            try:
                self._out.renew(turn)
            except LeaseLost as lost:
                logger.warning("%s", lost, extra={"member": turn.member, "turn": turn.number})
                self._out.let_go(turn)
                held.discard(turn)
        return held

    def _look(self, trained: Sequence[Trained]) -> None:
        """Give the warnings that turns give rise to, and prune."""
        for each in trained:
            self._notices.without_score(each.points, each.turn.stop)
            self._notices.not_finite(each.turn, each.points)
        self._notices.look(self._journal)
        self.prune_if_due()


def _check_state(state: Tree) -> None:
    if state is None:
        raise StateError(
            "a turn must end with its state, which the next one goes on from, but run.tell got "
            "state=None"
        )


def _select(states: Sequence[Tree], places: Sequence[int]) -> Sequence[Tree]:
    if len(places) == len(states):
        return states
    return states.select(places) if isinstance(states, Stack) else [states[p] for p in places]
