"""When an iteration of IPBT has stalled, and how long its turns are (2025, arXiv 2511.09190)."""

import statistics
from collections.abc import Sequence
from itertools import pairwise

# A value is smoothed to the median of as many: itself, and those before it.
SMOOTHED_OVER = 3
# An iteration ends when as many turns in a row brought nothing.
FAILURES = 3
# It also ends when the last of as many scores are within one standard deviation of each other.
SLOW_POINTS = 15
LEAST_GAIN = 1.0
# An iteration may begin only if the budget still has as many of its turns.
FEWEST_TURNS = 2
# The turns in which an iteration can stall: the first, and the failures.
FEWEST_TO_STALL = FAILURES + 1


def has_stalled(bests: Sequence[float]) -> bool:
    """Return whether an iteration has stalled, by the best score of each of its turns.

    It has if the last three smoothed scores were each no higher than the one before. It also has if
    the last 14 of 15 turns together gained less than the standard deviation of the scores.

    Args:
        bests: The best score of each turn, in their order. All are finite.

    >>> has_stalled([1.0, 2.0, 3.0, 4.0, 5.0]), has_stalled([1.0, 2.0, 3.0, 3.0, 3.0, 3.0, 3.0])
    (False, True)
    """
    smoothed = smooth_robustly(standardize(bests))
    rises = [later - earlier for earlier, later in pairwise(smoothed)][-FAILURES:]
    if len(rises) == FAILURES and max(rises) <= 0:
        return True
    return len(smoothed) >= SLOW_POINTS and smoothed[-1] - smoothed[-SLOW_POINTS] < LEAST_GAIN


def standardize(scores: Sequence[float]) -> list[float]:
    """Return scores in standard deviations from their mean; 0 for each where all are equal.

    >>> standardize([0.0, 4.0]), standardize([2.0, 2.0])
    ([-1.0, 1.0], [0.0, 0.0])
    """
    # Sums and squares of the largest floats would overflow.
    scale = max(map(abs, scores), default=0.0) or 1.0
    scaled = [score / scale for score in scores]
    if len(set(scaled)) <= 1:
        return [0.0] * len(scores)
    mean = statistics.fmean(scaled)
    # Squares of tiny differences would be 0.
    widest = max(abs(each - mean) for each in scaled)
    deviation = statistics.pstdev((each - mean) / widest for each in scaled) * widest
    return [(each - mean) / deviation for each in scaled]


def smooth_robustly(scores: Sequence[float]) -> list[float]:
    """Return for each score the median of it and the two before: one lucky score counts nothing.

    >>> smooth_robustly([1.0, 2.0, 9.0, 3.0])
    [1.0, 1.5, 2.0, 3.0]
    """
    ends = range(1, len(scores) + 1)
    return [statistics.median(scores[max(0, end - SMOOTHED_OVER) : end]) for end in ends]


def next_turn(left: int, interval: int) -> int:
    """Return how many rounds the next turn has, if a turn has ``interval`` and ``left`` are left.

    The last two turns of a budget share what is left of it.

    >>> next_turn(40, 8), next_turn(23, 8), next_turn(11, 8)
    (8, 12, 11)
    """
    if left < 2 * interval:
        return left
    return interval if left >= 3 * interval else -(-left // 2)


def can_restart(left: int, interval: int) -> bool:
    """Return whether turns may be twice as long: the budget must have two of them left.

    Args:
        left: The rounds that are left.
        interval: The rounds in a turn so far.
    """
    return left >= FEWEST_TURNS * 2 * interval


def most_restarts(rounds: int) -> int:
    """Return how many restarts a budget has room for, if every iteration stalls at once.

    >>> most_restarts(100), most_restarts(40), most_restarts(7)
    (4, 2, 0)
    """
    restarts, interval, left = 0, 1, rounds - FEWEST_TO_STALL
    while can_restart(left, interval):
        restarts, interval = restarts + 1, 2 * interval
        left -= FEWEST_TO_STALL * interval
    return restarts
