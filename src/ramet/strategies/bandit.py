"""Which option to choose, learned from what each choice brought while the best one may change.

This is EXP3.M (Uchiya et al., 2010), which learns from several choices a round, and forgets as PB2
for mixed inputs has it (Parker-Holder et al., 2021, arXiv 2106.15883).
"""

import math
from collections.abc import Sequence
from itertools import accumulate
from typing import NamedTuple

# How much is explored where a round has as many choices as there are options. The paper has no
# value for it; its authors' code has this one.
EXPLORED = 0.2


class Choice(NamedTuple):
    """An option that a turn was trained with."""

    # The place of the option.
    option: int
    # What the turn brought, from 0 to 1.
    reward: float


class Shares(NamedTuple):
    """How likely each option is."""

    # The probabilities, which sum up to 1.
    chances: list[float]
    # The options that would be chosen more than once a round, which learn nothing in it.
    capped: set[int]


def learn(rounds: Sequence[Sequence[Choice]], options: int, horizon: int) -> list[float]:
    """Return the probabilities with which a member should choose each option next.

    Args:
        rounds: The choices of each past round, the oldest first.
        options: How many options there are.
        horizon: How many rounds there are in all.

    >>> learn([], options=4, horizon=10)
    [0.25, 0.25, 0.25, 0.25]
    """
    weights, size = [1 / options] * options, 1
    for choices in rounds:
        size = len(choices)
        gamma = explored(options, size, horizon)
        shares = share(weights, gamma, size)
        gains = [0.0] * options
        for option, reward in choices:
            # The options that a round rarely chooses count more.
            gains[option] += reward / (size * shares.chances[option])
        powers = [
            0.0 if option in shares.capped else size * gamma * gain / options
            for option, gain in enumerate(gains)
        ]
        # Every option keeps a part of all, so that it can still become the best.
        part = math.e / horizon / options * sum(weights)
        # Only ratios matter. Exponentials of large powers would overflow.
        most = max(powers)
        weights = [
            weight * math.exp(power - most) + part * math.exp(-most)
            for weight, power in zip(weights, powers, strict=True)
        ]
        total = sum(weights)
        weights = [weight / total for weight in weights]
    # One member chooses at a time.
    return share(weights, explored(options, size, horizon), 1).chances


def explored(options: int, size: int, horizon: int) -> float:
    """Return which part of the choices does not depend on what was learned.

    Args:
        options: How many options there are.
        size: How many choices a round has.
        horizon: How many rounds there are in all.
    """
    if size >= options:
        return EXPLORED
    spread = options * math.log(options / size) / ((math.e - 1) * size * horizon)
    return min(1.0, math.sqrt(spread))


def share(weights: Sequence[float], gamma: float, size: int) -> Shares:
    """Return how likely each option is, with at most one choice of each expected in a round.

    Args:
        weights: The weights of the options.
        gamma: Which part of the choices does not depend on them.
        size: How many choices the round has.
    """
    options = len(weights)
    capped: set[int] = set()
    if size < options and gamma < 1:
        limit = (1 / size - gamma / options) / (1 - gamma)
        weights, capped = _cap(weights, limit)
    total = sum(weights)
    chances = [(1 - gamma) * weight / total + gamma / options for weight in weights]
    return Shares(chances, capped)


def _cap(weights: Sequence[float], limit: float) -> tuple[list[float], set[int]]:
    """Lower the greatest weights so that none is more than a part of all, and name them."""
    order = sorted(range(len(weights)), key=lambda option: -weights[option])
    # Summed from the smallest: a large sum has lost what small ones add to it.
    sums = list(accumulate(weights[option] for option in reversed(order)))
    rest, cap = sums.pop(), max(weights)
    capped: set[int] = set()
    for option in order:
        # Rounding may leave the equation no solution.
        if weights[option] < limit * (len(capped) * cap + rest) or (len(capped) + 1) * limit >= 1:
            break
        capped.add(option)
        rest = sums.pop() if sums else 0.0
        cap = limit * rest / (1 - len(capped) * limit)
    return [cap if option in capped else weight for option, weight in enumerate(weights)], capped
