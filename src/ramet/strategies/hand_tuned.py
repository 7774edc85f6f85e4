"""The hand-tuned baseline: one relative schedule for all, each member with its own base values."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Any, Protocol

import numpy as np

from ramet.domains import Integer, LogUniform, Uniform
from ramet.errors import SpaceError, StrategyError
from ramet.events import Birth
from ramet.population import Population
from ramet.showing import list_fields
from ramet.space import REDRAWS, Hparams, Space
from ramet.strategies.base import (
    Action,
    Change,
    check_members,
    check_pace,
    check_rule,
    sample_births,
    warn_if_single_turn,
)
from ramet.strategies.pace import fit_turn_steps, require_turn_steps

NUMBERS = (Uniform, LogUniform, Integer)


class Shape(Protocol):
    """A relative schedule: the factor of the base value, at each point of the training."""

    def __call__(self, part: float, /) -> float:
        """Return the factor.

        Args:
            part: The fraction of the training that is done, from 0 to 1.
        """
        ...


@dataclass(frozen=True, slots=True)
class Drops:
    """A linear warm-up, then a constant that drops at certain points of the training.

    The defaults are the ImageNet schedule that FIRE PBT was compared with.

    >>> shape = Drops()
    >>> [round(shape(part), 4) for part in (1 / 90, 0.2, 0.5, 0.7, 0.95)]
    [0.2, 1.0, 0.1, 0.01, 0.001]
    """

    # The fractions of the training after which it drops.
    at: Sequence[float] = (1 / 3, 2 / 3, 8 / 9)
    # What each drop multiplies by.
    factor: float = 0.1
    # The fraction of the training that is the warm-up.
    warmup: float = 5 / 90

    def __post_init__(self) -> None:
        object.__setattr__(self, "at", tuple(self.at))
        _check_parts(self.at)
        _check_parts((self.warmup,))
        if not 0 <= self.factor < math.inf:
            raise StrategyError(f"factor must be a number, at least 0, but got {self.factor!r}")

    def __call__(self, part: float) -> float:
        if part < self.warmup:
            return part / self.warmup
        return self.factor ** sum(part >= drop for drop in self.at)


@dataclass(frozen=True, slots=True)
class Cosine:
    """A linear warm-up, then half a cosine down to a last factor.

    >>> [round(Cosine()(part), 3) for part in (0.0, 0.5, 1.0)]
    [1.0, 0.5, 0.0]
    """

    # The factor at the end.
    last: float = 0.0
    # The fraction of the training that is the warm-up.
    warmup: float = 0.0

    def __post_init__(self) -> None:
        _check_parts((self.warmup,))

    def __call__(self, part: float) -> float:
        if part < self.warmup:
            return part / self.warmup
        along = (part - self.warmup) / (1 - self.warmup)
        return self.last + (1 - self.last) * (1 + math.cos(math.pi * along)) / 2


@dataclass(frozen=True, slots=True)
class HandTuned:
    """Random search over a schedule: each member draws its base values and follows the shapes.

    A turn is trained with the values that the shapes have at its middle. Values are clipped to
    their domain, so the domain of a scheduled hyperparameter must be as wide as its schedule. Base
    values are drawn from the range ``start=`` of the domain, and drawn again until the space's
    ``where=`` accepts all turns. Limits change values as they do when members explore. A shape has
    no effect on members that do not have its hyperparameter.

    Args:
        population: How many members train.
        turn_steps: Steps in a turn; None is a twentieth of the budget.
        shapes: The relative schedule of each hyperparameter that has one: Drops, Cosine, or any
            function of the part of the training, from 0 to 1.
        synchronous: Whether all members wait for each other.
        evaluate_every: Steps between two scores; None for one score a turn, at its end.
        initial: The base values of the first members; those of the others are drawn.
    """

    _: KW_ONLY
    population: int
    turn_steps: int | None = None
    shapes: Mapping[str, Shape]
    synchronous: bool = False
    evaluate_every: int | None = None
    initial: Sequence[Mapping[str, Any]] = ()

    _repr_html_ = list_fields

    def __post_init__(self) -> None:
        check_pace(turn_steps=self.turn_steps, evaluate_every=self.evaluate_every)
        check_members(self.population, self.initial)
        if not isinstance(self.shapes, Mapping):
            raise StrategyError(
                f"shapes must give each scheduled hyperparameter its shape, such as "
                f"{{'lr': Drops()}}, but got {self.shapes!r}"
            )
        for name, shape in self.shapes.items():
            check_rule(f"the shape of {name!r}", shape, "__call__", "Drops() or Cosine()")
        if not self.shapes:
            raise StrategyError(
                "shapes must name at least one hyperparameter, but got none; without a schedule "
                "this is RandomSearch"
            )

    def fit(self, steps: int) -> "HandTuned":
        """Return the strategy with ``turn_steps``: a twentieth of a budget, if it has none.

        Args:
            steps: The budget of each member.
        """
        return fit_turn_steps(self, steps)

    def births(self, space: Space, steps: int, rng: np.random.Generator) -> list[Birth]:
        if self.turn_steps is None:
            return self.fit(steps).births(space, steps, rng)
        numbers = [name for name, domain in space.items() if isinstance(domain, NUMBERS)]
        if unknown := [name for name in self.shapes if name not in numbers]:
            raise StrategyError(
                f"shapes must be of numeric hyperparameters in the space, but got {unknown}; it "
                f"has {numbers}"
            )
        decisive = {one.on for its in space.conditions.values() for one in its}
        if wrong := [name for name in self.shapes if name in decisive]:
            raise StrategyError(
                f"shapes must be of hyperparameters that no others depend on, but a When of the "
                f"space depends on {wrong}; take their shapes away"
            )
        self._warn_if_single_turn(steps)
        births = sample_births(space, self.population, rng, self.initial)
        bases = [birth.hparams for birth in births]
        if space.restricted:
            given = len(self.initial)
            for base in bases[:given]:
                if rejected := self._check_base(space, base, steps):
                    raise rejected
            bases[given:] = [self._redraw(space, base, steps, rng) for base in bases[given:]]
        return [Birth(hparams=self._values(space, base, 0, steps), data=base) for base in bases]

    def decide(
        self, population: Population, ready: Sequence[int], rng: np.random.Generator
    ) -> Iterator[Action]:
        for id_ in ready:
            member = population[id_]
            if not population.is_finished(id_):
                base, space = member.data, population.space
                hparams = self._values(space, base, member.trained, population.steps)
                if not space.allows(hparams):
                    # births and check_budget have checked all turns, so where= has changed.
                    raise _leaves(base, hparams, member.trained)
                yield Change(member=id_, hparams=hparams)

    def check_budget(self, population: Population) -> None:
        """Refuse more steps if ``where`` rejects a turn that is still to be decided on."""
        self._warn_if_single_turn(population.steps)
        space, steps = population.space, population.steps
        turn_steps = require_turn_steps(self)
        for member in population if space.restricted else ():
            # The values of a member's next turn are decided already.
            undecided = range(member.trained + turn_steps, steps, turn_steps)
            if found := self._first_rejected(space, member.data, undecided, steps):
                trained, hparams = found
                raise SpaceError(
                    f"a greater budget stretches hand-tuned schedules, of which where= must accept "
                    f"every turn, but with {steps=} it rejects {hparams} for member {member.id}, "
                    f"from step {trained:,} on, over the base values {member.data}; nothing was "
                    f"changed; give fewer steps, or begin a new run under another name"
                )

    def _warn_if_single_turn(self, steps: int) -> None:
        never = "every value will stay as it begins"
        warn_if_single_turn(self, turn_steps=require_turn_steps(self), steps=steps, never=never)

    def _values(self, space: Space, base: Hparams, trained: int, steps: int) -> Hparams:
        middle = trained + min(require_turn_steps(self), steps - trained) / 2
        values = dict(base)
        for name, shape in self.shapes.items():
            if name in base:
                values[name] = space[name].clip(base[name] * shape(middle / steps))  # type: ignore[operator]  # births lets only numbers through
        # Nothing is left to draw, since no shape changes whether a hyperparameter is there.
        return space.complete(values, None)

    def _check_base(self, space: Space, base: Hparams, steps: int) -> SpaceError | None:
        """Return the error for base values if ``where`` rejects a turn of their schedule."""
        found = self._first_rejected(space, base, range(0, steps, require_turn_steps(self)), steps)
        return found and _leaves(base, found[1], found[0])

    def _first_rejected(
        self, space: Space, base: Hparams, turns: Sequence[int], steps: int
    ) -> tuple[int, Hparams] | None:
        """Return the first step and the values of the first turn that ``where`` rejects."""
        for trained in turns:
            hparams = self._values(space, base, trained, steps)
            if not space.allows(hparams):
                return trained, hparams
        return None

    def _redraw(self, space: Space, base: Hparams, steps: int, rng: np.random.Generator) -> Hparams:
        """Return base values with a schedule that ``where`` accepts: these, or new ones."""
        rejected = self._check_base(space, base, steps)
        for _ in range(REDRAWS):
            if rejected is None:
                return base
            base = space.sample(rng)
            rejected = self._check_base(space, base, steps)
        raise SpaceError(f"{REDRAWS:,} base values were drawn, but none would do: {rejected}")


def _leaves(base: Hparams, hparams: Hparams, trained: int) -> SpaceError:
    return SpaceError(
        f"where= must accept every turn of a hand-tuned schedule, but over the base values {base} "
        f"it rejects {hparams}, from step {trained:,} on; widen where=, have the shapes end "
        f"higher, such as Cosine(last=0.1), or start from other values"
    )


def _check_parts(parts: Sequence[float]) -> None:
    if not all(0 <= part < 1 for part in parts):
        raise StrategyError(f"parts of the training must lie in [0, 1), but got {tuple(parts)}")
