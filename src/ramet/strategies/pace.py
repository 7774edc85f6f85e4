"""How long turns are, and how often scores come, where a strategy leaves that to the budget."""

import math
from collections.abc import Iterator
from dataclasses import replace
from itertools import count
from typing import Protocol, TypeVar, runtime_checkable

from ramet.errors import StrategyError
from ramet.strategies.base import Strategy, check_count

# Turns that a member's budget is divided into.
TURNS_PER_BUDGET = 20
# Scores in a turn of FIRE. With fewer than 7 points in common, no two curves differ at p < 0.01.
FEWEST_SCORES, USUAL_SCORES, MOST_SCORES = 8, 12, 24

Fitted = TypeVar("Fitted", bound=Strategy)


@runtime_checkable
class FitsBudget(Protocol):
    """A strategy that may leave its ``turn_steps`` or ``evaluate_every`` to the budget."""

    def fit(self, steps: int, /) -> Strategy:
        """Return the strategy with the turns that it has for a budget.

        Args:
            steps: The budget of each member.
        """
        ...


def check_budget(steps: int) -> None:
    """Refuse what is no number of steps."""
    check_count("steps", steps, "how many steps each member trains in all")


def turn_steps_for(steps: int, evaluate_every: int | None, turns: int = TURNS_PER_BUDGET) -> int:
    """Return a twentieth of a budget, rounded up, or the nearest turn that evaluations divide.

    >>> turn_steps_for(2_000, None), turn_steps_for(30, None), turn_steps_for(2_000, 30)
    (100, 2, 90)
    """
    check_budget(steps)
    turn_steps = math.ceil(steps / turns)
    if evaluate_every is None:
        return turn_steps
    return evaluate_every * max(1, round(turn_steps / evaluate_every))


def fit_turn_steps(strategy: Fitted, steps: int, turns: int = TURNS_PER_BUDGET) -> Fitted:
    """Return a strategy of ours with the turns that it has for a budget, about as many as given."""
    if strategy.turn_steps is not None:
        return strategy
    turn_steps = turn_steps_for(steps, strategy.evaluate_every, turns)
    return replace(strategy, turn_steps=turn_steps)  # type: ignore[type-var]  # a dataclass


def fire_pace(steps: int, turn_steps: int | None, evaluate_every: int | None) -> tuple[int, int]:
    """Return FIRE's turn_steps and evaluate_every for a budget, of which either may be given.

    Scores must be evenly spaced, so that evaluate_every divides the turn and the budget.

    >>> fire_pace(1_920, None, None), fire_pace(1_920, 48, None), fire_pace(1_920, None, 4)
    ((96, 8), (48, 4), (96, 4))
    """
    check_budget(steps)
    aim = max(FEWEST_SCORES, math.ceil(steps / TURNS_PER_BUDGET))
    if evaluate_every is None and turn_steps is None:
        return _choose_pace(steps, aim)
    if evaluate_every is None and turn_steps is not None:
        return turn_steps, _evaluate_every_for(steps, turn_steps)
    every = evaluate_every or 1
    return turn_steps or every * max(FEWEST_SCORES, round(aim / every)), every


def require_turn_steps(strategy: Strategy) -> int:
    """Return the steps in a turn of a strategy that is fitted to a budget."""
    if strategy.turn_steps is None:
        raise pace_error(strategy)
    return strategy.turn_steps


def pace_error(strategy: Strategy) -> StrategyError:
    """Return the error of a strategy that is to decide before it is fitted to a budget."""
    name = type(strategy).__name__
    return StrategyError(
        f"{name} must know its turn_steps and evaluate_every before it decides, but got "
        f"(turn_steps={strategy.turn_steps}, evaluate_every={strategy.evaluate_every}); give them, "
        f"or call its fit(steps), which returns a strategy with those of a budget"
    )


def _choose_pace(steps: int, aim: int) -> tuple[int, int]:
    """Return a turn of about ``aim`` steps, and how many lie between two of its scores."""
    found = min(_paces(steps, aim), default=None)
    if found is None:
        nearest = next(n for n in count(steps - 1, -1) if any(_paces(n, aim)))
        raise StrategyError(
            f"steps must be a multiple of evaluate_every, because FIRE compares curves point by "
            f"point, but no evaluate_every divides {steps=} and gives {FEWEST_SCORES} to "
            f"{USUAL_SCORES} scores in about a twentieth of it; use steps={nearest}, or give "
            f"turn_steps and evaluate_every"
        )
    _, every, turn_steps = found
    return turn_steps, every


def _paces(steps: int, aim: int) -> Iterator[tuple[int, int, int]]:
    """Yield each pace that a budget allows: how far from the aim, evaluate_every, turn_steps."""
    for every in _divisors(steps):
        for scores in range(FEWEST_SCORES, USUAL_SCORES + 1):
            turn_steps = every * scores
            if aim <= 2 * turn_steps and turn_steps <= 2 * aim:
                yield abs(turn_steps - aim), every, turn_steps


def _evaluate_every_for(steps: int, turn_steps: int) -> int:
    """Return the spacing that gives a turn about the usual number of scores."""
    if turn_steps <= FEWEST_SCORES:
        return 1
    allowed = [
        every
        for every in _divisors(math.gcd(steps, turn_steps))
        if FEWEST_SCORES <= turn_steps // every <= MOST_SCORES
    ]
    if not allowed:
        raise StrategyError(
            f"evaluate_every must divide turn_steps and steps, because FIRE compares curves point "
            f"by point, but no evaluate_every divides ({turn_steps=}, {steps=}) and gives "
            f"{FEWEST_SCORES} to {MOST_SCORES} scores a turn; leave turn_steps out as well, or "
            f"give evaluate_every"
        )
    return min(allowed, key=lambda every: (abs(turn_steps // every - USUAL_SCORES), every))


def _divisors(number: int) -> set[int]:
    small = [n for n in range(1, math.isqrt(number) + 1) if number % n == 0]
    return {*small, *(number // n for n in small)}
