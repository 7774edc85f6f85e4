"""A strategy beside which one member keeps the hyperparameters that it began with."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import msgspec
import numpy as np

from ramet.errors import StrategyError
from ramet.events import Birth, RunOpened
from ramet.goals import Goal
from ramet.population import Member, Population
from ramet.ranking import Members
from ramet.showing import list_fields
from ramet.space import Space
from ramet.strategies.base import (
    Action,
    ChecksBudget,
    HasGoals,
    NeedsScores,
    Prescribing,
    Remembers,
    Renewing,
    Strategy,
)
from ramet.strategies.pace import FitsBudget, pace_error


@dataclass(frozen=True, slots=True)
class Controlled:
    """A strategy with a control: one more member, which keeps its hyperparameters.

    The control trains as long as the others. It never explores, and it takes no part in copies.
    `Result.verdict` compares it with what the strategy found. The control can be the best of the
    run; the strategy then found nothing better. It takes a worker's time like any other member.

    Args:
        strategy: The strategy of the other members. In a synchronous run, they decide as they would
            without a control.
        hparams: What the control trains with: what you would have used without a strategy.

    >>> from ramet.strategies import PBT
    >>> Controlled(PBT(population=20, turn_steps=100), {"lr": 0.1}).turn_steps
    100
    """

    strategy: Strategy
    hparams: Mapping[str, Any]

    _repr_html_ = list_fields

    def __post_init__(self) -> None:
        strategy: object = self.strategy
        if isinstance(strategy, type) or not isinstance(strategy, Strategy):
            raise StrategyError(
                f"a control stands beside a strategy such as PBT(population=20), but got "
                f"{strategy!r}"
            )
        if isinstance(strategy, Controlled | Prescribing):
            raise StrategyError(
                f"a control stands beside members that decide, but {type(strategy).__name__} "
                f"{'has a control' if isinstance(strategy, Controlled) else 'prescribes its turns'}"
            )
        if not isinstance(self.hparams, Mapping):
            raise StrategyError(
                f"hparams must be a mapping, such as {{'lr': 0.1}}, but got {self.hparams!r}"
            )

    @property
    def turn_steps(self) -> int | None:
        """Steps in a turn, as the strategy has them."""
        return self.strategy.turn_steps

    @property
    def evaluate_every(self) -> int | None:
        """Steps between two scores, as the strategy has them."""
        return self.strategy.evaluate_every

    @property
    def synchronous(self) -> bool:
        """Whether all members decide together, at a round's end."""
        return self.strategy.synchronous

    @property
    def needs_scores(self) -> bool:
        """Whether the strategy cannot do without a score."""
        return isinstance(self.strategy, NeedsScores) and self.strategy.needs_scores

    @property
    def remember(self) -> int:
        """How many turns of each member the strategy needs to see."""
        return self.strategy.remember if isinstance(self.strategy, Remembers) else 0

    @property
    def goals(self) -> Sequence[Goal]:
        """What the strategy wants of metrics."""
        return self.strategy.goals if isinstance(self.strategy, HasGoals) else ()

    def renews(self, member: Member) -> bool:
        """Return whether a member begins its next turn with renewed weights; no control does.

        Args:
            member: The member before its turn.
        """
        return isinstance(self.strategy, Renewing) and self.strategy.renews(member)

    def fit(self, steps: int) -> "Controlled":
        """Return it with a strategy that is fitted to a budget.

        Args:
            steps: The budget of each member.
        """
        if not isinstance(self.strategy, FitsBudget):
            if self.strategy.turn_steps is None:
                raise pace_error(self.strategy)
            return self
        return replace(self, strategy=self.strategy.fit(steps))

    def check_budget(self, population: Population) -> None:
        """Raise if the strategy cannot train its members on to ``population.steps``."""
        if isinstance(self.strategy, ChecksBudget):
            self.strategy.check_budget(_without_control(population))

    def births(self, space: Space, steps: int, rng: np.random.Generator) -> list[Birth]:
        births = list(self.strategy.births(space, steps, rng))
        group = max((birth.group for birth in births), default=0) + 1
        hparams = space.adopt(self.hparams, "the control")
        return [*births, Birth(hparams=hparams, group=group)]

    def decide(
        self, population: Population, ready: Sequence[int], rng: np.random.Generator
    ) -> Iterable[Action]:
        control = len(population) - 1
        deciding = [member for member in ready if member != control]
        if not deciding:
            return ()
        return self.strategy.decide(_without_control(population), deciding, rng)


def find_control(opening: RunOpened) -> int | None:
    """Return the id of a run's control, or None if it has none.

    Args:
        opening: The first event of the run.
    """
    is_controlled = opening.strategy.get("type") == Controlled.__name__
    return len(opening.births) - 1 if is_controlled else None


def deciding(strategy: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the description of what decides in a run: of the strategy beside a control.

    Args:
        strategy: The description of the run's strategy.

    >>> deciding({"type": "Controlled", "strategy": {"type": "PBT"}, "hparams": {}})
    {'type': 'PBT'}
    """
    inner = strategy.get("strategy")
    is_controlled = strategy.get("type") == Controlled.__name__ and isinstance(inner, Mapping)
    return inner if is_controlled and inner is not None else strategy


def _without_control(population: Population) -> Population:
    return msgspec.structs.replace(population, members=Members(population.members[:-1]))
