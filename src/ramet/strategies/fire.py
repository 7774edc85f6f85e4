"""FIRE PBT: a fitness for what pays off later (Dalibard & Jaderberg, 2021, arXiv 2109.13800)."""

import math
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field, replace
from typing import Any

import numpy as np

from ramet.curves import Smoother, smooth
from ramet.errors import StrategyError, StrategyWarning
from ramet.events import Birth
from ramet.frames import level_of_users
from ramet.population import Population
from ramet.showing import list_fields
from ramet.space import Space
from ramet.strategies.base import (
    Action,
    check_count,
    check_pace,
    check_points,
    sample_births,
    warn_if_single_turn,
)
from ramet.strategies.explore import AnyExplore, Perturb, check_explore, turns_to_remember
from ramet.strategies.fire_round import FireRound, FireRules
from ramet.strategies.fire_turn import decide_turn
from ramet.strategies.pace import fire_pace, pace_error, require_turn_steps

# Evaluators for each member of P2, P3, …: about a quarter have just lost, and must train first.
EVALUATORS_PER_PARENT = 0.75
# The group of evaluators; sub-populations are groups 1, 2, …
EVALUATORS = 0


@dataclass(frozen=True, slots=True)
class FIRE:
    """Sub-populations of which only the first is greedy.

    The first, P1, runs PBT on the score. Each of the others runs PBT on how fast the weights of its
    members improve when they are trained with hyperparameters of the sub-population before it.
    Evaluators measure this. Weights that prove better are copied to the sub-population before. The
    best of the run is the best of P1. docs/fire.md shows how it works, and what to set.

    Args:
        turn_steps: Steps in a turn, after which FIRE decides; None is about a twentieth of the
            budget, and at least 8 steps.
        evaluate_every: Steps between two scores. None gives a turn 8 to 12 scores, a good number,
            or up to 24 if no smaller number divides the ``turn_steps`` that you give.
        subpopulations: How many there are.
        size: How many members each of them has.
        evaluators: How many there are; None has three for every four members of P2, P3, ….
        quantile: The fraction of a sub-population that loses after each turn. The losers copy
            members of the best such fraction.
        p_stat: The p of the comparison below which the lead of an evaluator is a success.
        max_eval_steps: Steps that an evaluator may train to prove better; None is three turns.
        min_steps_before_eval: The step from which members are evaluated: one number, or one for
            each of P2, P3, ….
        explore: How hyperparameters move when a loser has copied them.
        greedy_explore: How they move in P1, which is greedy; None is the same as in the others.
            With smaller factors than in P2, P1 cannot run ahead.
        smoother: What smooths curves before they are compared; None is ``ramet.curves.smooth``.
        initial: The hyperparameters of the first members of each sub-population; those of the
            others are drawn.
        synchronous: Whether all members wait for each other, and FIRE decides about all of them
            together, as in the paper. If not, it decides about each member when its turn ends.

    >>> FIRE().fit(1_920).evaluate_every  # what a run with steps=1_920 does
    8
    >>> FIRE.for_workers(36, turn_steps=48, evaluate_every=4).subpopulations
    3
    """

    _: KW_ONLY
    turn_steps: int | None = None
    evaluate_every: int | None = None
    subpopulations: int = 2
    size: int = 8
    evaluators: int | None = None
    quantile: float = 0.25
    p_stat: float = 0.01
    max_eval_steps: int | None = None
    min_steps_before_eval: int | Sequence[int] = 0
    explore: AnyExplore = field(default_factory=lambda: Perturb((0.5, 0.8, 1.25, 2.0)))
    greedy_explore: AnyExplore | None = None
    smoother: Smoother | None = None
    initial: Sequence[Mapping[str, Any]] = ()
    synchronous: bool = True

    _repr_html_ = list_fields

    @classmethod
    def for_workers(
        cls,
        workers: int,
        *,
        turn_steps: int | None = None,
        evaluate_every: int | None = None,
        **settings: Any,
    ) -> "FIRE":
        """Return the paper's split of a number of workers, or the nearest one.

        22, 36, 50, 64, … workers give two, three, four, five, … sub-populations of 8. Numbers in
        between give larger sub-populations, and the remaining workers evaluate. Fewer than 22
        workers give smaller sub-populations. One worker may remain unused: the strategy's
        ``workers`` is the number of members.

        Args:
            workers: How many members may train at a time, 6 or more.
            turn_steps: Steps in a turn, as in ``FIRE``.
            evaluate_every: Steps between two scores, as in ``FIRE``.
            settings: Other settings of ``FIRE``.
        """
        check_count("workers", workers, "how many members train at a time", least=FEWEST_WORKERS)
        if split := settings.keys() & {"subpopulations", "size", "evaluators"}:
            raise StrategyError(
                f"subpopulations, size and evaluators must follow from workers, but got "
                f"{sorted(split)}; give those to FIRE(...) itself"
            )
        parents = max(1, (workers - 8) // 14)
        size = 2
        while _count_workers(parents, size + 1) <= workers:
            size += 1
        return cls(
            turn_steps=turn_steps,
            evaluate_every=evaluate_every,
            subpopulations=parents + 1,
            size=size,
            evaluators=min(workers - (parents + 1) * size, parents * size),
            **settings,
        )

    def __post_init__(self) -> None:
        check_pace(turn_steps=self.turn_steps, evaluate_every=self.evaluate_every)
        check_count("subpopulations", self.subpopulations, "how many groups evolve by themselves")
        check_count("size", self.size, "how many members each of them has; one must lose", least=2)
        check_points("initial", self.initial)
        object.__setattr__(self, "initial", tuple(self.initial))
        check_explore(self.explore, "Perturb((0.5, 0.8, 1.25, 2.0))")
        if self.greedy_explore is not None:
            check_explore(self.greedy_explore, "Perturb((0.8, 1.25))", name="greedy_explore")
        self._check_evaluators()
        self._check_thresholds()

    @property
    def needs_scores(self) -> bool:
        """Always true: curves are compared point by point."""
        return True

    @property
    def remember(self) -> int:
        """How many past turns of each member the rules for explore look at."""
        rules = (self.explore, self.greedy_explore)
        return max(turns_to_remember(rule, self.workers) for rule in rules)

    @property
    def evaluator_count(self) -> int:
        """How many evaluators there are."""
        if self.evaluators is not None:
            return self.evaluators
        return _evaluators(self.subpopulations - 1, self.size)

    @property
    def workers(self) -> int:
        """How many members there are in all, including evaluators that rest."""
        return self.subpopulations * self.size + self.evaluator_count

    @property
    def patience(self) -> int:
        """Steps that an evaluator may train to prove better."""
        return 3 * require_turn_steps(self) if self.max_eval_steps is None else self.max_eval_steps

    def first_evaluation(self, group: int) -> int:
        """Return the step from which the members of a sub-population are evaluated.

        Args:
            group: The number of the sub-population, 2 or more.
        """
        if isinstance(self.min_steps_before_eval, Sequence):
            return self.min_steps_before_eval[group - 2]
        return self.min_steps_before_eval

    def fit(self, steps: int) -> "FIRE":
        """Return the strategy with ``turn_steps`` and ``evaluate_every``, chosen for a budget.

        Args:
            steps: The budget of each member.
        """
        if self.turn_steps is not None and self.evaluate_every is not None:
            return self
        turn_steps, every = fire_pace(steps, self.turn_steps, self.evaluate_every)
        return replace(self, turn_steps=turn_steps, evaluate_every=every)

    def births(self, space: Space, steps: int, rng: np.random.Generator) -> list[Birth]:
        if self.turn_steps is None or self.evaluate_every is None:
            return self.fit(steps).births(space, steps, rng)
        if steps % self.evaluate_every:
            raise StrategyError(
                f"steps must be a multiple of evaluate_every, because FIRE compares curves point "
                f"by point, but got ({steps=}, evaluate_every={self.evaluate_every}); "
                f"{_nearest_budgets(steps, self.evaluate_every)}"
            )
        never = "no member will ever copy another or be evaluated"
        warn_if_single_turn(self, turn_steps=self.turn_steps, steps=steps, never=never)
        return [
            *self._subpopulations(space, rng),
            *(
                Birth(hparams=birth.hparams, group=EVALUATORS, ranked=False, rests=self.synchronous)
                for birth in sample_births(space, self.evaluator_count, rng)
            ),
        ]

    def decide(
        self, population: Population, ready: Sequence[int], rng: np.random.Generator
    ) -> list[Action]:
        """Decide about all members after a round, or about one that has ended a turn."""
        if self.synchronous:
            return FireRound(self._rules(), population, rng).decide()
        return [
            action
            for member in ready
            for action in decide_turn(self._rules(), population, member, rng)
        ]

    def _rules(self) -> FireRules:
        if self.turn_steps is None or self.evaluate_every is None:
            raise pace_error(self)
        groups = range(2, self.subpopulations + 1)
        return FireRules(
            turn_steps=self.turn_steps,
            evaluate_every=self.evaluate_every,
            subpopulations=self.subpopulations,
            quantile=self.quantile,
            p_stat=self.p_stat,
            patience=self.patience,
            first_evaluations={group: self.first_evaluation(group) for group in groups},
            explore=self.explore,
            greedy_explore=self.greedy_explore,
            smoother=self.smoother or smooth,
        )

    def _subpopulations(self, space: Space, rng: np.random.Generator) -> Iterator[Birth]:
        for group in range(1, self.subpopulations + 1):
            for birth in sample_births(space, self.size, rng, self.initial):
                yield Birth(hparams=birth.hparams, group=group, ranked=group == 1)

    def _check_evaluators(self) -> None:
        if self.evaluators is None:
            return
        parents = (self.subpopulations - 1) * self.size
        check_count("evaluators", self.evaluators, "how many members evaluate others", least=0)
        if not parents and self.evaluators:
            raise StrategyError(
                f"evaluators must be left out with subpopulations=1, which has no members to "
                f"evaluate, but got {self.evaluators}"
            )
        if parents and not 2 <= self.evaluators <= parents:  # noqa: PLR2004 - to compare with
            raise StrategyError(
                f"evaluators must be at least 2, because members after the first sub-population "
                f"are compared by them, and at most one for each of those {parents}, but got "
                f"{self.evaluators}; evaluators=None has "
                f"{_evaluators(self.subpopulations - 1, self.size)}"
            )

    def _check_thresholds(self) -> None:
        # With more than half, losers would be copied.
        _check_within("quantile", self.quantile, "(0, 0.5]", lambda part: 0 < part <= 0.5)  # noqa: PLR2004 - as said
        _check_within("p_stat", self.p_stat, "(0, 1)", lambda p: 0 < p < 1)
        if self.smoother is not None and not callable(self.smoother):
            raise StrategyError(
                f"smoother must be a function of a curve, such as ramet.curves.smooth, or None, "
                f"but got {self.smoother!r}"
            )
        if self.max_eval_steps is not None:
            meaning = "how long an evaluator may train before it must have proved better"
            check_count("max_eval_steps", self.max_eval_steps, meaning)
        self._check_first_evaluations()
        self._warn_if_unreachable()

    def _check_first_evaluations(self) -> None:
        steps = self.min_steps_before_eval
        if isinstance(steps, list):
            object.__setattr__(self, "min_steps_before_eval", tuple(steps))
        if isinstance(steps, list | tuple) and len(steps) != self.subpopulations - 1:
            raise StrategyError(
                f"min_steps_before_eval must be one number, or one for each of the "
                f"{self.subpopulations - 1} sub-populations after the first, but got {steps!r}"
            )
        for number in steps if isinstance(steps, list | tuple) else (steps,):
            check_count("min_steps_before_eval", number, "the step of the first", least=0)

    def _warn_if_unreachable(self) -> None:
        """Warn if an evaluator has to stop before it can win often enough."""
        if self.turn_steps is None or self.evaluate_every is None:
            return  # ``fit`` checks it again, when the budget is known.
        needed = math.floor(-math.log2(self.p_stat)) + 1
        there = self.patience // self.evaluate_every
        most = max(1, self.turn_steps // needed)
        if self.subpopulations > 1 and there < needed:
            often = max(
                n for n in range(1, self.turn_steps + 1) if self.turn_steps % n == 0 and n <= most
            )
            warnings.warn(
                f"an evaluator must win {needed} comparisons or more to pass p_stat={self.p_stat}, "
                f"but there are {there} scores until max_eval_steps={self.patience}, so that "
                f"hardly any weights will ever be copied; evaluate at least {needed} times a "
                f"turn, as with evaluate_every={often}, or raise max_eval_steps to "
                f"{needed * self.evaluate_every}",
                StrategyWarning,
                stacklevel=level_of_users(),
            )


def _nearest_budgets(steps: int, evaluate_every: int) -> str:
    below = steps - steps % evaluate_every
    above = f"steps={below + evaluate_every}"
    return f"use steps={below} or {above}" if below else f"use {above}"


def _check_within(name: str, value: object, bounds: str, holds: Callable[[float], bool]) -> None:
    """Refuse what is not a number between bounds."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not holds(value):
        raise StrategyError(f"{name} must lie in {bounds}, but got {value!r}")


def _evaluators(parents: int, size: int) -> int:
    """Return how many evaluators there are for a number of sub-populations after the first."""
    return max(2, math.floor(EVALUATORS_PER_PARENT * parents * size + 0.5)) if parents else 0


def _count_workers(parents: int, size: int) -> int:
    """Return how many workers a number of sub-populations after the first needs in all."""
    return (parents + 1) * size + _evaluators(parents, size)


# The fewest workers: two sub-populations of two members, and two evaluators.
FEWEST_WORKERS = _count_workers(1, 2)
