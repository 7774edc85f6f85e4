"""Limits: rules that values of several hyperparameters keep, whatever moves them."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Any, ClassVar, Final, Self, TypeAlias

from ramet.domains.base import is_real, plain

# The values of numbers that have one already.
Numbers: TypeAlias = Mapping[str, float]


@dataclass(frozen=True, slots=True)
class AtMost:
    """One value is at most another, or at most a multiple of it.

    >>> AtMost("warmup", "steps", factor=0.1).holds({"warmup": 20, "steps": 100})
    False
    """

    # The name of the hyperparameter that must be at most the other.
    low: str
    # The name of the other.
    high: str
    _: KW_ONLY
    # What the value of ``high`` is multiplied by before the two are compared; above 0.
    factor: float = 1.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "factor", plain(self.factor))

    @property
    def names(self) -> tuple[str, ...]:
        """The hyperparameters that it is about."""
        return self.low, self.high

    def problem(self) -> str | None:
        """Return what is wrong with it, or None."""
        if not is_real(self.factor) or not self.factor > 0:
            return f"factor must be a number above 0, but got {self.factor!r}"
        if self.low == self.high:
            return f"it must be about two hyperparameters, but got {self.low!r} twice"
        return None

    def holds(self, values: Numbers) -> bool:
        """Say whether it holds; it does if one of the two is not there.

        Args:
            values: The values of hyperparameters, by name.
        """
        if self.low not in values or self.high not in values:
            return True
        return values[self.low] <= self.factor * values[self.high]

    def under(self, prefix: str) -> "AtMost":
        """Return it for names with a prefix.

        Args:
            prefix: What all of its names get in front.
        """
        return AtMost(prefix + self.low, prefix + self.high, factor=self.factor)

    def __str__(self) -> str:
        times = "" if self.factor == 1 else f"{self.factor:g} times "
        return f"{self.low!r} must be at most {times}{self.high!r}"


@dataclass(frozen=True, slots=True)
class _BoundOfSeveral:
    """What is computed from several values, those that are there, is at most a bound."""

    # The hyperparameters that it is about.
    names: Sequence[str]
    # The bound.
    bound: float

    # What stands between the names in words.
    sign: ClassVar[str]

    def __post_init__(self) -> None:
        object.__setattr__(self, "names", plain(self.names))
        object.__setattr__(self, "bound", plain(self.bound))

    def problem(self) -> str | None:
        """Return what is wrong with it, or None."""
        names: Any = self.names
        if not isinstance(names, tuple) or not names or len(set(names)) < len(names):
            return f"names must be a list of hyperparameters, each once, but got {names!r}"
        if not is_real(self.bound):
            return f"bound must be a finite number, but got {self.bound!r}"
        return None

    def holds(self, values: Numbers) -> bool:
        """Say whether it holds for those of the values that are there.

        Args:
            values: The values of hyperparameters, by name.
        """
        there = [values[name] for name in self.names if name in values]
        return not there or self._compute(there) <= self.bound

    def under(self, prefix: str) -> Self:
        """Return it for names with a prefix.

        Args:
            prefix: What all of its names get in front.
        """
        return type(self)([prefix + name for name in self.names], self.bound)

    def __str__(self) -> str:
        return f"{f' {self.sign} '.join(map(repr, self.names))} must be at most {self.bound}"

    def _compute(self, there: Sequence[float]) -> float:
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class SumAtMost(_BoundOfSeveral):
    """The sum of some values is at most a bound. Values that are not there do not count.

    Args:
        names: The hyperparameters that it is about.
        bound: The bound.

    >>> SumAtMost(["flip", "crop"], 1.0).holds({"flip": 0.5, "crop": 0.6})
    False
    """

    sign: ClassVar[str] = "+"

    def _compute(self, there: Sequence[float]) -> float:
        # Python from 3.12 on corrects rounding in sum(), and a run may move to another Python.
        total: float = 0
        for value in there:
            total += value
        return total


@dataclass(frozen=True, slots=True)
class ProductAtMost(_BoundOfSeveral):
    """The product of some values, none below 0, is at most a bound.

    Values that are not there do not count.

    Args:
        names: The hyperparameters that it is about.
        bound: The bound.

    >>> ProductAtMost(["batch", "length"], 65_536).holds({"batch": 64, "length": 2_048})
    False
    """

    sign: ClassVar[str] = "*"

    def _compute(self, there: Sequence[float]) -> float:
        # It is 0 if any value is, even if others are too great for a float together.
        if 0 in there:
            return 0
        try:
            return math.prod(there)
        except OverflowError:
            # A whole number that no float can hold met a float.
            return math.inf


Limit: TypeAlias = AtMost | SumAtMost | ProductAtMost
LIMITS: Final = (AtMost, SumAtMost, ProductAtMost)
