"""How noisy scores are, by the scores themselves."""

import math
import statistics
from collections.abc import Iterable, Sequence

# The standard deviation of a - 2 b + c, if a, b and c are equally noisy.
SECOND_DIFFERENCE = math.sqrt(6)
# The median of the absolute value of standard normal noise.
MEDIAN_ABSOLUTE = 0.6745
# The standard error of a median, if that of a mean is 1.
MEDIAN_ERROR = math.sqrt(math.pi / 2)
# The last scores of each curve that the noise is estimated from, as it may change.
RECENT_SCORES = 12


def estimate_noise(curves: Iterable[Sequence[float]]) -> float | None:
    """Return the standard deviation of one score's noise; None if no curve has three scores.

    It is estimated from how far scores are from the middle of the score before and the one after,
    which a steady rise does not change, and by the median, which a few jumps do not change. If most
    scores do not move at all, it is estimated by the mean square of those that do and do not.

    Args:
        curves: The scores of several members, which are equally noisy.

    >>> estimate_noise([[0.0, 1.0, 2.0, 3.0], [5.0, 4.0, 3.0]])
    0.0
    >>> round(estimate_noise([[0.0, 1.0, 0.0, 1.0]]), 3)
    1.211
    >>> round(estimate_noise([[0.0, 0.0, 0.0, 0.0, 1.0]]), 3)
    0.236
    """
    bends: list[float] = [
        abs(before - 2 * score + after)
        for curve in curves
        for before, score, after in zip(
            *(curve[-RECENT_SCORES:][first:] for first in range(3)), strict=False
        )
        if math.isfinite(before) and math.isfinite(score) and math.isfinite(after)
    ]
    if not bends:
        return None
    if median := statistics.median(bends):
        return median / SECOND_DIFFERENCE / MEDIAN_ABSOLUTE
    return math.sqrt(statistics.fmean([bend * bend for bend in bends])) / SECOND_DIFFERENCE


def estimate_repeats(groups: Iterable[Sequence[float]]) -> float | None:
    """Return the standard deviation of one score's noise, by repeated evaluations of weights.

    It is None if no weights were evaluated twice, or if all evaluations of the same weights agree:
    then they draw nothing at random, and say nothing about noise.

    Args:
        groups: The scores of the same weights, for each of several weights.

    >>> round(estimate_repeats([[1.0, 2.0], [5.0, 6.0, 7.0]]), 3)
    0.913
    >>> estimate_repeats([[1.0, 1.0]])
    """
    squares, freedom = 0.0, 0
    for group in groups:
        scores = [score for score in group if math.isfinite(score)]
        if len(scores) > 1:
            spread = compute_spread(scores)
            # A power would raise an error where a product is infinite.
            squares += spread * spread * (len(scores) - 1)
            freedom += len(scores) - 1
    return math.sqrt(squares / freedom) if squares else None


def compute_mean(scores: Sequence[float]) -> float:
    """Return the mean of scores, which is finite if they are, however large; NaN if one is not.

    >>> compute_mean([1.0, 2.0])
    1.5
    >>> compute_mean([1.5e308, 1.5e308])
    1.5e+308
    """
    if not scores or not all(map(math.isfinite, scores)):
        return math.nan
    try:
        # `fsum` is the same in any order of members or workers.
        return math.fsum(scores) / len(scores)
    except OverflowError:
        return math.fsum(score / len(scores) for score in scores)


def compute_spread(scores: Sequence[float]) -> float:
    """Return the standard deviation of scores; NaN if one is not finite, or alone.

    >>> round(compute_spread([1.0, 2.0, 3.0]), 3)
    1.0
    >>> compute_spread([1.5e308, -1.5e308])
    inf
    """
    if len(scores) <= 1 or not all(map(math.isfinite, scores)):
        return math.nan
    try:
        return statistics.stdev(scores)
    except OverflowError:
        return math.inf
