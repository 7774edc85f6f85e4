"""What a domain is, and what all domains are made with."""

import sys
from dataclasses import fields
from typing import Any, Protocol, TypeAlias, TypeGuard, runtime_checkable

import numpy as np

# What a hyperparameter may be: a run's log keeps it as JSON.
Value: TypeAlias = float | int | str | bool | None


@runtime_checkable
class Explore(Protocol):
    """How one hyperparameter gets its next value from its present one.

    Rules are called for every domain but constants. A value outside a range is clipped to it.
    """

    def move(self, domain: "Domain", value: Any, rng: np.random.Generator, /) -> Any:
        """Return the next value.

        Args:
            domain: What the hyperparameter may be.
            value: What it is now.
            rng: Draw from this generator only.
        """
        ...


class Domain(Protocol):
    """What one hyperparameter may be. The domains are ramet's own: a log describes them by name."""

    @property
    def explore(self) -> Explore | None:
        """How this hyperparameter explores; None explores as the strategy says."""
        ...

    def problem(self) -> str | None:
        """Return what is wrong with the domain, or None."""
        ...

    def contains(self, value: object) -> bool:
        """Say whether a value is in the domain. 1, 1.0 and True are three values.

        Args:
            value: Any object.
        """
        ...

    def clip(self, value: Any) -> Value:
        """Return the nearest value in the domain.

        Args:
            value: A value of the right kind, in the domain or not.
        """
        ...

    def sample(self, rng: np.random.Generator) -> Value:
        """Draw a value that a member may start with."""
        ...

    def perturb(self, value: Any, factor: float) -> Value:
        """Return a value moved by a factor, which is in the domain again.

        Args:
            value: A value in the domain.
            factor: What to multiply by; above 1 is up, and below 1 is down.
        """
        ...


def exact(value: Value) -> tuple[type, str]:
    """Return a key that equal values share only if no code can tell them apart.

    >>> len({exact(value) for value in (1, 1.0, True, 0.0, -0.0)})
    5
    """
    return type(value), repr(value)


def plain(value: Any) -> Any:
    """Return NumPy's numbers as Python's, and lists as tuples.

    Args:
        value: Any object.
    """
    if type(value) in _PLAIN:
        return value
    if isinstance(value, list | tuple | np.ndarray):
        return tuple(map(plain, value))
    return value.item() if isinstance(value, np.generic) else value


_PLAIN = frozenset({float, int, str, bool, type(None)})


def make_plain(domain: object) -> None:
    """Replace NumPy's numbers in a domain by Python's, and lists by tuples: a log keeps those."""
    for field in fields(domain):  # type: ignore[arg-type]  # every domain is a dataclass
        object.__setattr__(domain, field.name, plain(getattr(domain, field.name)))


def write(domain: Any) -> str:
    """Write a domain as code, without the arguments that have their default."""
    said = [
        f"{field.name}={value!r}"
        for field in fields(domain)
        if (value := getattr(domain, field.name)) != field.default
    ]
    return f"{type(domain).__name__}({', '.join(said)})"


def is_real(value: object) -> TypeGuard[float]:
    """Say whether a value is a finite number, and no bool."""
    # A comparison, because math.isfinite fails on whole numbers that no float can hold.
    return type(value) in {int, float} and abs(value) <= sys.float_info.max  # type: ignore[arg-type]  # type() narrows nothing
