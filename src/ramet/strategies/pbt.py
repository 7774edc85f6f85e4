"""Population Based Training (Jaderberg et al., 2017, arXiv 1711.09846)."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from typing import Any, Literal

import numpy as np

from ramet.errors import StrategyError
from ramet.events import Birth
from ramet.goals import Goal
from ramet.population import Member, Population
from ramet.showing import list_fields
from ramet.space import Space
from ramet.strategies.base import (
    Action,
    Change,
    Copy,
    check_members,
    check_pace,
    check_rule,
    sample_births,
    warn_if_never_compared,
    warn_if_single_turn,
)
from ramet.strategies.exploit import Exploit, Truncation
from ramet.strategies.explore import (
    AnyExplore,
    Perturb,
    check_explore,
    explorer_of,
    move_all,
    turns_to_remember,
)
from ramet.strategies.pace import fit_turn_steps, require_turn_steps


@dataclass(frozen=True, slots=True)
class PBT:
    """Members that have fallen behind (losers) copy better ones, then explore.

    The ablations of the paper are settings. With ``explore=None``, members only exploit. With
    ``exploit=None``, every member explores after every turn. ``copies`` says what a loser takes. A
    loser without a finite score always takes the weights as well: with its own weights, it would
    never have a finite score again.

    Args:
        population: How many members train.
        turn_steps: Steps in a turn, after which the strategy decides about the member; None is a
            twentieth of the budget.
        exploit: Which members copy others: Truncation, BinaryTournament, TTest, Pareto, or a rule
            of yours.
        explore: How copied hyperparameters move: Perturb, Resample, GaussianProcess, or a rule of
            yours.
        copies: What a loser takes: "both", "weights" or "hparams".
        synchronous: Whether all members wait for each other, and the strategy decides about all of
            them together.
        evaluate_every: Steps between two scores; None for one score a turn, at its end.
        initial: The hyperparameters of the first members; those of the others are drawn.

    >>> PBT(population=20).fit(2_000).turn_steps  # what a run with steps=2_000 does
    100
    >>> PBT(population=2, turn_steps=5)
    Traceback (most recent call last):
        ...
    ramet.errors.StrategyError: truncation must leave at least one member at each end, but 0.2 of \
2 members is less than one; use at least 5 members, or Truncation(1 / 2)
    """

    _: KW_ONLY
    population: int
    turn_steps: int | None = None
    exploit: Exploit | None = field(default_factory=Truncation)
    explore: AnyExplore | None = field(default_factory=Perturb)
    copies: Literal["both", "weights", "hparams"] = "both"
    synchronous: bool = False
    evaluate_every: int | None = None
    initial: Sequence[Mapping[str, Any]] = ()

    _repr_html_ = list_fields

    def __post_init__(self) -> None:
        check_pace(turn_steps=self.turn_steps, evaluate_every=self.evaluate_every)
        check_members(self.population, self.initial)
        if self.copies not in {"both", "weights", "hparams"}:
            raise StrategyError(
                f"copies must be 'both', 'weights' or 'hparams', but got {self.copies!r}"
            )
        if self.explore is not None:
            check_explore(self.explore, "Perturb((0.8, 1.2)), or None")
        if self.exploit is not None:
            check_rule("exploit", self.exploit, "pairs", "Truncation(0.2), or None")
            self.exploit.check(self.population)
        if self.copies == "hparams" and getattr(self.exploit, "grace_steps", None):
            raise StrategyError(
                "grace_steps leaves members alone after a copy of weights, but with "
                "copies='hparams' there are none; leave it out"
            )

    @property
    def remember(self) -> int:
        """How many past turns of each member the rule for explore looks at."""
        return turns_to_remember(self.explore, self.population)

    @property
    def goals(self) -> Sequence[Goal]:
        """What the rule for exploit wants of metrics."""
        goals: Sequence[Goal] = getattr(self.exploit, "goals", ())
        return goals

    def fit(self, steps: int) -> "PBT":
        """Return the strategy with ``turn_steps``: a twentieth of a budget, if it has none.

        Args:
            steps: The budget of each member.
        """
        return fit_turn_steps(self, steps)

    def births(self, space: Space, steps: int, rng: np.random.Generator) -> list[Birth]:
        turn_steps = require_turn_steps(self.fit(steps))
        never = "no member will ever copy another or explore"
        if self.exploit is not None or self.explore is not None:
            warn_if_single_turn(self, turn_steps=turn_steps, steps=steps, never=never)
        warn_if_never_compared(
            self.exploit,
            scores=getattr(self.exploit, "least_scores", 1),
            turn_steps=turn_steps,
            evaluate_every=self.evaluate_every,
            steps=steps,
        )
        return sample_births(space, self.population, rng, self.initial)

    def decide(
        self, population: Population, ready: Sequence[int], rng: np.random.Generator
    ) -> Iterator[Action]:
        """Decide about the members that have budget left. Others keep what they have trained."""
        members, steps = population.members, population.steps
        going = [member for member in ready if members[member].trained < steps]
        if self.exploit is None:
            yield from self._changes(population, [(member, member) for member in going], rng)
            return
        pairs = list(self.exploit.pairs(members, going, rng))
        for loser, donor in pairs:
            yield Copy(
                member=loser,
                source=donor,
                weights=self.copies != "hparams" or _is_lost(members[loser]),
                hparams=self.copies != "weights",
            )
        taken = self.copies != "weights"
        yield from self._changes(
            population, [(loser, donor if taken else loser) for loser, donor in pairs], rng
        )

    def _changes(
        self, population: Population, origins: Sequence[tuple[int, int]], rng: np.random.Generator
    ) -> Iterator[Change]:
        """Yield how each member explores, from the hyperparameters of its origin."""
        if self.explore is None or not origins:
            return
        moved = move_all(explorer_of(self.explore, population), origins, rng)
        for (member, _), hparams in zip(origins, moved, strict=True):
            yield Change(member=member, hparams=hparams)


def _is_lost(member: Member) -> bool:
    return member.score is not None and not math.isfinite(member.score)
