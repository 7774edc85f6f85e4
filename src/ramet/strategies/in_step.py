"""How the values of an array that moves together follow the first of them."""

from collections.abc import Sequence
from typing import Any

from ramet.domains import Choice, Domain, Integer, LogUniform, Uniform, Value, exact


def follow(domain: Domain, values: Sequence[Any], first: Any) -> list[Value]:
    """Return values of which all have moved as the first has, as far as none leaves its domain.

    They move by the same factor, so that their ratios stay; in a domain that holds 0, by the same
    difference; and in an ordered choice, by the same number of options.

    Args:
        domain: What each may be.
        values: What they were.
        first: What the first has moved to.

    >>> follow(LogUniform(1e-4, 1.0), [0.1, 0.01], 0.2)
    [0.2, 0.02]
    >>> follow(LogUniform(1e-4, 1.0), [0.01, 0.1], 0.5)
    [0.1, 1.0]
    >>> follow(Uniform(0.0, 1.0), [0.5, 0.25], 0.75)
    [0.75, 0.5]
    """
    match domain:
        case Choice(options=options):
            order = [exact(option) for option in options]
            places = [order.index(exact(value)) for value in values]
            shift = order.index(exact(first)) - places[0]
            shift = min(max(shift, -min(places)), len(options) - 1 - max(places))
            return [options[place + shift] for place in places]
        case Uniform() | LogUniform() | Integer() if domain.low <= 0:
            shift = first - values[0]
            shift = min(max(shift, domain.low - min(values)), domain.high - max(values))
            return [domain.clip(value + shift) for value in values]
        case Uniform() | LogUniform() | Integer():
            factor = first / values[0]
            factor = min(max(factor, domain.low / min(values)), domain.high / max(values))
            return [domain.clip(value * factor) for value in values]
        case _:
            return list(values)
