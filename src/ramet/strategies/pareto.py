"""A rule to exploit by several objectives, after NSGA-II (Deb et al., 2002)."""

import math
import sys
from collections import defaultdict
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from typing import Any, TypeVar, get_args

import numpy as np

from ramet.errors import StrategyError
from ramet.fronts import Point, measure_room, rank_points
from ramet.goals import SCORE, Direction, Goal, make_point
from ramet.population import Member
from ramet.randomness import pick
from ramet.ranking import rank
from ramet.strategies.exploit import Truncation, find_members, part_of

Key = TypeVar("Key", bound=Hashable)


@dataclass(frozen=True, slots=True)
class Pareto:
    """The worst members copy the best ones, by the score and metrics together.

    Members are ranked as by NSGA-II. One member dominates another if it is at least as good in
    every objective, and better in one. Members that no other dominates have the best rank. Members
    that only these dominate have the next rank, and so on. Within a rank, members that differ more
    from their neighbours are better. Of members that are equal in everything, all but one count as
    those that differ least. A member beyond a bound is worse than all members within the bounds,
    and the further it is beyond, the worse.

    Turns report the metrics with the score: ``turn.report(accuracy, latency=3.2)``. Then
    ``Result.front`` has the best turns. A member with a metric that is not finite is treated like
    one with a score that is not finite: it copies another, and is never copied.

    Args:
        objectives: Which values of a metric are better, "min" or "max", for each objective but the
            score.
        quantile: The fraction of the members that copies, and that is copied.
        at_least: The lowest values that are allowed, by the name of a metric, or "score".
        at_most: The highest values that are allowed.
        score: Whether the score is an objective; without it, only its bound counts.

    >>> Pareto({"latency": "min"}, at_least={"score": 0.9}).goals[1]
    Goal(name='latency', better='min', at_least=None, at_most=None)
    >>> Pareto({"latency": "fast"})
    Traceback (most recent call last):
        ...
    ramet.errors.StrategyError: an objective must be 'min' or 'max', but got {'latency': 'fast'}
    """

    objectives: Mapping[str, Direction] = field(default_factory=dict)
    quantile: float = 0.2
    _: KW_ONLY
    at_least: Mapping[str, float] = field(default_factory=dict)
    at_most: Mapping[str, float] = field(default_factory=dict)
    score: bool = True

    def __post_init__(self) -> None:
        _check_names("objectives", self.objectives, "{'latency': 'min'}")
        _check_names("at_least", self.at_least, "{'score': 0.9}")
        _check_names("at_most", self.at_most, "{'latency': 20.0}")
        Truncation(self.quantile)
        for name, better in self.objectives.items():
            if better not in get_args(Direction):
                raise StrategyError(
                    f"an objective must be 'min' or 'max', but got {{{name!r}: {better!r}}}"
                )
        if SCORE in self.objectives:
            raise StrategyError(
                "the run's mode says which scores are better, but objectives has 'score'; "
                "leave it out, as the score is an objective unless score=False"
            )
        self._check_bounds()
        if not isinstance(self.score, bool):
            raise StrategyError(f"score must be True or False, but got {self.score!r}")
        if self.score and not (self.objectives or self.at_least or self.at_most):
            raise StrategyError(
                "there must be an objective besides the score, or a bound, but got neither; name "
                "metrics, as in Pareto({'latency': 'min'}), or use Truncation for the score alone"
            )
        if not self.score and not (self.objectives and self._has_bound(SCORE)):
            raise StrategyError(
                "without the score as an objective there must be another, and a bound of the "
                "score, or scores would not count at all, but score=False came without one of "
                "them; add at_least={'score': ...}, or at_most= if low scores are good"
            )

    @property
    def goals(self) -> tuple[Goal, ...]:
        """What it wants of the score and of metrics."""
        names = dict.fromkeys([SCORE, *self.objectives, *self.at_least, *self.at_most])
        return tuple(
            Goal(
                name=name,
                better=self._better(name),
                at_least=_as_float(self.at_least.get(name)),
                at_most=_as_float(self.at_most.get(name)),
            )
            for name in names
        )

    def check(self, population: int) -> None:
        Truncation(self.quantile).check(population)

    def pairs(
        self, members: Sequence[Member], ready: Sequence[int], rng: np.random.Generator
    ) -> Iterator[tuple[int, int]]:
        points = self._make_points(members)
        ranking = rank(members)
        failed = {id_ for id_ in ranking.ids() if id_ not in points} | ranking.failed
        now = max((member.turn for member in find_members(members, ready)), default=0)
        could = ranking.count_whole(fresh=now > 1) - len(failed - ranking.failed)
        part = min(part_of(could, self.quantile), len(points) // 2)
        order = _sort(points, rng)
        top = order[: max(part, 1)]
        # As in Truncation: a member that was just replaced still counts as a loser.
        losing = max(part - ranking.count_untried(since=now - 1), 0)
        losers = {*order[len(order) - losing :], *failed}
        for member in ready:
            if member in losers and top:
                yield member, pick(top, rng)

    def _make_points(self, members: Sequence[Member]) -> dict[int, tuple[float, Point]]:
        """Return the violation and the objectives of each member that has its own finite ones."""
        goals, found = self.goals, {}
        for member in members:
            score = member.score
            if score is None or not math.isfinite(score):
                continue
            if missing := [goal.name for goal in goals if not _has(member, goal)]:
                raise StrategyError(
                    f"a strategy that exploits by Pareto must say what it needs, as PBT does, but "
                    f"members have no {missing[0]!r}; give it a property goals that returns its "
                    f"rule's goals"
                )
            if None in member.metrics.values():
                continue
            # Strategies get maximised scores.
            point = make_point(goals, score, member.metrics)
            if point is not None:
                found[member.id] = member.violation, point
        return found

    def _better(self, name: str) -> Direction | None:
        if name == SCORE:
            return "max" if self.score else None
        return self.objectives.get(name)

    def _has_bound(self, name: str) -> bool:
        return name in self.at_least or name in self.at_most

    def _check_bounds(self) -> None:
        for bounds in (self.at_least, self.at_most):
            for name, bound in bounds.items():
                if not _is_finite(bound):
                    raise StrategyError(
                        f"a bound must be a finite number, but got {{{name!r}: {bound!r}}}"
                    )
        for name in self.at_least.keys() & self.at_most.keys():
            low, high = self.at_least[name], self.at_most[name]
            if low > high:
                raise StrategyError(
                    f"at_least <= at_most must hold, but got {low!r} and {high!r} for {name!r}"
                )


def _sort(points: Mapping[int, tuple[float, Point]], rng: np.random.Generator) -> list[int]:
    """Return ids, the best first; equal ones in an order that is drawn."""
    known = list(points)
    ids = [known[nth] for nth in rng.permutation(len(known)).tolist()]
    # Lower is better in these: the violation, and the rank among those that violate as much.
    keys: dict[int, tuple[float, int]] = {}
    for violation, alike in _group(ids, {id_: points[id_][0] for id_ in ids}).items():
        ranks = rank_points([points[id_][1] for id_ in alike])
        keys |= {id_: (violation, its) for id_, its in zip(alike, ranks, strict=True)}
    room: dict[int, float] = {}
    for peers in _group(ids, keys).values():
        room |= zip(peers, measure_room([points[id_][1] for id_ in peers]), strict=True)
        for alike in _group(peers, {id_: points[id_][1] for id_ in peers}).values():
            # One of them stands for all. With room for each, they would crowd out other members.
            room |= dict.fromkeys(alike[1:], 0.0)
    return sorted(ids, key=lambda id_: (*keys[id_], -room[id_]))


def _group(ids: Sequence[int], keys: Mapping[int, Key]) -> dict[Key, list[int]]:
    groups: defaultdict[Key, list[int]] = defaultdict(list)
    for id_ in ids:
        groups[keys[id_]].append(id_)
    return groups


def _is_finite(bound: object) -> bool:
    if isinstance(bound, bool) or not isinstance(bound, int | float):
        return False
    return abs(bound) <= sys.float_info.max


def _as_float(bound: float | None) -> float | None:
    return None if bound is None else float(bound)


def _has(member: Member, goal: Goal) -> bool:
    return goal.name == SCORE or goal.name in member.metrics


def _check_names(setting: str, value: Any, example: str) -> None:
    if not isinstance(value, Mapping) or not all(isinstance(name, str) for name in value):
        raise StrategyError(f"{setting} must be a mapping such as {example}, but got {value!r}")
