"""The first draws of many turns' generators at once, as ``Draws.training`` would give them.

Making one NumPy generator takes 20 microseconds, which is long beside a turn of a small network.
This computes only what a generator starts with, for all turns together: `SeedSequence`'s hash of
the key, and the first number of `PCG64`. NumPy promises that neither ever changes.
https://numpy.org/doc/stable/reference/random/parallel.html, https://www.pcg-random.org
"""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from ramet.randomness import Draws, Purpose

Words = NDArray[np.uint32]
Longs = NDArray[np.uint64]

WORD_BITS, WORD_MASK = 32, 0xFFFFFFFF
# Words that a seed sequence keeps.
POOL_WORDS = 4
# Words that a generator's state and increment are made of.
STATE_WORDS = 8
# Constants of the hash that mixes entropy in, and of the one that draws from the pool.
MIX_START, MIX_FACTOR = 0x43B0D7E5, 0x931E8875
DRAW_START, DRAW_FACTOR = 0x8B51F9DD, 0x58F38DED
LEFT_FACTOR, RIGHT_FACTOR = np.uint32(0xCA01F9DD), np.uint32(0x4973F715)
SHIFT = np.uint32(16)
# The factor of the generator's linear congruence, modulo 2 ** 128.
PCG_FACTOR = 0x2360ED051FC65DA44385DF649FCCF645


def first_words(draws: Sequence[Draws]) -> Words:
    """Return what ``integers(2**32, dtype=np.uint32)`` would draw first in each turn.

    >>> first_words([Draws(7, 3, 0), Draws(7, 3, 1)])
    array([3206557013, 1900368735], dtype=uint32)
    >>> int(Draws(7, 3, 0).training().integers(2**32, dtype=np.uint32))
    3206557013
    """
    seeds = {each.seed for each in draws}
    if len(seeds) == 1:
        return _draw_words(seeds.pop(), draws)
    drawn = np.empty(len(draws), np.uint32)
    for seed in seeds:
        places = [place for place, each in enumerate(draws) if each.seed == seed]
        drawn[places] = _draw_words(seed, [draws[place] for place in places])
    return drawn


def _draw_words(seed: int, draws: Sequence[Draws]) -> Words:
    """Return the first word of turns of one seed."""
    members, turns = [each.member for each in draws], [each.turn for each in draws]
    if max(*members, *turns) > WORD_MASK:
        rngs = (each.training() for each in draws)
        return np.array([rng.integers(2**32, dtype=np.uint32) for rng in rngs])
    entropy = [*_split(seed)]
    entropy += [0] * (POOL_WORDS - len(entropy))
    fixed = [np.full(len(draws), word, np.uint32) for word in (*entropy, Purpose.TURN)]
    key = [np.array(members, np.uint32), np.array(turns, np.uint32)]
    with np.errstate(over="ignore"):
        return _advance(_draw_state(_mix([*fixed, *key])))


def _split(number: int) -> Iterator[int]:
    """Yield a number's words, the lowest first."""
    yield number & WORD_MASK
    while number := number >> WORD_BITS:
        yield number & WORD_MASK


def _factors(start: int, factor: int) -> Iterator[tuple[np.uint32, np.uint32]]:
    """Yield a hash's constants: what to combine the next word with, and what to multiply it by."""
    while True:
        after = start * factor & WORD_MASK
        yield np.uint32(start), np.uint32(after)
        start = after


def _hash(words: Words, constants: tuple[np.uint32, np.uint32]) -> Words:
    combined = (words ^ constants[0]) * constants[1]
    return combined ^ (combined >> SHIFT)


def _mix(words: Sequence[Words]) -> list[Words]:
    """Return the pool of a seed sequence with this entropy."""
    constants = _factors(MIX_START, MIX_FACTOR)
    pool = [_hash(word, next(constants)) for word in words[:POOL_WORDS]]
    for source in range(POOL_WORDS):
        for target in range(POOL_WORDS):
            if source != target:
                pool[target] = _combine(pool[target], _hash(pool[source], next(constants)))
    for word in words[POOL_WORDS:]:
        pool = [_combine(kept, _hash(word, next(constants))) for kept in pool]
    return pool


def _combine(left: Words, right: Words) -> Words:
    combined: Words = LEFT_FACTOR * left - RIGHT_FACTOR * right
    return combined ^ (combined >> SHIFT)


def _draw_state(pool: Sequence[Words]) -> list[Longs]:
    """Return the four long numbers that a generator is made from."""
    constants = _factors(DRAW_START, DRAW_FACTOR)
    words = [_hash(pool[nth % POOL_WORDS], next(constants)) for nth in range(STATE_WORDS)]
    longs = [word.astype(np.uint64) for word in words]
    pairs = zip(longs[::2], longs[1::2], strict=True)
    return [low | high << np.uint64(WORD_BITS) for low, high in pairs]


def _advance(state: Sequence[Longs]) -> Words:
    """Return the first word of generators that are made from these numbers."""
    seed, increment = (state[0], state[1]), (state[2], state[3])
    one, top = np.uint64(1), np.uint64(63)
    increment = increment[0] << one | increment[1] >> top, increment[1] << one | one
    now = _add(seed, increment)
    for _ in range(2):
        now = _add(_multiply(now), increment)
    high, low = now
    turn = high >> np.uint64(58)
    mixed = high ^ low
    rotated = mixed >> turn | mixed << ((np.uint64(64) - turn) & top)
    return rotated.astype(np.uint32)


def _add(left: tuple[Longs, Longs], right: tuple[Longs, Longs]) -> tuple[Longs, Longs]:
    """Return the sum of numbers of 128 bits, each a high and a low half."""
    low = left[1] + right[1]
    return left[0] + right[0] + (low < right[1]), low


def _multiply(number: tuple[Longs, Longs]) -> tuple[Longs, Longs]:
    """Return a number of 128 bits times the generator's factor."""
    factor_high, factor_low = map(np.uint64, divmod(PCG_FACTOR, 1 << 64))
    high, low = _multiply_halves(number[1], factor_low)
    return high + number[0] * factor_low + number[1] * factor_high, low


def _multiply_halves(left: Longs, right: np.uint64) -> tuple[Longs, Longs]:
    """Return the product of numbers of 64 bits as a high and a low half."""
    bits, mask = np.uint64(WORD_BITS), np.uint64(WORD_MASK)
    a, b, c, d = left >> bits, left & mask, right >> bits, right & mask
    middle = a * d + (b * d >> bits)
    other = b * c + (middle & mask)
    return a * c + (middle >> bits) + (other >> bits), left * right
