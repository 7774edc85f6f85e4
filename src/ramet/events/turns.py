"""Events of one member's turn."""

import math
from collections.abc import Mapping, Sequence

from msgspec import UNSET, UnsetType
from msgspec.structs import replace

from ramet.errors import CorruptLog
from ramet.events.base import Event
from ramet.goals import Goal, metrics_of, sum_violations
from ramet.laws import Count, Digest, Key, check_points, check_row, check_trained, check_turn
from ramet.points import (
    Point,
    final_score,
    has_final_score,
)
from ramet.population import (
    Best,
    Checkpoint,
    Member,
    PastTurn,
)
from ramet.replica import Replica
from ramet.series import Series, find_last


class TurnEnded(Event, frozen=True, kw_only=True, tag=True, gc=False):
    """A member trained for a turn, was scored and checkpointed."""

    # The member's id.
    member: Count
    # The number of its turn, counted from 0.
    turn: Count
    # Steps of the member's budget that are used after the turn.
    trained: Count
    # Steps behind the member's weights after the turn.
    step: Count
    # The scores of the turn. The last is that of ``step``, unless the turn has no score.
    points: tuple[Point, ...]
    # The digest of the checkpoint's bytes.
    digest: Digest
    # What the loop logged beside scores. The population holds the last values of those that the
    # strategy has goals for; no decision reads others.
    metrics: tuple[Series, ...] = ()
    # The key of the stack that the checkpoint was written in; absent if it was written by itself.
    stack: Key | UnsetType = UNSET
    # Its row in the stack; absent as well.
    row: Count | UnsetType = UNSET
    # Whether the turn began with renewed weights; absent if it did not.
    renewed: bool | UnsetType = UNSET

    @property
    def checkpoint(self) -> Checkpoint:
        """The checkpoint that the turn left."""
        return Checkpoint(
            member=self.member,
            turn=self.turn,
            step=self.step,
            digest=self.digest,
            stack=None if self.stack is UNSET else self.stack,
            row=0 if self.row is UNSET else self.row,
        )

    def check(self, replica: Replica) -> None:
        """Refuse a turn that is not the member's next, and scores or steps that do not fit it."""
        before = _check_next(self, replica)
        if self.step <= before.step:
            raise CorruptLog(f"it must end after step {before.step}, but ends at {self.step}")
        check_points(self.points, before.step, self.step)
        if self.stack is UNSET:
            check_row(0 if self.row is UNSET else self.row, None)

    def apply(self, replica: Replica) -> None:
        before, checkpoint = replica.members[self.member], self.checkpoint
        score = final_score(self.points, self.step)
        metrics: dict[str, float | None] = {}
        violation = 0.0
        if score is not None and replica.goals:
            metrics = self._find_metrics(replica.goals)
            violation = sum_violations(replica.goals, score, metrics)
        replica.put(
            replace(
                before,
                turn=self.turn + 1,
                trained=self.trained,
                step=self.step,
                curve=before.curve.extend(self.points),
                untried=False,
                checkpoint=checkpoint,
                attempts=0,
                failing=0,
                lost=False,
                past=(*before.past, self._remember(before))[-replica.remember :]
                if replica.remember
                else (),
                metrics=metrics,
                violation=violation,
            )
        )
        replica.turns += 1
        replica.arrived += 1
        # The new turn may be better than all that were evaluated again.
        replica.confirmation = None
        if before.ranked and score is not None:
            offer(replica, score, checkpoint, metrics)

    def _find_metrics(self, goals: Sequence[Goal]) -> dict[str, float | None]:
        """Return the metrics that a run has goals for, of a turn that ended with a score."""
        last = find_last(self.metrics, self.step)
        names = metrics_of(goals)
        if missing := [name for name in names if name not in last]:
            raise CorruptLog(f"it must end with the metrics {list(names)}, but lacks {missing}")
        return {name: last[name] if math.isfinite(last[name]) else None for name in names}

    def _remember(self, before: Member) -> PastTurn:
        """Return what the population keeps about this turn, if the strategy looks at past turns."""
        after = final_score(self.points, self.step)
        # The one `math.nan`, so that equal turns compare equal.
        lost = math.nan if has_final_score(self.points, self.step) else None
        # An older score says nothing about the weights that the turn began with, and neither does
        # that of weights that were renewed.
        scored = before.curve.steps[-1:] == (before.step,) and self.renewed is not True
        return PastTurn(
            hparams=before.hparams,
            step=before.step,
            steps=self.step - before.step,
            before=before.weights_score if scored else None,
            after=lost if after is None else after,
        )


class AttemptFailed(Event, frozen=True, kw_only=True, tag=True, gc=False):
    """A member's code raised. The member goes on from its last checkpoint and repeats the turn."""

    # The member's id.
    member: Count
    # The number of its turn, counted from 0.
    turn: Count
    # The exception in one line.
    error: str
    # The traceback, as Python prints it.
    traceback: str
    # The file and line of the user's code that raised; "" in logs older than this field.
    where: str = ""

    def check(self, replica: Replica) -> None:
        """Refuse a turn that is not the member's next."""
        check_turn(self.member, self.turn, replica.member(self.member).turn)

    def apply(self, replica: Replica) -> None:
        replica.change(self.member, attempts=replica.members[self.member].attempts + 1)
        replica.failures += 1


class TurnLost(Event, frozen=True, kw_only=True, tag=True, gc=False):
    """A turn was given up: its steps are used up, and its member has no score."""

    # The member's id.
    member: Count
    # The number of its turn, counted from 0.
    turn: Count
    # "failed" (too often), "straggler" (too late for its round), or "fatal" (its workers died).
    why: str
    # Steps of the member's budget that are used after the turn.
    trained: Count

    def check(self, replica: Replica) -> None:
        """Refuse a turn that is not the member's next, and steps that do not fit its budget."""
        _check_next(self, replica)

    def apply(self, replica: Replica) -> None:
        failing = replica.members[self.member].failing + 1
        replica.change(
            self.member,
            turn=self.turn + 1,
            trained=self.trained,
            attempts=0,
            failing=failing,
            lost=True,
            metrics={},
            violation=0.0,
        )
        replica.arrived += 1


class Rested(Event, frozen=True, kw_only=True, tag=True, gc=False):
    """A member does not train in the round that begins. Its steps are used up all the same."""

    # The member's id.
    member: Count
    # The number of its turn, counted from 0.
    turn: Count
    # Steps of the member's budget that are used after the turn.
    trained: Count

    def check(self, replica: Replica) -> None:
        """Refuse a turn that is not the member's next, and steps that do not fit its budget."""
        _check_next(self, replica)

    def apply(self, replica: Replica) -> None:
        replica.change(self.member, turn=self.turn + 1, trained=self.trained)
        replica.arrived += 1


class LeftUnread(Event, frozen=True, kw_only=True, tag=True, gc=False):
    """A loop trained a whole turn without reading this hyperparameter. A log says so once."""

    # The hyperparameter's name.
    name: str

    def apply(self, replica: Replica) -> None:
        unread, space = replica.unread, replica.space
        if self.name not in space:
            raise CorruptLog(f"it must name one of {list(space)}, but names {self.name!r}")
        if self.name not in unread:
            replica.unread = (*unread, self.name)


class CheckpointLost(Event, frozen=True, kw_only=True, tag=True, gc=False):
    """A member's checkpoint could not be read. The next event is the copy it goes on from."""

    # The member's id.
    member: Count
    # The key that the checkpoint's bytes are stored under.
    key: str
    # Why they could not be read.
    error: str

    def apply(self, replica: Replica) -> None:
        """Check the member's id, and change nothing: the copy that follows does."""
        replica.member(self.member)


def offer(
    replica: Replica,
    score: float,
    checkpoint: Checkpoint,
    metrics: Mapping[str, float | None],
) -> None:
    """Take the score of the weights that a turn left for the best, if it is better."""
    if not replica.goals:
        if not replica.is_worse(score):
            replica.offer(Best(score=score, checkpoint=checkpoint))
        return
    finite = {name: value for name, value in metrics.items() if value is not None}
    if len(finite) == len(metrics_of(replica.goals)):
        found = Best(score=score, checkpoint=checkpoint, metrics=finite)
        replica.offer_with_metrics(found)


def _check_next(event: TurnEnded | TurnLost | Rested, replica: Replica) -> Member:
    """Refuse a turn that is not the member's next; return the member as it was before."""
    before = replica.member(event.member)
    check_turn(event.member, event.turn, before.turn)
    check_trained(before.trained, event.trained, replica.steps)
    return before
