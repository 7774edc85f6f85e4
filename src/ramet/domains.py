"""Domains: what one hyperparameter may be, and how it moves without ever leaving that.

Every domain has the same five methods: ``problem`` (what is wrong with it, if anything),
``contains``, ``clip``, ``sample``, and ``perturb``, which moves a value by a factor.
"""

import math
import sys
from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass, fields
from typing import Any, Protocol, TypeAlias, TypeGuard, runtime_checkable

import numpy as np

from ramet.randomness import pick
from ramet.wording import is_text

Value: TypeAlias = float | int | str | bool | None

# Whole numbers beyond this are not exact for every reader of a stored run.
LARGEST_INTEGER = 2**53


@runtime_checkable
class Explore(Protocol):
    """How one hyperparameter gets its next value from its present one.

    Any domain but a constant may come. What leaves a range is clipped to it.
    """

    def move(self, domain: "Domain", value: Any, rng: np.random.Generator, /) -> Any:
        """Return a value of the domain."""
        ...


@dataclass(frozen=True, slots=True, repr=False)
class Uniform:
    """A real number between two bounds.

    >>> Uniform(0.0, 10.0).perturb(5.0, 1.2)  # a domain that holds 0 moves by parts of its width
    7.0
    >>> Uniform(1.0, 10.0).perturb(5.0, 1.2)
    6.0
    """

    low: float
    high: float
    _: KW_ONLY
    # Where members start, when that is less than the whole domain.
    start: tuple[float, float] | None = None
    # How this hyperparameter explores, instead of as the strategy says.
    explore: Explore | None = None

    def __post_init__(self) -> None:
        _make_plain(self)

    def __repr__(self) -> str:
        return _written(self)

    def problem(self) -> str | None:
        return _range_problem(self.low, self.high, self.start)

    def contains(self, value: object) -> bool:
        return _is_real(value) and self.low <= value <= self.high

    def clip(self, value: float) -> float:
        return float(min(max(value, self.low), self.high))

    def sample(self, rng: np.random.Generator) -> float:
        low, high = self.start or (self.low, self.high)
        return self.clip(low + (high - low) * rng.random())

    def perturb(self, value: float, factor: float) -> float:
        return self.clip(_moved(value, factor, self.low, self.high))


@dataclass(frozen=True, slots=True, repr=False)
class LogUniform:
    """A positive real number between two bounds, drawn evenly over its logarithm.

    >>> LogUniform(1e-4, 1.0).perturb(0.9, 2.0)
    1.0
    """

    low: float
    high: float
    _: KW_ONLY
    # Where members start, when that is less than the whole domain.
    start: tuple[float, float] | None = None
    # How this hyperparameter explores, instead of as the strategy says.
    explore: Explore | None = None

    def __post_init__(self) -> None:
        _make_plain(self)

    def __repr__(self) -> str:
        return _written(self)

    def problem(self) -> str | None:
        return _range_problem(self.low, self.high, self.start) or _log_problem(self.low)

    def contains(self, value: object) -> bool:
        return _is_real(value) and self.low <= value <= self.high

    def clip(self, value: float) -> float:
        return float(min(max(value, self.low), self.high))

    def sample(self, rng: np.random.Generator) -> float:
        low, high = self.start or (self.low, self.high)
        return float(min(max(_log_draw(low, high, rng), low), high))

    def perturb(self, value: float, factor: float) -> float:
        return self.clip(value * factor)


@dataclass(frozen=True, slots=True, repr=False)
class Integer:
    """A whole number between two bounds, both included; ``log`` draws evenly over its logarithm.

    It always moves by at least 1, and turns back where a bound leaves no room.

    >>> Integer(1, 9).perturb(1, 0.8), Integer(1, 9).perturb(2, 0.8), Integer(1, 9).perturb(9, 1.2)
    (2, 1, 8)
    """

    low: int
    high: int
    _: KW_ONLY
    log: bool = False
    # Where members start, when that is less than the whole domain.
    start: tuple[int, int] | None = None
    # How this hyperparameter explores, instead of as the strategy says.
    explore: Explore | None = None

    def __post_init__(self) -> None:
        _make_plain(self)

    def __repr__(self) -> str:
        return _written(self)

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
        moved = _moved(value, factor, self.low, self.high)
        target = self.clip(moved)
        if target != value or factor == 1:
            return target
        step = 1 if moved > value else -1
        return value + step if self.contains(value + step) else value - step


@dataclass(frozen=True, slots=True, repr=False)
class Choice:
    """One of several options; ``ordered`` if neighbours are alike, as in (32, 64, 128).

    Options are numbers, strings, booleans or None, because every value is kept in the run's log.
    An ordered choice moves to a neighbour, and turns back at an end. An unordered one has no up or
    down: it is only ever redrawn.

    >>> Choice([32, 64, 128], ordered=True).perturb(64, 1.2)
    128
    """

    options: Sequence[Value]
    _: KW_ONLY
    ordered: bool = False
    # How this hyperparameter explores, instead of as the strategy says.
    explore: Explore | None = None

    def __post_init__(self) -> None:
        _make_plain(self)

    def __repr__(self) -> str:
        return _written(self)

    def problem(self) -> str | None:
        if not isinstance(self.options, tuple):
            return f"options must be a list, but got {self.options!r}"
        if not self.options:
            return "there must be at least one option, but got none"
        distinct = {(type(option), option) for option in self.options if _is_value(option)}
        if len(distinct) < len(self.options):
            return (
                "options must be distinct finite numbers, strings, booleans or None, but got "
                f"{list(self.options)}; give anything else a name, and look the name up in the loop"
            )
        return None

    def contains(self, value: object) -> bool:
        # 1, 1.0 and True are three options.
        return any(type(option) is type(value) and option == value for option in self.options)

    def clip(self, value: Value) -> Value:
        # No option is nearer than another.
        return value

    def sample(self, rng: np.random.Generator) -> Value:
        return pick(self.options, rng)

    def perturb(self, value: Value, factor: float) -> Value:
        last = len(self.options) - 1
        if not self.ordered or factor == 1 or not last:
            return value
        place = next(i for i, option in enumerate(self.options) if _same(option, value))
        step = 1 if factor > 1 else -1
        return self.options[place + step if 0 <= place + step <= last else place - step]


@dataclass(frozen=True, slots=True, repr=False)
class Constant:
    """A value that never changes, kept beside the others so that the log and the loop know it."""

    value: Value
    _: KW_ONLY
    # Every domain has one; a constant's has no effect.
    explore: Explore | None = None

    def __post_init__(self) -> None:
        _make_plain(self)

    def __repr__(self) -> str:
        return _written(self)

    def problem(self) -> str | None:
        if _is_value(self.value):
            return None
        return f"it must be a finite number, a string, a boolean or None, but got {self.value!r}"

    def contains(self, value: object) -> bool:
        return _same(self.value, value)

    def clip(self, value: Value) -> Value:
        return self.value

    def sample(self, rng: np.random.Generator) -> Value:
        return self.value

    def perturb(self, value: Value, factor: float) -> Value:
        return self.value


Domain: TypeAlias = Uniform | LogUniform | Integer | Choice | Constant


def _range_problem(low: float, high: float, start: tuple[float, float] | None = None) -> str | None:
    if not (_is_real(low) and _is_real(high) and _is_real(high - low)):
        return f"bounds must be finite numbers, but got ({low=}, {high=})"
    if not low < high:
        return f"low < high must hold, but got ({low=}, {high=}); for one value use Constant"
    if start is None:
        return None
    match start:
        case (first, last) if _is_real(first) and _is_real(last) and low <= first <= last <= high:
            return None
    return f"start must be a pair within the bounds, but got ({low=}, {high=}, {start=})"


def _log_problem(low: float) -> str | None:
    return None if low > 0 else f"0 < low must hold on a log scale, got ({low=})"


def _moved(value: float, factor: float, low: float, high: float) -> float:
    """Scale a value, or where its domain holds 0, shift it by the same part of the width."""
    return value + (factor - 1) * (high - low) if low <= 0 <= high else value * factor


def _log_draw(low: float, high: float, rng: np.random.Generator) -> float:
    bottom, top = math.log(low), math.log(high)
    return math.exp(bottom + (top - bottom) * rng.random())


def _make_plain(domain: object) -> None:
    """Give a domain Python's own numbers for NumPy's, and tuples for lists: what a log can keep."""
    for field in fields(domain):  # type: ignore[arg-type]  # every domain is a dataclass
        object.__setattr__(domain, field.name, plain(getattr(domain, field.name)))


def _written(domain: Any) -> str:
    """Write a domain as a person would: what is as it always is goes unsaid."""
    said = [
        f"{field.name}={value!r}"
        for field in fields(domain)
        if (value := getattr(domain, field.name)) != field.default
    ]
    return f"{type(domain).__name__}({', '.join(said)})"


def exact(value: Value) -> tuple[type, str]:
    """Return a key that equal values share only if no code can tell them apart.

    >>> len({exact(value) for value in (1, 1.0, True, 0.0, -0.0)})
    5
    """
    return type(value), repr(value)


def plain(value: Any) -> Any:
    """Return Python's own number for NumPy's, and a tuple for a list."""
    if isinstance(value, list | tuple | np.ndarray):
        return tuple(map(plain, value))
    return value.item() if isinstance(value, np.generic) else value


def _is_real(value: object) -> TypeGuard[float]:
    # A comparison, because math.isfinite fails on whole numbers that no float can hold.
    return type(value) in {int, float} and abs(value) <= sys.float_info.max  # type: ignore[arg-type]  # type() narrows nothing


def _is_whole(value: object) -> TypeGuard[int]:
    return type(value) is int


def _is_value(value: object) -> TypeGuard[Value]:
    """Say whether a log gives back the same: not so with enumerations, or half a character."""
    if isinstance(value, str):
        return type(value) is str and is_text(value)
    if isinstance(value, int):
        return type(value) in {bool, int} and abs(value) <= LARGEST_INTEGER
    return value is None or _is_real(value)


def _same(one: object, other: object) -> bool:
    return type(one) is type(other) and one == other
