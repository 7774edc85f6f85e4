"""Fronts: which of several points are dominated by none, after NSGA-II (Deb et al., 2002).

A point has a number for each objective, and higher is better in all. One point *dominates* another
if it is at least as high in every objective and higher in one. Equal points do not dominate each
other.
"""

import math
from collections.abc import Sequence
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
    # Whatever dominates a point comes before it, and its rank is the highest of theirs, plus 1.
    order = np.lexsort(-table.T[::-1])
    table = table[order]
    ranks = np.zeros(len(table), np.int64)
    for nth in range(1, len(table)):
        before, point = table[:nth], table[nth]
        over = (before >= point).all(axis=1) & (before > point).any(axis=1)
        if over.any():
            ranks[nth] = ranks[:nth][over].max() + 1
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
        if len(values) == 1:
            continue
        # Halved first, because the range of very large numbers overflows.
        span = values[-1] / 2 - values[0] / 2
        by_value = {
            here: (above / 2 - below / 2) / span
            for below, here, above in zip(values, values[1:], values[2:], strict=False)
        }
        for nth, point in enumerate(points):
            room[nth] += by_value.get(point[objective], math.inf)
    return room
