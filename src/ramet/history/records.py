"""Copies and changes of hyperparameters, as a lineage lists them."""

from typing import NamedTuple

from ramet.domains import Value
from ramet.population import Checkpoint
from ramet.space import Hparams


class CopyRecord(NamedTuple):
    """A copy that a member made of another one.

    Args:
        member: The id of the member that copied.
        source: The id of the member that was copied.
        kind: Why: "exploit", or what the strategy calls it; "fallback" or "rebirth" if the
            member's own checkpoint could not be read.
        turn: The number of the member's next turn.
        trained: Steps of its budget that the member had used.
        weights: The checkpoint that it copied; None if it copied no weights.
        hparams: The hyperparameters that it copied; None if it copied none.
    """

    member: int
    source: int
    kind: str
    turn: int
    trained: int
    weights: Checkpoint | None
    hparams: Hparams | None


class Effect(NamedTuple):
    """A changed hyperparameter, and how the score changed in the turn that followed.

    Args:
        member: The id of the member.
        turn: The number of the turn that was trained with the new value.
        name: The hyperparameter.
        before: The value that the weights were last trained with.
        after: The new value.
        gain: By how much the turn improved the score: positive is better, in either mode. None if
            a score is missing or not finite, or the difference is too large for a float.
        ahead: The gain, less the median gain of the other members' turns of that number.
    """

    member: int
    turn: int
    name: str
    before: Value
    after: Value
    gain: float | None
    ahead: float | None
