"""Domains without a scale: one of several options, and a single value."""

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from typing import TypeGuard

import numpy as np

from ramet.domains.answers import explain, suggest
from ramet.domains.base import Explore, Value, is_real, make_plain, write
from ramet.domains.numbers import LARGEST_INTEGER
from ramet.randomness import pick
from ramet.wording import is_text


@explain
@dataclass(frozen=True, slots=True, repr=False)
class Choice:
    """One of several options.

    Options are numbers, strings, booleans or None, because a run's log keeps every value. An
    ordered choice moves to the next option up or down, and at an end it moves back. An unordered
    choice does not move: it can only be drawn again.

    >>> Choice([32, 64, 128], ordered=True).perturb(64, 1.2)
    128
    """

    # The options.
    options: Sequence[Value]
    _: KW_ONLY
    # Whether neighbours are alike, as in [32, 64, 128].
    ordered: bool = False
    # How this hyperparameter explores; None explores as the strategy says.
    explore: Explore | None = None

    def __post_init__(self) -> None:
        make_plain(self)

    __repr__ = write

    def problem(self) -> str | None:
        if not isinstance(self.options, tuple):
            meant = suggest(self.options)
            remedy = f"; write {meant}" if meant else ""
            return f"options must be a list, but got {self.options!r}{remedy}"
        if not self.options:
            return "there must be at least one option, but got none"
        distinct = {(type(option), option) for option in self.options if _is_value(option)}
        if len(distinct) < len(self.options):
            return (
                "options must be distinct finite numbers, strings, booleans or None, but got "
                f"{list(self.options)}; give anything else a name, and look the name up in the loop"
            )
        return None

    def contains(self, value: object) -> bool:
        # 1, 1.0 and True are three options.
        return any(type(option) is type(value) and option == value for option in self.options)

    def clip(self, value: Value) -> Value:
        # No option is nearer than another.
        return value

    def sample(self, rng: np.random.Generator) -> Value:
        return pick(self.options, rng)

    def perturb(self, value: Value, factor: float) -> Value:
        last = len(self.options) - 1
        if not self.ordered or factor == 1 or not last:
            return value
        place = next(i for i, option in enumerate(self.options) if _same(option, value))
        step = 1 if factor > 1 else -1
        return self.options[place + step if 0 <= place + step <= last else place - step]


@explain
@dataclass(frozen=True, slots=True, repr=False)
class Constant:
    """A value that never changes. It is in the log and in ``turn.hparams`` like any other."""

    # The value.
    value: Value
    _: KW_ONLY
    # Every domain has a rule; that of a constant has no effect.
    explore: Explore | None = None

    def __post_init__(self) -> None:
        make_plain(self)

    __repr__ = write

    def problem(self) -> str | None:
        if _is_value(self.value):
            return None
        return f"it must be a finite number, a string, a boolean or None, but got {self.value!r}"

    def contains(self, value: object) -> bool:
        return _same(self.value, value)

    def clip(self, value: Value) -> Value:
        return self.value

    def sample(self, rng: np.random.Generator) -> Value:
        return self.value

    def perturb(self, value: Value, factor: float) -> Value:
        return self.value


def _is_value(value: object) -> TypeGuard[Value]:
    """Say whether a log returns the same value, unlike enumerations and lone surrogates."""
    if isinstance(value, str):
        return type(value) is str and is_text(value)
    if isinstance(value, int):
        return type(value) in {bool, int} and abs(value) <= LARGEST_INTEGER
    return value is None or is_real(value)


def _same(one: object, other: object) -> bool:
    return type(one) is type(other) and one == other
