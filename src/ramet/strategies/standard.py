"""Numbers in standard deviations; those that are far from the others count as nearer ones."""

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from ramet.population import PastTurn

Floats: TypeAlias = NDArray[np.float64]

# Numbers are in standard deviations, and clipped to this many.
LARGEST = 2.0
# Numbers are far if they are this many times further from the middle half of all than it is wide.
FAR = 3.0
# Floats above this are shrunk before distances between them are taken.
HUGE, SHRINKING = 2.0**1000, 2.0**-32
# Deviations below this are none.
SMALLEST = float(np.finfo(np.float64).tiny)


def standardize(numbers: Floats) -> Floats:
    """Return numbers in standard deviations from their mean, clipped.

    Far ones count as if they were nearer, because one that explodes would make all others look
    alike.

    Args:
        numbers: Finite numbers, at least one, with a sum that no float overflows at.

    >>> standardize(np.array([1.0, 2.0, 3.0, 4.0, 1e9])).round(2).tolist()
    [-0.95, -0.63, -0.32, 0.0, 1.9]
    """
    known = numbers.clip(*limits_of_most(numbers))
    known -= known.mean()
    widest = float(np.abs(known).max())
    # Without any deviation, all are the mean. Floats below the smallest normal one have lost
    # their digits, and some processors overflow when they divide by them.
    if widest < SMALLEST:
        return np.zeros_like(known)
    # Squares of what is small beside one far score would be 0.
    known /= widest
    known /= float(known.std()) or 1.0
    standard: Floats = known.clip(-LARGEST, LARGEST)
    return standard


def limits_of_most(numbers: Floats) -> tuple[float, float]:
    """Return between which limits numbers are not far from the others; there are some."""
    # Distances between huge floats are more than the largest one. A power of two changes no digits.
    scale = SHRINKING if float(np.abs(numbers).max()) > HUGE else 1.0
    low, high = (float(limit) for limit in np.quantile(numbers * scale, (0.25, 0.75)))
    if low == high:
        return float(numbers.min()), float(numbers.max())
    reach = FAR * (high - low)
    return (low - reach) / scale, (high + reach) / scale


def changes_of(past: Sequence[PastTurn]) -> Floats:
    """Return the change of the score for each step, in standard deviations from the mean.

    Far ones count as if they were nearer, because a score that explodes would make all other
    changes look alike. A score that is not finite counts as the worst change there is.

    Args:
        past: Turns that began and ended with a score, at least one.
    """
    after = np.array([turn.after for turn in past], np.float64)
    before = np.array([turn.before for turn in past], np.float64)
    finite = np.isfinite(after)
    # Differences of the largest floats would overflow.
    scale = max(float(np.abs(before).max()), float(np.abs(after[finite]).max(initial=0.0))) or 1.0
    changes = (after / scale - before / scale) / np.array([turn.steps for turn in past])
    standard = np.full(len(past), -LARGEST)
    if finite.any():
        standard[finite] = standardize(changes[finite])
    return standard
