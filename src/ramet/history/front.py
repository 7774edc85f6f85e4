"""The front of a run with several objectives, read from its record."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from ramet import wording
from ramet.errors import NoBest, UsageError
from ramet.events import RunOpened, TurnEnded
from ramet.fronts import Point
from ramet.goals import SCORE, Goal, make_point, metrics_of, objectives_of, sum_violations
from ramet.history.turns import Key, Trained
from ramet.population import Best, Member, Population
from ramet.series import find_last

Floats: TypeAlias = npt.NDArray[np.float64]


class Ended(NamedTuple):
    """The end of a turn, with the score and the metrics that the run has goals for."""

    key: Key
    trained: int
    score: float
    metrics: dict[str, float]
    # By how much it is beyond the bounds; 0 if it is within.
    violation: float


def find_ends(
    turns: Iterable[Trained], measured: Iterable[TurnEnded], goals: Sequence[Goal]
) -> Iterator[Ended]:
    """Yield the end of each turn that has a score and all metrics that there are goals for.

    Args:
        turns: The turns of the run, with scores as they were reported.
        measured: Those that logged metrics.
        goals: The goals of the run.
    """
    names = metrics_of(goals)
    logged = {(it.member, it.turn): it for it in measured} if names else {}
    for turn in turns:
        event = logged.get(turn.key)
        last = {} if event is None else find_last(event.metrics, event.step)
        metrics = {name: last[name] for name in names if name in last}
        score = turn.score
        if score is not None and len(metrics) == len(names):
            over = sum_violations(goals, score, metrics)
            yield Ended(turn.key, turn.trained, score, metrics, over)


def check_goals(opening: RunOpened) -> None:
    """Refuse to look for the front of a run that has no other objective than its score."""
    if not opening.goals:
        raise UsageError(
            f"a front needs a run with several objectives, but run {opening.name!r} has only its "
            f"score; it begins with PBT(..., exploit=ramet.Pareto({{'latency': 'min'}})), and "
            f"result.best has its best score"
        )


class Ends:
    """How the turns of a run ended, by its objectives. Without goals it has none."""

    def __init__(self, opening: RunOpened, population: Population, ends: Iterable[Ended]) -> None:
        self._opening, self._population = opening, population
        self._by_turn = {end.key: end for end in ends}

    def metrics_of(self, key: Key) -> dict[str, float]:
        """Return the metrics that a turn ended with and that the run has goals for."""
        return self._by_turn[key].metrics if key in self._by_turn else {}

    def are_within(self, member: Member) -> bool:
        """Return whether the weights of a member are within all bounds of the run."""
        kept = member.checkpoint
        if not self._opening.goals or kept is None:
            return True
        end = self._by_turn.get((kept.member, kept.turn))
        return end is not None and not end.violation

    def find_front(self) -> list[Best]:
        """Return the turns of the front, the best score first.

        The front that a population has may lack crowded turns, and then have some that those
        dominate. They are left out here.
        """
        check_goals(self._opening)
        front = self._population.front
        found = [
            one
            for one, point in zip(front, self._place(front), strict=True)
            if not _dominate(self._table, point).any()
        ]
        if not found:
            raise self.none_within()
        return found

    def is_whole(self, front: Sequence[Best]) -> bool:
        """Return whether a front has all turns that it could have, of equal ones any."""
        table = self._table
        covered = np.zeros(len(table), np.bool_)
        for point in self._place(front):
            covered |= (table <= point).all(axis=1)
        return bool(covered.all())

    @cached_property
    def _table(self) -> Floats:
        """The objectives of all turns within bounds, higher ones better."""
        goals, births = self._opening.goals, self._opening.births
        points = [
            point
            for end in self._by_turn.values()
            if not end.violation
            and births[end.key[0]].ranked
            and (point := make_point(goals, end.score, end.metrics)) is not None
        ]
        return np.array(points, np.float64).reshape(len(points), len(objectives_of(goals)))

    def _place(self, front: Sequence[Best]) -> list[Point]:
        goals = self._opening.goals
        # Only finite ones get into a front.
        return [make_point(goals, one.score, one.metrics) or () for one in front]

    def none_within(self) -> NoBest:
        """Return the error for a run of which no turn ended within all bounds."""
        goals, turns = self._opening.goals, self._population.turns
        bounds = ", ".join(_name_bounds(goals))
        law = f"the best must be within the bounds of the run, {bounds}" if bounds else "the best"
        nearest = min(self._by_turn.values(), key=lambda end: end.violation, default=None)
        if nearest is None:
            return NoBest(
                f"{law} needs a turn that ended with a finite score and finite metrics, but none "
                f"of {turns} did"
            )
        member, turn = nearest.key
        said = ", ".join(_name_values(goals, nearest.score, nearest.metrics))
        return NoBest(
            f"{law}, but none of {wording.count(turns, 'turn')} ended within them with finite "
            f"values; the nearest was turn {turn} of member {member}, with {said}. Train for "
            f"longer, or give bounds that can be met; result.members has the members at the end"
        )


def _dominate(table: Floats, point: Point) -> npt.NDArray[np.bool_]:
    """Return which points of a table dominate a point."""
    at_least, above = (table >= point).all(axis=1), (table > point).any(axis=1)
    return np.asarray(at_least & above, np.bool_)


def _name_bounds(goals: Sequence[Goal]) -> Iterator[str]:
    for goal in goals:
        if goal.at_least is not None:
            yield f"{goal.name} at least {wording.number(goal.at_least)}"
        if goal.at_most is not None:
            yield f"{goal.name} at most {wording.number(goal.at_most)}"


def _name_values(
    goals: Sequence[Goal], score: float, metrics: Mapping[str, float]
) -> Iterator[str]:
    for goal in goals:
        value = score if goal.name == SCORE else metrics[goal.name]
        yield f"{goal.name} {wording.number(value)}"
