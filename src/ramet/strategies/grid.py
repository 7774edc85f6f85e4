"""Grid search: one member for each of the points in a list."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Any

import numpy as np

from ramet.errors import StrategyError
from ramet.events import Birth
from ramet.population import Population
from ramet.showing import list_fields
from ramet.space import Space
from ramet.strategies.base import Action, check_pace, check_points, sample_births
from ramet.strategies.pace import fit_turn_steps


@dataclass(frozen=True, slots=True)
class Grid:
    """Members keep the hyperparameters that they start with, one member for each point.

    Args:
        points: The hyperparameters of each member; ``ramet.strategies.product`` lists combinations.
        turn_steps: Steps in a turn; None is a twentieth of the budget.
        synchronous: Whether all members wait for each other.
        evaluate_every: Steps between two scores; None for one score a turn, at its end.

    >>> grid = Grid(product({"lr": [0.1, 0.01], "dropout": [0.0, 0.5]}), turn_steps=10)
    >>> len(grid.points)
    4
    """

    points: Sequence[Mapping[str, Any]]
    _: KW_ONLY
    turn_steps: int | None = None
    synchronous: bool = False
    evaluate_every: int | None = None

    _repr_html_ = list_fields

    def __post_init__(self) -> None:
        check_pace(turn_steps=self.turn_steps, evaluate_every=self.evaluate_every)
        check_points("points", self.points)
        if not self.points:
            raise StrategyError("a grid must have at least one point, but got none")

    def fit(self, steps: int) -> "Grid":
        """Return the strategy with ``turn_steps``: a twentieth of a budget, if it has none.

        Args:
            steps: The budget of each member.
        """
        return fit_turn_steps(self, steps)

    def births(self, space: Space, steps: int, rng: np.random.Generator) -> list[Birth]:
        return sample_births(space, len(self.points), rng, self.points)

    def decide(
        self, population: Population, ready: Sequence[int], rng: np.random.Generator
    ) -> Sequence[Action]:
        return ()


def product(values: Mapping[str, Sequence[Any]]) -> list[dict[str, Any]]:
    """Return every combination of values.

    Args:
        values: The values of each hyperparameter.

    >>> product({"lr": [0.1, 0.01], "depth": [2]})
    [{'lr': 0.1, 'depth': 2}, {'lr': 0.01, 'depth': 2}]
    """
    return [dict(zip(values, point, strict=True)) for point in itertools.product(*values.values())]
