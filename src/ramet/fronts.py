"""Fronts: which of several points are dominated by none, after NSGA-II (Deb et al., 2002).

A point has a number for each objective, and higher is better in all. One point *dominates* another
if it is at least as high in every objective and higher in one. Equal points do not dominate each
other.
"""

import heapq
import math
from collections.abc import Sequence
from itertools import pairwise
from typing import TypeAlias

import numpy as np

Point: TypeAlias = tuple[float, ...]


def dominates(one: Point, other: Point) -> bool:
    """Return whether one point dominates another.

    >>> dominates((2.0, 1.0), (1.0, 1.0)), dominates((2.0, 0.0), (1.0, 1.0))
    (True, False)
    """
    return one != other and all(a >= b for a, b in zip(one, other, strict=True))


def rank_points(points: Sequence[Point]) -> list[int]:
    """Return the rank of each point: 0 if none dominates it, 1 if only points of rank 0 do, etc.

    >>> rank_points([(3.0, 1.0), (1.0, 3.0), (1.0, 1.0), (0.0, 0.0)])
    [0, 0, 1, 2]
    """
    if not points:
        return []
    table = np.array(points, np.float64)
    # Whatever dominates a point comes before it, and its rank is the highest of theirs, plus 1. In
    # the first objective, all that come before are at least as high.
    order = np.lexsort(-table.T[::-1])
    table = table[order]
    others = [np.ascontiguousarray(column) for column in table.T[1:]]
    again = [False, *(table[1:] == table[:-1]).all(axis=1).tolist()]
    ranks = np.zeros(len(table), np.int64)
    for nth in range(1, len(table)):
        if again[nth]:  # It is equal to the one before.
            ranks[nth] = ranks[nth - 1]
            continue
        over = np.ones(nth, np.bool_)
        for column in others:
            over &= column[:nth] >= column[nth]
        ranks[nth] = ranks[:nth][over].max(initial=-1) + 1
    found = np.empty_like(ranks)
    found[order] = ranks
    return [int(rank) for rank in found]


def measure_room(points: Sequence[Point]) -> list[float]:
    """Return the crowding distance of each point: how far apart its neighbours are.

    Distances are added over the objectives, each divided by the range of that objective. A point
    with no neighbour on one side, in one objective, has all the room there is.

    >>> measure_room([(0.0, 10.0), (1.0, 8.0), (4.0, 0.0)])
    [inf, 2.0, inf]
    """
    room = [0.0] * len(points)
    for objective in range(len(points[0]) if points else 0):
        values = sorted({point[objective] for point in points})
        # Halved first, because the range of very large numbers overflows.
        span = values[-1] / 2 - values[0] / 2
        if not span:
            continue
        by_value = {
            here: (above / 2 - below / 2) / span
            for below, here, above in zip(values, values[1:], values[2:], strict=False)
        }
        for nth, point in enumerate(points):
            room[nth] += by_value.get(point[objective], math.inf)
    return room


def thin(points: Sequence[Point], most: int) -> list[int]:
    """Return the places of the points that are left when crowded ones are removed, one by one.

    Each time, the point with the least room among those that are left goes; of several, the last.
    Room is as in ``measure_room``, but by the range of all points.

    >>> thin([(0.0, 9.0), (1.0, 8.0), (2.0, 7.0), (9.0, 0.0)], 3)
    [0, 2, 3]
    """
    crowd = _Crowd(points)
    heap = [(crowd.room(nth), -nth) for nth in range(len(points))]
    heapq.heapify(heap)
    left = set(range(len(points)))
    while len(left) > most:
        room, negated = heapq.heappop(heap)
        if -negated not in left or room != crowd.room(-negated):
            continue  # A later entry has its present room.
        left.discard(-negated)
        for neighbour in crowd.remove(-negated):
            heapq.heappush(heap, (crowd.room(neighbour), -neighbour))
    return sorted(left)


class _Crowd:
    """Points, each with its neighbours in every objective."""

    def __init__(self, points: Sequence[Point]) -> None:
        self._points = points
        # The width of each objective, halved, because the range of very large numbers overflows.
        self._spans: list[float] = []
        # For each objective and place, the places of the next lower point and the next higher one.
        self._lower: list[list[int | None]] = []
        self._higher: list[list[int | None]] = []
        for objective in range(len(points[0]) if points else 0):
            # Of equal values the first point is the highest, so that it stays as an end.
            order = sorted(range(len(points)), key=lambda nth: (points[nth][objective], -nth))
            lower: list[int | None] = [None] * len(points)
            higher: list[int | None] = [None] * len(points)
            for low, high in pairwise(order):
                lower[high], higher[low] = low, high
            self._spans.append(points[order[-1]][objective] / 2 - points[order[0]][objective] / 2)
            self._lower.append(lower)
            self._higher.append(higher)

    def room(self, nth: int) -> float:
        """Return the crowding distance of a point among those that were not removed."""
        total = 0.0
        for objective, span in enumerate(self._spans):
            low, high = self._lower[objective][nth], self._higher[objective][nth]
            if not span:
                continue
            if low is None or high is None:
                return math.inf
            apart = self._points[high][objective] / 2 - self._points[low][objective] / 2
            total += apart / span
        return total

    def remove(self, nth: int) -> set[int]:
        """Remove a point; return the points that were its neighbours."""
        changed: set[int] = set()
        for lower, higher in zip(self._lower, self._higher, strict=True):
            low, high = lower[nth], higher[nth]
            if low is not None:
                higher[low] = high
                changed.add(low)
            if high is not None:
                lower[high] = low
                changed.add(high)
        return changed
