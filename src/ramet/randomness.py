"""Random generators that are counted, not drawn in order.

Every draw of a run comes from a generator keyed by the run's seed, what the draw is for, and whose
it is. So no draw depends on which worker came first, and a run killed and resumed draws the same.
"""

from collections.abc import Sequence
from enum import IntEnum
from typing import NamedTuple, TypeVar

import numpy as np

T = TypeVar("T")


class Purpose(IntEnum):
    """What a generator is for. A number, once used in a release, keeps its meaning."""

    BIRTHS = 0
    INIT = 1
    TURN = 2
    DECISION = 3
    ROUND = 4


def generator(seed: int, purpose: Purpose, *key: int) -> np.random.Generator:
    """Return the generator of one purpose and key, always at its beginning.

    >>> first = generator(7, Purpose.TURN, 3, 0).random()
    >>> first == generator(7, Purpose.TURN, 3, 0).random()
    True
    >>> first == generator(7, Purpose.TURN, 3, 1).random()
    False
    """
    sequence = np.random.SeedSequence(seed, spawn_key=(purpose, *key))
    return np.random.Generator(np.random.PCG64(sequence))


class Draws(NamedTuple):
    """What a turn's draws are keyed by: of which run, whose turn, and which of its turns."""

    seed: int
    member: int
    turn: int

    def first_weights(self) -> np.random.Generator:
        """Return the generator that the member's first weights are made with."""
        return generator(self.seed, Purpose.INIT, self.member)

    def training(self) -> np.random.Generator:
        """Return the generator of the turn itself."""
        return generator(self.seed, Purpose.TURN, self.member, self.turn)


def pick(options: Sequence[T], rng: np.random.Generator) -> T:
    """Draw one option uniformly; several times quicker than ``rng.choice``."""
    return options[int(rng.random() * len(options))]
