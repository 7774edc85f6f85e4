"""Hyperparameters as numbers from 0 to 1, as a model of the space sees them."""

import math
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ramet.domains import Choice, Constant, Domain, Integer, LogUniform, Uniform, Value, exact
from ramet.space import Hparams, Space

Floats: TypeAlias = NDArray[np.float64]
Places: TypeAlias = NDArray[np.int64]

# Where a hyperparameter is placed while it is not there: in the middle, at most halfway from any.
ABSENT = 0.5


def axes_of(space: Space) -> dict[str, Domain]:
    """Return the hyperparameters that have a scale: all but constants and unordered choices."""
    return {name: domain for name, domain in space.domains if _has_scale(domain)}


def to_unit(domain: Domain, value: Any) -> float:
    """Return where a value lies in its domain, from 0 to 1.

    >>> to_unit(LogUniform(0.01, 1.0), 0.1), to_unit(Choice([1, 2, 4], ordered=True), 2)
    (0.5, 0.5)
    """
    match domain:
        case Choice():
            place = [exact(option) for option in domain.options].index(exact(value))
            return place / (len(domain.options) - 1)
        case LogUniform() | Integer(log=True):
            low, high, value = math.log(domain.low), math.log(domain.high), math.log(value)
        case Uniform() | Integer():
            low, high = domain.low, domain.high
        case _:
            raise AssertionError(domain)
    # Logarithms of bounds that differ may be equal.
    return min(max((value - low) / (high - low), 0.0), 1.0) if low < high else 0.0


def from_unit(domain: Domain, place: float) -> Value:
    """Return the value at a place of its domain, from 0 to 1.

    >>> from_unit(Integer(1, 9), 0.5), from_unit(Choice(["s", "m", "l"], ordered=True), 0.9)
    (5, 'l')
    """
    match domain:
        case Choice():
            return domain.options[round(place * (len(domain.options) - 1))]
        case LogUniform() | Integer(log=True):
            low, high = math.log(domain.low), math.log(domain.high)
            # The largest float has a logarithm with an exponential above it.
            with np.errstate(over="ignore"):
                return domain.clip(float(np.exp(low + place * (high - low))))
        case Uniform() | Integer():
            return domain.clip(domain.low + place * (domain.high - domain.low))
        case _:
            raise AssertionError(domain)


def rows_of(axes: dict[str, Domain], points: list[Hparams]) -> Floats:
    """Return a row of numbers from 0 to 1 for each of some hyperparameters."""
    rows = [
        [
            to_unit(domain, hparams[name]) if name in hparams else ABSENT
            for name, domain in axes.items()
        ]
        for hparams in points
    ]
    return np.array(rows, np.float64).reshape(len(points), len(axes))


def options_of(space: Space) -> dict[str, Choice]:
    """Return the unordered choices that a model may choose.

    They have no rule of their own, and are not in an array that moves together.
    """
    together = {name for names in space.together for name in names}
    return {
        name: domain
        for name, domain in space.domains
        if isinstance(domain, Choice)
        and name not in together
        and not domain.ordered
        and domain.explore is None
        and len(domain.options) > 1
    }


def places_of(choices: dict[str, Choice], points: Sequence[Hparams]) -> Places:
    """Return the places of the options of some hyperparameters, as a row for each of them.

    One that is not there has the place -1.
    """
    options = {name: [exact(each) for each in domain.options] for name, domain in choices.items()}
    rows = [
        [its.index(exact(point[name])) if name in point else -1 for name, its in options.items()]
        for point in points
    ]
    return np.array(rows, np.int64).reshape(len(points), len(choices))


def _has_scale(domain: Domain) -> bool:
    if isinstance(domain, Choice):
        return domain.ordered and len(domain.options) > 1
    return not isinstance(domain, Constant)
