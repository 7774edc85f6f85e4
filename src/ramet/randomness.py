"""Random generators, each found by a key.

Every random draw of a run comes from a generator that is keyed by the run's seed, the purpose of
the draw, the member and the turn. No draw depends on which worker came first, and a run that was
killed and resumed draws the same numbers.
"""

from collections.abc import Sequence
from enum import IntEnum
from typing import NamedTuple, TypeVar

import numpy as np

T = TypeVar("T")


class Purpose(IntEnum):
    """What a generator is for. A number that was in a release keeps its meaning."""

    BIRTHS = 0
    INIT = 1
    TURN = 2
    DECISION = 3
    ROUND = 4
    CONFIRM = 5


def generator(seed: int, purpose: Purpose, *key: int) -> np.random.Generator:
    """Return the generator for a purpose and a key, always in its initial state.

    >>> first = generator(7, Purpose.TURN, 3, 0).random()
    >>> first == generator(7, Purpose.TURN, 3, 0).random()
    True
    >>> first == generator(7, Purpose.TURN, 3, 1).random()
    False
    """
    sequence = np.random.SeedSequence(seed, spawn_key=(purpose, *key))
    return np.random.Generator(np.random.PCG64(sequence))


class Draws(NamedTuple):
    """The key of a turn's random draws: the run's seed, the member, and the number of the turn."""

    seed: int
    member: int
    turn: int

    def following(self) -> "Draws":
        """Return the key of the member's next turn."""
        return Draws(self.seed, self.member, self.turn + 1)

    def first_weights(self) -> np.random.Generator:
        """Return the generator for the member's first weights."""
        return generator(self.seed, Purpose.INIT, self.member)

    def training(self) -> np.random.Generator:
        """Return the generator of the turn itself."""
        return generator(self.seed, Purpose.TURN, self.member, self.turn)


def pick(options: Sequence[T], rng: np.random.Generator) -> T:
    """Draw one option uniformly, several times faster than ``rng.choice``."""
    return options[int(rng.random() * len(options))]
