"""What FIRE keeps about members: ratings of them, and evaluations."""

from typing import Literal, TypeAlias, TypeVar

import msgspec
from msgspec.structs import force_setattr

from ramet.population import Member

# How an evaluation ends: its weights proved better and were copied; its parent or its reference
# lost (if both did, the parent); they proved no better in time, or their curve never overlapped
# that of the reference; or the training failed or diverged, or the parent lost its checkpoint.
# In a run without rounds, a reference may have used its budget before the evaluator has.
Outcome: TypeAlias = Literal[
    "success",
    "parent lost",
    "reference lost",
    "reference finished",
    "no better",
    "no overlap",
    "failed",
]
# The name of "reference lost" in older logs.
TARGET_LOST = "target lost"


class Rating(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """What FIRE keeps about a member of P2, P3, …."""

    # How fast its weights improve, compared with its rivals; None while it has no evaluator.
    fitness: float | None = None
    # The step at which it last lost, or its last evaluation ended.
    seen: int = 0


class Evaluation(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """What FIRE keeps about an evaluator: its present evaluation, or its last one."""

    # The id of the member that it took weights from.
    parent: int
    # The id of the member with the hyperparameters that it trains them with.
    reference: int = msgspec.field(name="target")
    # The step at which it began.
    since: int
    # The step at which it ended; None until then.
    until: int | None = None
    # How it ended; None until then.
    outcome: Outcome | Literal["target lost"] | None = None
    # The best_score_diff to its reference, if it was judged by that.
    lead: float | None = None
    # The binomial_test against its reference, if it was judged by that.
    p: float | None = None

    def __post_init__(self) -> None:
        """Read an outcome of an older log."""
        if self.outcome == TARGET_LOST:
            force_setattr(self, "outcome", "reference lost")


Note = TypeVar("Note", bound=Rating | Evaluation)


def read_note(member: Member, kind: type[Note]) -> Note | None:
    """Return what FIRE keeps about a member, or None if it keeps nothing yet.

    Args:
        member: The member.
        kind: What it keeps.
    """
    return None if member.data is None else msgspec.convert(member.data, kind)
