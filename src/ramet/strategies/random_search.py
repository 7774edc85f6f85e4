"""Random search: the baseline, in which no member ever copies another."""

from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Any

import numpy as np

from ramet.events import Birth
from ramet.population import Population
from ramet.showing import list_fields
from ramet.space import Space
from ramet.strategies.base import (
    Action,
    check_members,
    check_pace,
    sample_births,
)
from ramet.strategies.pace import fit_turn_steps


@dataclass(frozen=True, slots=True)
class RandomSearch:
    """Members keep the hyperparameters that they start with.

    Args:
        population: How many members train.
        turn_steps: Steps in a turn; None is a twentieth of the budget.
        synchronous: Whether all members wait for each other.
        evaluate_every: Steps between two scores; None for one score a turn, at its end.
        initial: The hyperparameters of the first members; those of the others are drawn.
    """

    _: KW_ONLY
    population: int
    turn_steps: int | None = None
    synchronous: bool = False
    evaluate_every: int | None = None
    initial: Sequence[Mapping[str, Any]] = ()

    _repr_html_ = list_fields

    def __post_init__(self) -> None:
        check_pace(turn_steps=self.turn_steps, evaluate_every=self.evaluate_every)
        check_members(self.population, self.initial)

    def fit(self, steps: int) -> "RandomSearch":
        """Return the strategy with ``turn_steps``: a twentieth of a budget, if it has none.

        Args:
            steps: The budget of each member.
        """
        return fit_turn_steps(self, steps)

    def births(self, space: Space, steps: int, rng: np.random.Generator) -> list[Birth]:
        return sample_births(space, self.population, rng, self.initial)

    def decide(
        self, population: Population, ready: Sequence[int], rng: np.random.Generator
    ) -> Sequence[Action]:
        return ()
