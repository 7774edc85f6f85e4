"""How hyperparameters change when a member explores."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ramet.domains import Choice, Constant, Domain, Explore
from ramet.errors import StrategyError
from ramet.randomness import pick
from ramet.space import Hparams, Space

# How many moves in a row `where` may reject before the member stays where it is.
TRIES = 100


@dataclass(frozen=True, slots=True)
class Perturb:
    """Multiply by one of the factors; see each domain for how it moves.

    Args:
        factors: What is drawn from, each as likely as any other.
        redraw: The probability that an unordered choice, which no factor can move, is drawn again.

    >>> Perturb(factors=(0.5, 0.8, 1.25, 2.0))  # FIRE's
    Perturb(factors=(0.5, 0.8, 1.25, 2.0), redraw=0.25)
    """

    factors: Sequence[float] = (0.8, 1.2)
    redraw: float = 0.25

    def __post_init__(self) -> None:
        if isinstance(self.factors, list | tuple):
            object.__setattr__(self, "factors", tuple(self.factors))
        if (
            not isinstance(self.factors, tuple)
            or not self.factors
            or not all(map(_is_factor, self.factors))
        ):
            raise StrategyError(
                f"factors must be positive finite numbers, at least one, but got {self.factors!r}"
            )
        _check_probability("redraw", self.redraw)

    def move(self, domain: Domain, value: Any, rng: np.random.Generator) -> Any:
        if isinstance(domain, Choice) and not domain.ordered:
            return domain.sample(rng) if rng.random() < self.redraw else value
        return domain.perturb(value, pick(self.factors, rng))


@dataclass(frozen=True, slots=True)
class Resample:
    """Draw anew from where members start, with some probability; otherwise do something else.

    Args:
        probability: How likely each hyperparameter is to be drawn anew.
        otherwise: The rule for the others; None lets them stay.

    >>> Resample(0.25, otherwise=Perturb())  # the paper's combination
    Resample(probability=0.25, otherwise=Perturb(factors=(0.8, 1.2), redraw=0.25))
    """

    probability: float = 1.0
    otherwise: Explore | None = None

    def __post_init__(self) -> None:
        _check_probability("probability", self.probability)

    def move(self, domain: Domain, value: Any, rng: np.random.Generator) -> Any:
        if rng.random() < self.probability:
            return domain.sample(rng)
        return value if self.otherwise is None else self.otherwise.move(domain, value, rng)


def explore_from(
    space: Space, hparams: Hparams, explore: Explore, rng: np.random.Generator
) -> Hparams:
    """Move each hyperparameter by its own rule, or by this one; what leaves a range is clipped.

    Moves that ``where`` rejects are drawn again; if it rejects them all, nothing moves.
    """
    rules = [
        (name, domain, domain.explore or explore)
        for name, domain in space.domains
        if not isinstance(domain, Constant)
    ]
    for _ in range(TRIES):
        moved = dict(hparams)
        for name, domain, rule in rules:
            moved[name] = domain.clip(rule.move(domain, hparams[name], rng))
        if space.allows(moved):
            return moved
    return hparams


def _is_factor(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value) and value > 0


def _check_probability(name: str, value: float) -> None:
    if not 0 <= value <= 1:
        raise StrategyError(f"{name} must be a probability, from 0 to 1, but got {value!r}")
