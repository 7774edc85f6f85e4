"""Read numbers with their steps: one number, or (step, value) pairs."""

import operator
from collections.abc import Mapping
from typing import Any

from ramet.errors import UsageError

# Not as a union, which would be made at each call.
_SEVERAL = (list, tuple)


def place_at_steps(
    values: Any, *, start: int, stop: int, what: str, refusal: type[UsageError]
) -> list[tuple[int, Any]]:
    """Return (step, value) pairs in order; a single value belongs to the turn's last step."""
    if isinstance(values, Mapping):
        values = list(values.items())
    if not isinstance(values, _SEVERAL):
        return [(stop, values)]
    placed: list[tuple[int, Any]] = []
    for pair in values:
        if not isinstance(pair, _SEVERAL) or len(pair) != 2:  # noqa: PLR2004 - a pair
            raise refusal(f"{what} must be one number or (step, value) pairs, but got {values!r}")
        step, value = pair
        if type(step) is not int:
            if isinstance(step, bool) or not hasattr(step, "__index__"):
                raise refusal(f"the steps of {what} must be whole numbers, but got {step!r}")
            step = operator.index(step)
        if not start < step <= stop:
            raise refusal(
                f"{what} must be at the turn's own steps, {start + 1} to {stop}, but got one at "
                f"step {step}; steps are counted along the lineage, from turn.start"
            )
        placed.append((step, value))
    placed.sort(key=_step)
    return placed


def _step(pair: tuple[int, Any]) -> int:
    return pair[0]
