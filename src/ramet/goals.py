"""Goals: what a run wants of its scores and metrics, besides high scores."""

import math
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Literal, TypeAlias

import msgspec
from msgspec.structs import replace

from ramet.errors import CorruptLog

# The name of the score among goals.
SCORE = "score"
Direction: TypeAlias = Literal["max", "min"]


class Goal(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """What is wanted of a metric, or of the score.

    A turn that ends with a score must end with every metric that a goal names. Strategies read it
    as ``member.metrics[name]``.
    """

    # The metric's name, or "score".
    name: str
    # Which values are better, if it is an objective. For the score, the run's ``mode`` counts.
    better: Direction | None = None
    # The lowest value that is allowed.
    at_least: float | None = None
    # The highest value that is allowed.
    at_most: float | None = None

    def find_violation(self, value: float) -> float:
        """Return by how much a value is beyond the bounds, as a part of the bound; 0 if it is not.

        Args:
            value: The value.

        >>> Goal(name="latency", at_most=10.0).find_violation(12.5)
        0.25
        """
        below = 0.0 if self.at_least is None else _exceed(self.at_least - value, self.at_least)
        above = 0.0 if self.at_most is None else _exceed(value - self.at_most, self.at_most)
        return max(below, above)


def metrics_of(goals: Sequence[Goal]) -> tuple[str, ...]:
    """Return the names of the metrics that a turn must end with."""
    return tuple(goal.name for goal in goals if goal.name != SCORE)


def objectives_of(goals: Sequence[Goal]) -> list[Goal]:
    """Return the goals that are objectives."""
    return [goal for goal in goals if goal.better is not None]


def make_point(
    goals: Sequence[Goal], score: float, metrics: Mapping[str, float | None]
) -> tuple[float, ...] | None:
    """Return a number for each objective, where higher is better; None if one is not finite.

    >>> make_point([Goal(name="latency", better="min"), Goal(name="size")], 0.5, {"latency": 3.0})
    (-3.0,)
    """
    point: list[float] = []
    for goal in objectives_of(goals):
        value = score if goal.name == SCORE else metrics.get(goal.name)
        if value is None or not math.isfinite(value):
            return None
        point.append(value if goal.better == "max" else 0.0 - value)
    return tuple(point)


def sum_violations(
    goals: Sequence[Goal], score: float, metrics: Mapping[str, float | None]
) -> float:
    """Return by how much all bounds together are violated; 0 if none is.

    What is not finite counts for nothing here: its member has failed.
    """
    values = ((goal, score if goal.name == SCORE else metrics.get(goal.name)) for goal in goals)
    total = sum(
        goal.find_violation(value)
        for goal, value in values
        if value is not None and math.isfinite(value)
    )
    return min(total, sys.float_info.max)


def negate_score(goals: Sequence[Goal]) -> tuple[Goal, ...]:
    """Return the same goals for negated scores."""
    return tuple(_negate(goal) if goal.name == SCORE else goal for goal in goals)


def check_goals(goals: Sequence[Goal]) -> None:
    """Refuse goals in a log that no run can have."""
    names = Counter(goal.name for goal in goals)
    bounds = [bound for goal in goals for bound in (goal.at_least, goal.at_most)]
    if any(count > 1 for count in names.values()) or not all(
        bound is None or math.isfinite(bound) for bound in bounds
    ):
        raise CorruptLog(f"its goals must be of different numbers, within finite bounds: {goals}")


def _exceed(by: float, bound: float) -> float:
    return max(by, 0.0) / (abs(bound) or 1.0)


def _negate(goal: Goal) -> Goal:
    opposite: dict[Direction, Direction] = {"max": "min", "min": "max"}
    return replace(
        goal,
        better=None if goal.better is None else opposite[goal.better],
        at_least=None if goal.at_most is None else 0.0 - goal.at_most,
        at_most=None if goal.at_least is None else 0.0 - goal.at_least,
    )
