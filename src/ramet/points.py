"""Points of learning: the scores of a member at their steps, of one turn or since its last copy."""

import math
from collections.abc import Sequence

import msgspec

from ramet.laws import Count

# A step, and the score at it; None where the score was not a finite number.
Point = tuple[Count, float | None]


def has_final_score(points: Sequence[Point], step: int) -> bool:
    """Return whether a turn has a score of the weights that it ended with, at ``step``."""
    return bool(points) and points[-1][0] == step


def final_score(points: Sequence[Point], step: int) -> float | None:
    """Return the score of the weights that a turn ended with; None if it has no finite one.

    >>> final_score([(5, 0.1), (10, 0.2)], 10), final_score([(5, 0.1)], 10)
    (0.2, None)
    """
    return points[-1][1] if points and points[-1][0] == step else None


class Curve(msgspec.Struct, frozen=True, gc=False):
    """The scores of a member's weights since it last copied weights from another member.

    Its first points came with the copy. A score that was not finite is NaN.

    Args:
        steps: The steps at which the scores were measured, counted along the lineage.
        scores: The score at each of these steps.

    >>> Curve().extend([(5, 0.1), (10, None)])
    Curve(steps=(5, 10), scores=(0.1, nan))
    """

    steps: tuple[int, ...] = ()
    scores: tuple[float, ...] = ()

    def __len__(self) -> int:
        return len(self.steps)

    def extend(self, points: Sequence[Point]) -> "Curve":
        """Return the curve with more points at its end.

        Args:
            points: The points, as events have them.
        """
        if len(points) == 1:
            [(step, score)] = points
            return Curve((*self.steps, step), (*self.scores, math.nan if score is None else score))
        # The one `math.nan`, so that equal curves compare equal.
        scores = [math.nan if score is None else score for _, score in points]
        return Curve((*self.steps, *[step for step, _ in points]), (*self.scores, *scores))

    def last(self) -> "Curve":
        """Return the curve of the last point alone.

        >>> Curve((5, 10), (0.8, 0.6)).last()
        Curve(steps=(10,), scores=(0.6,))
        """
        return Curve(self.steps[-1:], self.scores[-1:])

    def points(self) -> tuple[Point, ...]:
        """Return the points as events have them, where a score that is not finite is None."""
        return tuple(
            (step, score if math.isfinite(score) else None)
            for step, score in zip(self.steps, self.scores, strict=True)
        )
