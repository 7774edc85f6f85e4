"""Whether one method is better than another, over the same seeds."""

import math
import statistics
from collections.abc import Sequence
from typing import NamedTuple

from scipy import stats

# Below this a difference is called real, after correction for how many comparisons were made.
ALPHA = 0.05
# A paired test needs a variance.
FEWEST_SEEDS = 2


class Comparison(NamedTuple):
    """One method beside another, at the same seeds."""

    method: str
    other: str
    # The mean of the differences, method minus other.
    difference: float
    # Of the paired t-test, two-sided; 1 if all differences are 0.
    p: float
    # The same, corrected for the number of comparisons (Holm, 1979).
    corrected_p: float

    @property
    def verdict(self) -> str:
        """ "higher", "lower" or "no difference"."""
        if self.corrected_p >= ALPHA:
            return "no difference"
        return "higher" if self.difference > 0 else "lower"


def compare(pairs: Sequence[tuple[str, str, Sequence[float], Sequence[float]]]) -> list[Comparison]:
    """Compare pairs of methods, each with its scores and the other's, at the same seeds.

    >>> [found] = compare([("fire", "pbt", [0.9, 0.8, 0.85], [0.7, 0.61, 0.66])])
    >>> found.verdict, round(found.difference, 2), found.p == found.corrected_p
    ('higher', 0.19, True)
    """
    ps = [_paired_p(mine, others) for _, _, mine, others in pairs]
    return [
        Comparison(method, other, statistics.mean(mine) - statistics.mean(others), p, corrected)
        for (method, other, mine, others), p, corrected in zip(pairs, ps, correct(ps), strict=True)
    ]


def correct(ps: Sequence[float]) -> list[float]:
    """Return p-values corrected by Holm's method.

    >>> correct([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    corrected, least = [1.0] * len(ps), 0.0
    for rank, place in enumerate(sorted(range(len(ps)), key=ps.__getitem__)):
        least = max(least, min(1.0, ps[place] * (len(ps) - rank)))
        corrected[place] = least
    return corrected


def _paired_p(mine: Sequence[float], others: Sequence[float]) -> float:
    differences = [a - b for a, b in zip(mine, others, strict=True)]
    if len(differences) < FEWEST_SEEDS or not any(differences):
        return 1.0
    if max(differences) == min(differences):
        return 0.0
    p = float(stats.ttest_rel(mine, others).pvalue)
    return 1.0 if math.isnan(p) else p
