"""Numbers in standard deviations; those that are far from the others count as nearer ones."""

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float64]

# Numbers are in standard deviations, and clipped to this many.
LARGEST = 2.0
# Numbers are far if they are this many times further from the middle half of all than it is wide.
FAR = 3.0


def standardize(numbers: Floats) -> Floats:
    """Return numbers in standard deviations from their mean, clipped.

    Far ones count as if they were nearer, because one that explodes would make all others look
    alike.

    Args:
        numbers: Finite numbers, at least one, with a sum that no float overflows at.

    >>> standardize(np.array([1.0, 2.0, 3.0, 4.0, 1e9])).round(2).tolist()
    [-0.88, -0.65, -0.42, -0.19, 2.0]
    """
    known = numbers.clip(*limits_of_most(numbers))
    known -= known.mean()
    # Squares of what is small beside one far score would be 0.
    known /= float(np.abs(known).max()) or 1.0
    # Without any deviation, all are the mean.
    known /= float(known.std()) or 1.0
    standard: Floats = known.clip(-LARGEST, LARGEST)
    return standard


def limits_of_most(numbers: Floats) -> tuple[float, float]:
    """Return between which limits numbers are not far from the others; there are some."""
    low, high = np.quantile(numbers, (0.25, 0.75))
    if low == high:
        return float(numbers.min()), float(numbers.max())
    # Halves, because the distance may be more than the largest float.
    reach = 2 * FAR * (high / 2 - low / 2)
    return float(low - reach), float(high + reach)
