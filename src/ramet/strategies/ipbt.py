"""PBT that restarts with longer turns when it stalls (IPBT, 2025, arXiv 2511.09190)."""

from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from typing import Any

import numpy as np

from ramet.errors import StrategyError
from ramet.events import Birth
from ramet.population import Member, Population
from ramet.showing import list_fields
from ramet.space import Space
from ramet.strategies.base import (
    Action,
    check_members,
    check_pace,
    sample_births,
    warn_if_single_turn,
)
from ramet.strategies.explore import AnyExplore, Perturb, check_explore, turns_to_remember
from ramet.strategies.ipbt_round import IterationRound, read_note
from ramet.strategies.pace import fit_turn_steps, require_turn_steps
from ramet.strategies.stalling import most_restarts

# The turns that a budget has at first, each of which is a hundredth of it.
FIRST_TURNS = 100
# Losers and donors are a quarter of the members each.
FEWEST_MEMBERS = 4


@dataclass(frozen=True, slots=True)
class IPBT:
    """PBT that restarts with longer turns when it stalls, so that you need not choose a length.

    In the first turn of an iteration, twice as many members train as in its other turns. Then the
    better half goes on as in PBT: after each turn, the worst quarter copies the best quarter and
    explores. When the best score has stalled, and two turns of double length fit into the budget,
    the next iteration begins. The members go on with their weights, as many fresh members join, and
    all get new hyperparameters. Half of these are drawn. The other half is proposed by a model of
    earlier iterations: which values members began with, and which scores came of them.

    All other members rest. They wait with first weights until a restart needs them, or have lost.

    Args:
        population: How many members train, except in the first turn of an iteration, in which twice
            as many do.
        turn_steps: Steps in a round, which is a turn of the first iteration; None is a hundredth of
            the budget.
        renew: Whether a member that goes on in the next iteration begins it with renewed weights,
            as in the paper. A task needs a method ``renew`` for that; a loop looks at
            ``turn.renewed``.
        explore: How copied hyperparameters move: Perturb, Resample, GaussianProcess, or a rule of
            yours.
        evaluate_every: Steps between two scores; None for one score a round, at its end.
        initial: The hyperparameters of the first members; those of the others are drawn.

    >>> IPBT().fit(20_000).turn_steps  # what a run with steps=20_000 does
    200
    >>> IPBT(population=2)
    Traceback (most recent call last):
        ...
    ramet.errors.StrategyError: population must be at least 4, so that it has quarters, but got 2
    """

    _: KW_ONLY
    population: int = 8
    turn_steps: int | None = None
    renew: bool = False
    explore: AnyExplore = field(default_factory=Perturb)
    evaluate_every: int | None = None
    initial: Sequence[Mapping[str, Any]] = ()

    _repr_html_ = list_fields

    def __post_init__(self) -> None:
        check_pace(turn_steps=self.turn_steps, evaluate_every=self.evaluate_every)
        check_members(self.population, self.initial)
        check_explore(self.explore, "Perturb((0.8, 1.2))")
        if self.population < FEWEST_MEMBERS:
            raise StrategyError(
                f"population must be at least {FEWEST_MEMBERS}, so that it has quarters, but got "
                f"{self.population}"
            )
        if not isinstance(self.renew, bool):
            raise StrategyError(f"renew must be True or False, but got {self.renew!r}")

    @property
    def synchronous(self) -> bool:
        """Always true: turns are counted in rounds."""
        return True

    @property
    def remember(self) -> int:
        """How many past turns of each member the rule for explore looks at."""
        return turns_to_remember(self.explore, self.population)

    def renews(self, member: Member) -> bool:
        """Return whether a member begins its next turn with renewed weights.

        Args:
            member: The member before its turn.
        """
        return read_note(member).renews == member.turn

    def fit(self, steps: int) -> "IPBT":
        """Return the strategy with ``turn_steps``: a hundredth of a budget, if it has none.

        Args:
            steps: The budget of each member.
        """
        return fit_turn_steps(self, steps, turns=FIRST_TURNS)

    def check_budget(self, population: Population) -> None:
        """Refuse to extend a budget: its last turns were as long as what was left of it."""
        raise StrategyError(
            f"a run by IPBT must keep its budget, because its restarts and its last two turns "
            f"divide what is left of it, but got steps={population.steps:,}; begin a new run"
        )

    def births(self, space: Space, steps: int, rng: np.random.Generator) -> list[Birth]:
        """Return twice the population, and the fresh members of all restarts that have room."""
        turn_steps = require_turn_steps(self.fit(steps))
        never = "no member will ever copy another or restart"
        warn_if_single_turn(self, turn_steps=turn_steps, steps=steps, never=never)
        first = sample_births(space, 2 * self.population, rng, self.initial)
        reserve = self.population * most_restarts(-(-steps // turn_steps))
        waiting = [
            Birth(hparams=birth.hparams, rests=True) for birth in sample_births(space, reserve, rng)
        ]
        return [*first, *waiting]

    def decide(
        self, population: Population, ready: Sequence[int], rng: np.random.Generator
    ) -> list[Action]:
        """Decide about all members, after each round."""
        turn_steps = require_turn_steps(self)
        if population.done:
            return []
        return IterationRound(
            population,
            size=self.population,
            rounds=-(-population.steps // turn_steps),
            renew=self.renew,
            explore=self.explore,
            rng=rng,
        ).decide()
