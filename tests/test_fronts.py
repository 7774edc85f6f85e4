"""Ranks and crowding distances, held against what the definitions say, point by point."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import ramet
from ramet.fronts import Point, dominates, measure_room, rank_points, thin
from ramet.goals import Goal, make_point
from ramet.population import Best, Better, Checkpoint, Member, Population
from ramet.replica import Replica

# Few different values, so that many are equal.
small = st.integers(-3, 3).map(float)
anything = st.floats(allow_nan=False, allow_infinity=False)


def point_lists(values: st.SearchStrategy[float]) -> st.SearchStrategy[list[Point]]:
    return st.integers(1, 4).flatmap(
        lambda count: st.lists(st.tuples(*[values] * count), max_size=14)
    )


points = point_lists(small) | point_lists(anything)


def peel(points: Sequence[Point]) -> list[int]:
    """Return ranks by taking one front after the other away."""
    ranks, left, rank = [-1] * len(points), set(range(len(points))), 0
    while left:
        front = {
            one
            for one in left
            if not any(
                all(b >= a for a, b in zip(points[one], points[other], strict=True))
                and any(b > a for a, b in zip(points[one], points[other], strict=True))
                for other in left
            )
        }
        for one in front:
            ranks[one] = rank
        left, rank = left - front, rank + 1
    return ranks


def room_of(nth: int, points: Sequence[Point]) -> float:
    """Return a crowding distance, looking for each neighbour among all points."""
    total = 0.0
    for objective in range(len(points[nth])):
        here, values = points[nth][objective], [point[objective] for point in points]
        if max(values) == min(values):
            continue
        above = [value for value in values if value > here]
        below = [value for value in values if value < here]
        if not above or not below:
            return math.inf
        # Halves, as the distance of two floats may be beyond all floats.
        total += (min(above) / 2 - max(below) / 2) / (max(values) / 2 - min(values) / 2)
    return total


@given(points)
def test_ranks_are_those_of_fronts_that_are_taken_away_one_by_one(points: list[Point]) -> None:
    assert rank_points(points) == peel(points)


@given(points)
def test_room_is_the_distance_of_the_neighbours_by_the_range_of_each_objective(
    points: list[Point],
) -> None:
    expected = [room_of(nth, points) for nth in range(len(points))]
    assert measure_room(points) == pytest.approx(expected)


@given(point_lists(small), st.lists(st.floats(0.1, 10.0), min_size=4, max_size=4))
def test_ranks_do_not_depend_on_the_scale_of_an_objective(
    points: list[Point], factors: list[float]
) -> None:
    bent = [tuple(math.exp(f * v) for v, f in zip(it, factors, strict=False)) for it in points]
    assert rank_points(bent) == rank_points(points)


@given(point_lists(small), st.lists(st.sampled_from([0.25, 2.0, 1024.0]), min_size=4, max_size=4))
def test_room_does_not_depend_on_the_unit_of_an_objective(
    points: list[Point], factors: list[float]
) -> None:
    scaled = [tuple(f * v for v, f in zip(it, factors, strict=False)) for it in points]
    assert measure_room(scaled) == measure_room(points)


@given(points)
def test_ranks_and_room_do_not_depend_on_the_order(points: list[Point]) -> None:
    order = np.random.default_rng(len(points)).permutation(len(points)).tolist()
    mixed = [points[nth] for nth in order]
    assert rank_points(mixed) == [rank_points(points)[nth] for nth in order]
    assert measure_room(mixed) == [measure_room(points)[nth] for nth in order]


@given(points)
def test_rank_0_is_what_no_point_dominates(points: list[Point]) -> None:
    first = {point for point, rank in zip(points, rank_points(points), strict=True) if not rank}
    assert first == {one for one in points if not any(dominates(it, one) for it in points)}


def test_the_lowest_and_the_highest_of_an_objective_have_all_the_room() -> None:
    line = [(0.0, 4.0), (1.0, 3.0), (1.5, 2.5), (4.0, 0.0)]
    assert measure_room(line) == [math.inf, 0.75, 1.5, math.inf]
    assert measure_room([(1.0, 2.0)]) == [0.0]


def lines(values: st.SearchStrategy[float]) -> st.SearchStrategy[list[Point]]:
    """Draw points none of which dominates another: what is better in one is worse in the other."""
    return st.lists(values, min_size=1, max_size=14, unique=True).map(
        lambda drawn: [(value, -(value**3)) for value in drawn]
    )


def remove_one_by_one(points: list[Point], most: int) -> list[int]:
    """Return what is left, looking for all neighbours again each time."""
    left = list(range(len(points)))
    spans = [max(values) - min(values) for values in zip(*points, strict=True)]
    while len(left) > most:
        rooms = []
        for nth in left:
            room = 0.0
            for objective, span in enumerate(spans):
                here, values = points[nth][objective], [points[it][objective] for it in left]
                above = [value for value in values if value > here]
                below = [value for value in values if value < here]
                if span:
                    apart = min(above) - max(below) if above and below else math.inf
                    room += apart / span
            rooms.append((room, -nth))
        left.remove(-min(rooms)[1])
    return left


@given(lines(st.integers(-40, 40).map(float)), st.integers(1, 14))
def test_crowded_points_are_removed_one_by_one(points: list[Point], most: int) -> None:
    assert thin(points, most) == remove_one_by_one(points, most)


def test_the_first_of_several_points_with_the_best_value_stays() -> None:
    points = [(1.0, 9.0, 1.0), (1.0, 5.0, 5.0), (1.0, 1.0, 9.0), (0.5, 9.5, 0.5), (0.0, 6.0, 6.0)]
    for most in range(1, 6):
        assert 0 in thin(points, most)


@given(points, st.integers(0, 14))
def test_as_many_points_are_left_as_are_wanted(points: list[Point], most: int) -> None:
    left = thin(points, most)
    assert len(left) == min(most, len(points))
    assert left == sorted(set(left))


def test_a_range_that_is_too_narrow_to_be_divided_by_gives_no_room() -> None:
    tiny = math.ulp(0.0)
    points = [(-tiny, 1.0), (0.0, 0.5), (tiny, 0.0)]
    assert measure_room(points) == [math.inf, 1.0, math.inf]
    assert thin(points, 2) == [0, 2]


@pytest.mark.parametrize("better", ["higher", "lower"])
@pytest.mark.parametrize("names", [(), ("cost",), ("cost", "size")])
def test_the_front_of_a_replica_is_what_one_by_one_comparisons_leave(
    better: Better, names: tuple[str, ...]
) -> None:
    score = Goal(name="score", better="max" if better == "higher" else "min")
    goals = (score, *(Goal(name=name, better="min") for name in names))
    members = tuple(Member(id=id_, hparams={}) for id_ in range(3))
    space = ramet.Space(lr=ramet.LogUniform(1e-3, 1.0))
    replica = Replica(
        Population(space=space, steps=99, members=members, goals=goals, better=better)
    )
    front: list[Best] = []
    rng = np.random.default_rng(0)
    for nth in range(150):
        checkpoint = Checkpoint(member=nth % 3, turn=nth // 3, step=1, digest="")
        metrics = {name: float(rng.integers(9)) for name in names}
        found = Best(score=float(rng.integers(9)), checkpoint=checkpoint, metrics=metrics)
        replica.offer_with_metrics(found)
        front = offer_plainly(front, found, goals, better, most=6, left=3)
        assert list(replica.front) == front


def offer_plainly(
    front: list[Best], found: Best, goals: Sequence[Goal], better: Better, *, most: int, left: int
) -> list[Best]:
    def place(one: Best) -> Point:
        return make_point(goals, one.score, one.metrics) or ()

    def rank(one: Best) -> Any:
        return one.rank("latest", better, goals)

    if any(dominates(place(it), place(found)) for it in front):
        return front
    if any(place(it) == place(found) and rank(it) > rank(found) for it in front):
        return front
    kept = [
        it for it in front if place(it) != place(found) and not dominates(place(found), place(it))
    ]
    front = sorted([*kept, found], key=rank, reverse=True)
    return (
        [front[nth] for nth in thin([place(it) for it in front], left)]
        if len(front) > most
        else front
    )
