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

# How many moves in a row `where` may reject before the member keeps its hyperparameters.
TRIES = 100


@dataclass(frozen=True, slots=True)
class Perturb:
    """Multiply by one of the factors; see each domain for how it moves.

    Args:
        factors: The factors, each as likely as any other.
        redraw: The probability of drawing an unordered choice again, since no factor can move it.

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
    """Draw a new value from where members start, with some probability.

    Args:
        probability: The probability for each hyperparameter.
        otherwise: The rule for the hyperparameters that are not drawn again; None keeps them.

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
    """Return hyperparameters moved by their own rules, or else by this one, within their domains.

    Moves that ``where`` rejects are drawn again. If it rejects them all, nothing moves.
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
