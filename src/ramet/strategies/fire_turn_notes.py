"""What FIRE keeps about members in a run without rounds, where each notes only about itself."""

import math
from collections.abc import Iterator

import msgspec
import numpy as np

from ramet.curves import Floats
from ramet.population import Member, Population
from ramet.strategies.fire_notes import Evaluation, Rating, read_note


class Success(msgspec.Struct, frozen=True, kw_only=True):
    """A success, as the reference notes it when it takes an evaluator's weights."""

    # The id of the evaluator.
    evaluator: int
    # Steps that the evaluator had trained when the evaluation began, and when this decided it.
    since: int
    until: int
    # The best_score_diff and the binomial_test that decided it.
    lead: float
    p: float | None


class TurnRating(Rating, frozen=True, kw_only=True, tag="Rating"):
    """What a member of P1, P2, … notes about itself. Its own steps count."""

    # Steps that it had trained when it last lost; None if it never did.
    lost: int | None = None
    # The successes that it took, until their evaluators have noted them too.
    successes: tuple[Success, ...] = ()

    def has_lost_since(self, trained: int) -> bool:
        """Return whether it has lost since then.

        Args:
            trained: Steps that it had trained then.
        """
        return self.lost is not None and self.lost > trained


class Measurement(msgspec.Struct, frozen=True, kw_only=True):
    """The curve of an evaluation that has ended. It says how fast the parent's weights improve."""

    # The id of the parent.
    parent: int
    # Steps that the parent had trained when the evaluation began.
    began: int
    # Steps that the parent has trained when it is last compared by this.
    until: int
    # The scores of the curve; None where one was not finite.
    scores: tuple[float | None, ...]

    @property
    def curve(self) -> Floats:
        """The scores as an array."""
        return np.array([math.nan if score is None else score for score in self.scores])


class TurnEvaluation(Evaluation, frozen=True, kw_only=True, tag="Evaluation"):
    """What an evaluator notes about itself. Its own steps count for ``since`` and ``until``."""

    # Steps that the parent and the reference had trained when it began.
    parent_trained: int
    reference_trained: int
    # Each parent that it has evaluated: its id, and the steps that it had trained at the end.
    seen: tuple[tuple[int, int], ...] = ()
    # What its evaluations that ended have measured, as long as it counts.
    measured: tuple[Measurement, ...] = ()


class Notes:
    """What all members have noted about themselves."""

    def __init__(self, population: Population) -> None:
        self._population = population
        self.ratings = {
            member.id: read_note(member, TurnRating) or TurnRating()
            for member in population
            if member.group
        }
        found = {m.id: read_note(m, TurnEvaluation) for m in population if not m.group}
        self.evaluations = {id_: note for id_, note in found.items() if note is not None}

    def ongoing(self) -> Iterator[tuple[Member, TurnEvaluation]]:
        """Yield the evaluators with an evaluation that has not ended, and this."""
        for id_, evaluation in self.evaluations.items():
            if evaluation.outcome is None:
                yield self._population[id_], evaluation

    def last_seen(self, parent: int) -> int:
        """Return the steps that a parent had trained when it last lost, or was last evaluated.

        Args:
            parent: The id of the parent.
        """
        ended = (dict(evaluation.seen).get(parent, 0) for evaluation in self.evaluations.values())
        return max(self.ratings[parent].lost or 0, *ended, 0)

    def went_on_since(self, parent: int, trained: int) -> bool:
        """Return whether a member has gone on from its own weights since then.

        Args:
            parent: The id of the member.
            trained: Steps that it had trained then.
        """
        return not (self.ratings[parent].has_lost_since(trained) or self.is_reborn(parent, trained))

    def is_reborn(self, member: int, trained: int) -> bool:
        """Return whether a member has since taken other weights because its own were unreadable.

        Args:
            member: The id of the member.
            trained: Steps that it had trained then.
        """
        reborn = self._population[member].reborn
        return reborn is not None and reborn >= trained

    def find_success(self, evaluator: int, evaluation: TurnEvaluation) -> Success | None:
        """Return the success of an evaluation, if the reference has taken the weights."""
        for success in self.ratings[evaluation.reference].successes:
            if (success.evaluator, success.since) == (evaluator, evaluation.since):
                return success
        return None
