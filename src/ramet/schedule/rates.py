"""One hyperparameter of a schedule as functions of the step, as frameworks take them."""

import functools
import math
from bisect import bisect_right
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from ramet.errors import ScheduleError

# Where each piece stops, and its value.
Numbers: TypeAlias = Sequence[tuple[int, float]]


def initial(optimizer: Any) -> list[float]:
    """Return the initial rate of each group of an optimiser."""
    return [float(group.get("initial_lr", group["lr"])) for group in optimizer.param_groups]


def factors(numbers: Numbers, bases: Sequence[float]) -> list[Callable[[int], float]]:
    """Return for each base a function of the step: the factor that gives the schedule's value."""
    if any(base == 0 for base in bases):
        raise ScheduleError(
            f"an optimizer must begin with a rate that is not 0, because the schedule's are "
            f"multiples of it, but its groups have {list(bases)}"
        )
    return [functools.partial(_factor, numbers, base) for base in bases]


def _factor(numbers: Numbers, base: float, step: int) -> float:
    nth = bisect_right(numbers, step, key=lambda piece: piece[0])
    value = numbers[min(nth, len(numbers) - 1)][1]
    factor = value / base
    # The factor times the base must be exactly the value, despite rounding.
    near = (factor, math.nextafter(factor, math.inf), math.nextafter(factor, -math.inf))
    return next((one for one in near if one * base == value), factor)


def as_arithmetic(numbers: Numbers) -> Callable[[Any], Any]:
    """Return a function of the step that finds its piece by arithmetic alone.

    >>> rate = as_arithmetic([(10, 0.5), (30, 0.25)])
    >>> [rate(step) for step in (0, 9, 10, 29, 99)]
    [0.5, 0.5, 0.25, 0.25, 0.25]
    """
    starts = [0, *(stop for stop, _ in numbers[:-1])]
    stops = [*(stop for stop, _ in numbers[:-1]), None]

    def rate(step: Any) -> Any:
        parts = [
            value * ((step >= start) if stop is None else (step >= start) & (step < stop))
            for (_, value), start, stop in zip(numbers, starts, stops, strict=True)
        ]
        return sum(parts[1:], start=parts[0])

    return rate
