"""Kinds of running averages of a member's weights, as values."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from ramet.errors import StateError

NO_FLOATS = "an average must be of weights, but the state has no floating-point numbers"
# e ** x - 1, exact for small x.
Expm1: TypeAlias = Callable[[Any], Any]
EXAMPLES = "ramet.PolynomialAverage(power=8) or ramet.ExponentialAverage(decay=0.999)"


@dataclass(frozen=True, slots=True)
class PolynomialAverage:
    """A running average over the latest part of training. The part grows as training goes on.

    The t-th update moves the average by a share of (power + 1) / (power + t) towards the present
    weights. The weights after step t then count in proportion to about t ** power: with power 8,
    half of the average comes from the last 7 % of all steps. With power 0 all steps count alike.

    >>> average = PolynomialAverage(power=4)
    >>> average.share(1), average.share(6)
    (1.0, 0.5)
    """

    # The higher, the shorter the window. From 4 to 16 for training that goes on improving.
    power: float = 8.0
    # The parts of the state that are averaged, by the beginnings of their names; None for all.
    of: str | tuple[str, ...] | None = field(default=None, kw_only=True)
    # Whether scores must be those of the average.
    scored: bool = field(default=True, kw_only=True)

    def __post_init__(self) -> None:
        if not _is_number(self.power) or not 0 <= self.power < math.inf:
            raise StateError(
                f"the power of a polynomial average must be a number from 0 on, but got "
                f"{self.power!r}; 8 is a good first choice, and a higher one averages over fewer "
                f"of the latest steps"
            )
        object.__setattr__(self, "power", float(self.power))
        _check_rest(self)

    def share(self, updates: Any, expm1: Expm1 = math.expm1) -> Any:
        """Return the share of the present weights in the average after an update.

        Args:
            updates: The number of updates, this one included; it may be an array.
            expm1: Not needed by this kind.
        """
        del expm1
        return (self.power + 1) / (self.power + updates)


@dataclass(frozen=True, slots=True)
class ExponentialAverage:
    """A running average over the last 1 / (1 - decay) steps or so.

    The weights after a step count ``decay`` times as much as those after the next step. The average
    has no bias towards the first weights: after a few steps, it is about the mean of all so far.

    >>> average = ExponentialAverage(decay=0.5)
    >>> average.share(1), average.share(2)
    (1.0, 0.6666666666666666)
    """

    # The factor from each step to the next.
    decay: float = 0.999
    # The parts of the state that are averaged, by the beginnings of their names; None for all.
    of: str | tuple[str, ...] | None = field(default=None, kw_only=True)
    # Whether scores must be those of the average.
    scored: bool = field(default=True, kw_only=True)

    def __post_init__(self) -> None:
        if not _is_number(self.decay) or not 0 < self.decay < 1:
            raise StateError(
                f"the decay of an exponential average must be a number between 0 and 1, both "
                f"excluded, but got {self.decay!r}; 0.999 averages over about the last 1,000 steps"
            )
        object.__setattr__(self, "decay", float(self.decay))
        _check_rest(self)

    def share(self, updates: Any, expm1: Expm1 = math.expm1) -> Any:
        """Return the share of the present weights in the average after an update.

        Args:
            updates: The number of updates, this one included; it may be an array.
            expm1: The function for it, of the library that an array is of: ``jax.numpy.expm1``.
        """
        # 1 - decay ** updates would be inexact, or 0, in 32 bits.
        return (1 - self.decay) / -expm1(updates * math.log(self.decay))


Average: TypeAlias = PolynomialAverage | ExponentialAverage


def check_average(average: object) -> None:
    """Refuse anything but a kind of average.

    Args:
        average: What was given as one.
    """
    if not isinstance(average, Average):
        raise StateError(f"an average must be {EXAMPLES}, but got {average!r}; write one of these")


def is_averaged(average: Average, name: str) -> bool:
    """Say whether a part of a state is averaged.

    Args:
        average: The kind of average.
        name: The name of the part, such as ``params.conv.kernel``.

    >>> is_averaged(PolynomialAverage(of="params"), "params.w")
    True
    >>> is_averaged(PolynomialAverage(of="params"), "params2.w")
    False
    """
    if average.of is None:
        return True
    parts = (average.of,) if isinstance(average.of, str) else average.of
    return any(name == part or name.startswith(f"{part}.") for part in parts)


def check_parts(average: Average, names: list[str]) -> None:
    """Refuse parts to average that a state does not have.

    Args:
        average: The kind of average.
        names: The names of all that can be averaged.
    """
    parts = (average.of,) if isinstance(average.of, str) else average.of or ()
    for part in parts:
        if not any(name == part or name.startswith(f"{part}.") for name in names):
            firsts = sorted({name.split(".")[0] for name in names})
            raise StateError(
                f"the parts to average must be in the state, but it has nothing to average in "
                f"{part!r}; it has weights in {firsts}, as in of={firsts[0]!r}"
                if firsts
                else NO_FLOATS
            )


def choose_weights(average: Average, are_floats: Mapping[str, bool]) -> list[str]:
    """Return the names of what is averaged in a state that may hold more than weights.

    Args:
        average: The kind of average.
        are_floats: Whether each part of the state has floating-point numbers, by name.

    >>> choose_weights(PolynomialAverage(of="w"), {"w.in": True, "w.out": True, "steps": False})
    ['w.in', 'w.out']
    """
    floats = [name for name, is_float in are_floats.items() if is_float]
    if not floats:
        raise StateError(NO_FLOATS)
    if average.of is None and len(floats) < len(are_floats):
        others = [name for name in are_floats if name not in floats]
        firsts = list(dict.fromkeys(name.split(".")[0] for name in floats))
        raise StateError(
            f"an average must be of weights, but the state has other things as well, such as the "
            f"whole numbers or keys in {others[:3]}; name the weights, which may be all or some "
            f"of {firsts}: of={firsts[0]!r}, or several in a tuple"
        )
    check_parts(average, floats)
    return [name for name in floats if is_averaged(average, name)]


def not_shown(average: Average) -> StateError:
    """Return the error for a turn with scores that are not of the average.

    Args:
        average: The kind of average.
    """
    return StateError(
        f"scores must be those of the averaged weights, because the state was made with "
        f"average={average}, but a turn ended without with state.averaged(); write with "
        f"state.averaged(): turn.report(evaluate(model)), or, if scores are to be of the "
        f"weights themselves, average={type(average).__name__}(..., scored=False)"
    )


def no_average(state: str) -> StateError:
    """Return the error for a state without an average that was asked for one.

    Args:
        state: How a state without an average is made.
    """
    return StateError(
        f"a state must be made with an average to have one, but it was made without; write "
        f"{state}, average=ramet.PolynomialAverage(power=8))"
    )


def is_shown(law: str) -> StateError:
    """Return the error for what must not be done while the averaged weights are in use.

    Args:
        law: What must be done elsewhere.
    """
    return StateError(
        f"{law} outside of with state.averaged(), because the averaged weights are in use there, "
        f"but it was inside; only evaluate there"
    )


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _check_rest(average: Average) -> None:
    of: object = average.of
    parts = (of,) if isinstance(of, str) else of
    are_names = isinstance(parts, tuple) and all(isinstance(one, str) and one for one in parts)
    if parts is not None and not (parts and are_names):
        raise StateError(
            f"the parts to average must be named by a string, or by several in a tuple, but got "
            f"of={of!r}; write of='params', for instance, or leave it out to average all weights"
        )
    if isinstance(of, tuple) and len(of) == 1:
        object.__setattr__(average, "of", of[0])
    if not isinstance(average.scored, bool):
        raise StateError(
            f"scored must be True, for scores of the average, or False, but got {average.scored!r}"
        )
