"""Domains of numbers between two bounds."""

import math
from dataclasses import KW_ONLY, dataclass
from typing import TypeAlias, TypeGuard, TypeVar

import numpy as np
from numpy.typing import NDArray

from ramet.domains.answers import explain
from ramet.domains.base import Explore, is_real, make_plain, write

Floats: TypeAlias = NDArray[np.float64]
Moved = TypeVar("Moved", float, Floats)

# Readers of a stored run may round larger whole numbers.
LARGEST_INTEGER = 2**53


@explain
@dataclass(frozen=True, slots=True, repr=False)
class Uniform:
    """A real number between two bounds.

    >>> Uniform(0.0, 10.0).perturb(5.0, 1.2)  # holds 0: moves by a fraction of its width
    7.0
    >>> Uniform(1.0, 10.0).perturb(5.0, 1.2)
    6.0
    """

    # The least value.
    low: float
    # The greatest value.
    high: float
    _: KW_ONLY
    # The range that members start in, if it is not the whole domain.
    start: tuple[float, float] | None = None
    # How this hyperparameter explores; None explores as the strategy says.
    explore: Explore | None = None

    def __post_init__(self) -> None:
        make_plain(self)

    __repr__ = write

    def problem(self) -> str | None:
        return _range_problem(self.low, self.high, self.start)

    def contains(self, value: object) -> bool:
        return is_real(value) and self.low <= value <= self.high

    def clip(self, value: float) -> float:
        return _clip(value, self.low, self.high)

    def sample(self, rng: np.random.Generator) -> float:
        low, high = self.start or (self.low, self.high)
        return self.clip(low + (high - low) * rng.random())

    def perturb(self, value: float, factor: float) -> float:
        return self.clip(_move(value, factor, self.low, self.high))


@explain
@dataclass(frozen=True, slots=True, repr=False)
class LogUniform:
    """A positive real number between two bounds, drawn evenly over its logarithm.

    >>> LogUniform(1e-4, 1.0).perturb(0.9, 2.0)
    1.0
    """

    # The least value.
    low: float
    # The greatest value.
    high: float
    _: KW_ONLY
    # The range that members start in, if it is not the whole domain.
    start: tuple[float, float] | None = None
    # How this hyperparameter explores; None explores as the strategy says.
    explore: Explore | None = None

    def __post_init__(self) -> None:
        make_plain(self)

    __repr__ = write

    def problem(self) -> str | None:
        return _range_problem(self.low, self.high, self.start) or _log_problem(self.low)

    def contains(self, value: object) -> bool:
        return is_real(value) and self.low <= value <= self.high

    def clip(self, value: float) -> float:
        return _clip(value, self.low, self.high)

    def sample(self, rng: np.random.Generator) -> float:
        low, high = self.start or (self.low, self.high)
        return _clip(_log_draw(low, high, rng), low, high)

    def perturb(self, value: float, factor: float) -> float:
        return self.clip(value * factor)


@explain
@dataclass(frozen=True, slots=True, repr=False)
class Integer:
    """A whole number between two bounds, both included.

    It always moves by at least 1. At a bound, it moves back into the range.

    >>> Integer(1, 9).perturb(1, 0.8), Integer(1, 9).perturb(2, 0.8), Integer(1, 9).perturb(9, 1.2)
    (2, 1, 8)
    """

    # The least value.
    low: int
    # The greatest value.
    high: int
    _: KW_ONLY
    # Whether it is drawn evenly over its logarithm.
    log: bool = False
    # The range that members start in, if it is not the whole domain.
    start: tuple[int, int] | None = None
    # How this hyperparameter explores; None explores as the strategy says.
    explore: Explore | None = None

    def __post_init__(self) -> None:
        make_plain(self)

    __repr__ = write

    def problem(self) -> str | None:
        start = self.start if isinstance(self.start, tuple) else ()
        for bound in (self.low, self.high, *start):
            if not _is_whole(bound) or abs(bound) > LARGEST_INTEGER:
                return f"bounds must be whole numbers within ±2**53, but got {bound!r}"
        problem = _range_problem(self.low, self.high, self.start)
        return problem or (_log_problem(self.low) if self.log else None)

    def contains(self, value: object) -> bool:
        return _is_whole(value) and self.low <= value <= self.high

    def clip(self, value: float) -> int:
        return round(min(max(value, self.low), self.high))

    def sample(self, rng: np.random.Generator) -> int:
        low, high = self.start or (self.low, self.high)
        if self.log:
            return min(max(round(_log_draw(low - 0.5, high + 0.5, rng)), low), high)
        return int(rng.integers(low, high, endpoint=True))

    def perturb(self, value: int, factor: float) -> int:
        moved = _move(value, factor, self.low, self.high)
        target = self.clip(moved)
        if target != value or factor == 1:
            return target
        step = 1 if moved > value else -1
        return value + step if self.contains(value + step) else value - step


def perturb_all(domain: Uniform | LogUniform, values: Floats, factors: Floats) -> Floats:
    """Return values in a domain as its ``perturb`` moves each of them, to the bit."""
    low, high = domain.low, domain.high
    with np.errstate(all="ignore"):  # What overflows is clipped, and numbers of Python say nothing.
        is_log = isinstance(domain, LogUniform)
        moved = values * factors if is_log else _move(values, factors, low, high)
    # As min and max choose between equal numbers, such as 0.0 and -0.0.
    moved = np.where(moved < low, low, moved)
    return np.where(moved > high, high, moved)


def _range_problem(low: float, high: float, start: tuple[float, float] | None = None) -> str | None:
    if not (is_real(low) and is_real(high) and is_real(high - low)):
        return f"bounds must be finite numbers, but got ({low=}, {high=})"
    if not low < high:
        return f"low < high must hold, but got ({low=}, {high=}); for one value use Constant"
    if start is None:
        return None
    match start:
        case (first, last) if is_real(first) and is_real(last) and low <= first <= last <= high:
            return None
    return f"start must be a pair within the bounds, but got ({low=}, {high=}, {start=})"


def _log_problem(low: float) -> str | None:
    return None if low > 0 else f"0 < low must hold on a log scale, got ({low=})"


def _move(value: Moved, factor: Moved, low: float, high: float) -> Moved:
    """Scale a value. In a domain that holds 0, shift it by the same fraction of the width."""
    return value + (factor - 1) * (high - low) if low <= 0 <= high else value * factor


def _clip(value: float, low: float, high: float) -> float:
    return float(min(max(value, low), high))


def _log_draw(low: float, high: float, rng: np.random.Generator) -> float:
    bottom, top = math.log(low), math.log(high)
    return math.exp(bottom + (top - bottom) * rng.random())


def _is_whole(value: object) -> TypeGuard[int]:
    return type(value) is int
