"""How hyperparameters change when a member explores."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias, runtime_checkable

import numpy as np

from ramet.domains import Choice, Constant, Domain, Explore, LogUniform, Uniform
from ramet.domains.numbers import perturb_all
from ramet.errors import StrategyError
from ramet.population import Population
from ramet.randomness import pick
from ramet.space import Hparams, Space
from ramet.strategies.base import check_count
from ramet.strategies.in_step import follow

# From this many members on, arrays move them faster than one call for each.
BY_ARRAYS_FROM = 8
# How many moves in a row `where` may reject before the member keeps its hyperparameters.
TRIES = 100


@dataclass(frozen=True, slots=True)
class Perturb:
    """Multiply each hyperparameter by one of the factors; its domain says how values move.

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
    """With some probability, draw a new value as for a new member.

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
        if self.otherwise is not None and not callable(getattr(self.otherwise, "move", None)):
            raise StrategyError(
                f"otherwise must be a rule that moves one hyperparameter, such as Perturb(), or "
                f"None, but got {self.otherwise!r}"
            )

    def move(self, domain: Domain, value: Any, rng: np.random.Generator) -> Any:
        if rng.random() < self.probability:
            return domain.sample(rng)
        return value if self.otherwise is None else self.otherwise.move(domain, value, rng)


class Explorer(Protocol):
    """Moves the members that explore in one decision, one after the other."""

    def move(self, member: int, origin: int, rng: np.random.Generator, /) -> Hparams:
        """Return the next hyperparameters of a member.

        Args:
            member: The id of the member that explores.
            origin: The id of the member with the hyperparameters, and mostly the weights, from
                which it goes on.
            rng: Draw from this generator only.
        """
        ...


@runtime_checkable
class ExploreTogether(Protocol):
    """A rule that moves all hyperparameters of a member together, and may look at past turns."""

    @property
    def rows(self) -> int:
        """How many past turns of all members together it looks at."""
        ...

    def explorer(self, population: Population, /) -> Explorer:
        """Return what moves the members that explore in one decision.

        Args:
            population: All members, as they are when the decision begins.
        """
        ...


# What a strategy takes for explore.
AnyExplore: TypeAlias = Explore | ExploreTogether
# For each hyperparameter that can move, its name, its domain and the rule by which it moves.
Rules: TypeAlias = Sequence[tuple[str, Domain, Explore]]


def explorer_of(explore: AnyExplore, population: Population) -> Explorer:
    """Return what moves the members that explore by a rule in one decision."""
    if isinstance(explore, ExploreTogether):
        return explore.explorer(population)
    return EachByItself(population, _find_rules(population.space, explore))


def turns_to_remember(explore: AnyExplore | None, population: int) -> int:
    """Return how many past turns of each of some members a rule looks at."""
    return math.ceil(explore.rows / population) if isinstance(explore, ExploreTogether) else 0


def check_explore(explore: object, example: str, name: str = "explore") -> None:
    """Refuse what is not a rule to explore by."""
    together = not isinstance(explore, type) and isinstance(explore, ExploreTogether)
    if isinstance(explore, type) or not (together or callable(getattr(explore, "move", None))):
        lacks = (
            "; a rule with explorer(population) must have rows, how many past turns it looks at"
            if callable(getattr(explore, "explorer", None))
            else ""
        )
        raise StrategyError(f"{name} must be a rule such as {example}, but got {explore!r}{lacks}")
    if together:
        rows = explore.rows  # type: ignore[attr-defined]  # it is an ExploreTogether
        check_count("rows", rows, "how many past turns the rule looks at", least=0)


def move_all(
    explorer: Explorer, origins: Sequence[tuple[int, int]], rng: np.random.Generator
) -> list[Hparams]:
    """Return what moving members one after the other returns, for many of them in less time.

    Args:
        explorer: What moves them.
        origins: For each member that explores, its id and that of its origin.
        rng: Draw from this generator only.
    """
    if isinstance(explorer, EachByItself) and len(origins) >= BY_ARRAYS_FROM:
        factors = explorer.draw_factors(len(origins), rng)
        if factors is not None:
            return explorer.perturb_all([origin for _, origin in origins], factors)
    return [explorer.move(member, origin, rng) for member, origin in origins]


@dataclass(frozen=True, slots=True)
class EachByItself:
    """Moves each hyperparameter by itself."""

    population: Population
    rules: Rules

    def draw_factors(self, count: int, rng: np.random.Generator) -> list[list[float]] | None:
        """Return the factors by which members move, for each hyperparameter.

        Return None, and draw nothing, if members draw other things as well.
        """
        options = [_factors_of(domain, rule) for _, domain, rule in self.rules]
        if not self.population.space.independent or None in options:
            return None
        # The same numbers as one by one: those of a member follow each other.
        drawn = rng.random((count, len(options)))
        return [
            [its[place] for place in (drawn[:, nth] * len(its)).astype(int).tolist()]
            for nth, its in enumerate(options)
            if its is not None
        ]

    def perturb_all(
        self, origins: Sequence[int], factors: Sequence[Sequence[float]]
    ) -> list[Hparams]:
        """Return the hyperparameters of members, each moved by its factor."""
        before = [self.population.members[origin].hparams for origin in origins]
        moved = [
            _perturb_all(domain, [hparams[name] for hparams in before], its)
            for (name, domain, _), its in zip(self.rules, factors, strict=True)
        ]
        names = [name for name, _, _ in self.rules]
        after = zip(*moved, strict=True) if moved else [()] * len(before)
        return [
            {**hparams, **dict(zip(names, its, strict=True))}
            for hparams, its in zip(before, after, strict=True)
        ]

    def move(self, member: int, origin: int, rng: np.random.Generator) -> Hparams:
        del member
        source = self.population.members[origin]
        return _move_by_rules(self.population.space, source.hparams, self.rules, rng, source.absent)


def move_in_step(space: Space, before: Hparams, moved: Hparams) -> None:
    """Have the values of arrays that move together follow the first of them.

    Args:
        space: The space.
        before: The values before any has moved.
        moved: The values, of which the first of each such array has moved; changed in place.
    """
    for names in space.together:
        if all(name in before for name in names):
            values = [before[name] for name in names]
            moved.update(zip(names, follow(space[names[0]], values, moved[names[0]]), strict=True))


def explore_from(
    space: Space,
    hparams: Hparams,
    explore: Explore,
    rng: np.random.Generator,
    remembered: Hparams | None = None,
) -> Hparams:
    """Return hyperparameters moved by their own rules, or else by this one, within their domains.

    What moves away from a condition is left out, and what moves into one gets the value that the
    lineage last had, or a drawn one. Moves that break a limit go as far as it allows. Moves that
    ``where`` rejects are drawn again. If it rejects them all, nothing moves.
    """
    return _move_by_rules(space, hparams, _find_rules(space, explore), rng, remembered)


def _find_rules(space: Space, explore: Explore) -> Rules:
    return [
        (name, domain, domain.explore or explore)
        for name, domain in space.domains
        if name not in space.followers and not isinstance(domain, Constant)
    ]


def _move_by_rules(
    space: Space,
    hparams: Hparams,
    rules: Rules,
    rng: np.random.Generator,
    remembered: Hparams | None,
) -> Hparams:
    if space.independent:
        return {**hparams, **_move_each(hparams, rules, rng)}
    remembered = remembered or {}
    for _ in range(TRIES):
        moved = {**remembered, **hparams, **_move_each(hparams, rules, rng)}
        move_in_step(space, hparams, moved)
        moved = space.complete(moved, rng)
        if space.allows(moved):
            return moved
    return hparams


def _move_each(hparams: Hparams, rules: Rules, rng: np.random.Generator) -> Hparams:
    """Return the values that move, each within its domain."""
    return {
        name: domain.clip(rule.move(domain, hparams[name], rng))
        for name, domain, rule in rules
        if name in hparams
    }


def _factors_of(domain: Domain, rule: Explore) -> Sequence[float] | None:
    """Return the factors of a rule that draws one of them and nothing else; None for others."""
    drawn_again = isinstance(domain, Choice) and not domain.ordered
    return rule.factors if type(rule) is Perturb and not drawn_again else None


def _perturb_all(domain: Domain, values: list[Any], factors: Sequence[float]) -> list[Any]:
    if isinstance(domain, Uniform | LogUniform):
        moved = perturb_all(domain, np.array(values, float), np.array(factors, float))
        return list(moved.tolist())
    return [
        domain.clip(domain.perturb(value, factor))
        for value, factor in zip(values, factors, strict=True)
    ]


def _is_factor(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value) and value > 0


def _check_probability(name: str, value: float) -> None:
    if not 0 <= value <= 1:
        raise StrategyError(f"{name} must be a probability, from 0 to 1, but got {value!r}")
