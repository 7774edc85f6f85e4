"""Events that follow from a decision of the strategy."""

from typing import Any

import msgspec

from ramet.errors import CorruptLog
from ramet.events.base import Event
from ramet.events.turns import offer
from ramet.laws import Count, check_hparams, check_points, check_row
from ramet.points import Curve, Point, final_score
from ramet.population import Checkpoint
from ramet.replica import Replica
from ramet.space import Hparams, Space

# The kind of the copy by which a member begins to measure the weights of another. It always goes on
# from others' weights, so that none of its training is thrown away if these are earlier ones.
EVALUATION = "evaluation"


class Weights(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Weights that a member takes, and the scores they come with."""

    # The checkpoint that holds them.
    checkpoint: Checkpoint
    # What the member's curve begins with.
    points: tuple[Point, ...]

    def check(self, replica: Replica) -> None:
        """Refuse weights of a turn that has not ended, and scores of later steps than theirs."""
        taken = self.checkpoint
        ended = replica.members[taken.member].turn
        if taken.turn >= ended:
            raise CorruptLog(
                f"its weights must be of a turn that has ended, but turn {taken.turn} of member "
                f"{taken.member} has not"
            )
        check_points(self.points, 0, taken.step)
        check_row(taken.row, taken.stack)


class Copied(Event, frozen=True, kw_only=True, tag=True, gc=False):
    """A member took weights, hyperparameters or both from another, as they were at the decision."""

    # The id of the member that took them.
    member: Count
    # The id of the member that they are from.
    source: Count
    # Why: a strategy's own word, such as "exploit". A member with a checkpoint that cannot be read
    # has a "fallback" to an earlier one of its own, or a "rebirth" from that of another member.
    kind: str
    # None leaves the member's weights as they are.
    weights: Weights | None
    # None leaves the member's hyperparameters as they are.
    hparams: Hparams | None

    def apply(self, replica: Replica) -> None:
        member, source = replica.members[self.member], replica.members[self.source]
        changes: dict[str, Any] = {"copies": member.copies + 1}
        if self.weights is not None:
            self.weights.check(replica)
            if self.kind != EVALUATION:
                replica.undone += max(member.step - self.weights.checkpoint.step, 0)
            score = final_score(self.weights.points, self.weights.checkpoint.step)
            if member.ranked and not source.ranked and score is not None:
                offer(replica, score, self.weights.checkpoint, source.metrics)
            changes |= {
                "checkpoint": self.weights.checkpoint,
                "step": self.weights.checkpoint.step,
                "curve": Curve().extend(self.weights.points),
                "inherited": len(self.weights.points),
                "untried": True,
                "lost": False,
                "reborn": member.trained if self.kind == "rebirth" else member.reborn,
                "metrics": {},
                "violation": 0.0,
            }
        if self.hparams is not None:
            check_hparams(replica.space, self.hparams, self.member)
            changes |= _set(replica.space, self.hparams, source.absent)
        replica.change(self.member, **changes)
        replica.copies += 1


class Explored(Event, frozen=True, kw_only=True, tag=True, gc=False):
    """A member's hyperparameters changed."""

    # The member's id.
    member: Count
    # All of its hyperparameters, changed or not.
    hparams: Hparams

    def apply(self, replica: Replica) -> None:
        check_hparams(replica.space, self.hparams, self.member)
        before = replica.members[self.member]
        known = {**(before.absent or {}), **before.hparams}
        replica.change(self.member, **_set(replica.space, self.hparams, known))


class Annotated(Event, frozen=True, kw_only=True, tag=True, gc=False):
    """A strategy keeps data of its own about a member or the population."""

    # The member's id; None is the population.
    member: Count | None
    # Plain data.
    data: Any

    def apply(self, replica: Replica) -> None:
        if self.member is None:
            replica.data = self.data
        else:
            replica.change(self.member, data=self.data)


class RoundEnded(Event, frozen=True, kw_only=True, tag=True, gc=False):
    """Every member has ended its turn, and the strategy has decided for all of them."""

    # The round's number, counted from 0.
    round: Count

    def apply(self, replica: Replica) -> None:
        if self.round != replica.round:
            raise CorruptLog(f"round {replica.round} must end, but round {self.round} does")
        replica.round = self.round + 1
        replica.arrived = 0
        replica.thin_front()


def _set(space: Space, hparams: Hparams, known: Hparams | None) -> dict[str, Any]:
    """Return what sets hyperparameters, and keeps known values of those that are not there now."""
    if not space.conditional:
        return {"hparams": hparams}
    absent = {name: value for name, value in (known or {}).items() if name not in hparams}
    return {"hparams": hparams, "absent": absent or None}
