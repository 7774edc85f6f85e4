"""Random numbers that a step computes from a key, on whichever device it runs.

Each is a hash of its key and its place: Philox with two words of 32 bits and ten rounds, of Salmon
et al. (2011). A member therefore draws the same numbers on every device, whichever members train
beside it, and whether or not its steps are compiled. Words are in int64, and no result is too large
for it, as compilers assume.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ramet.errors import UsageError

WORD_BITS, WORD_MASK = 32, 2**32 - 1
ROUNDS = 10
# The paper's. Products with its factor would be too large for int64, unlike those with this one.
FACTOR, STEP = 0xD256D193 - 2**32, 0x9E3779B9
# Changes the hash for derived keys, so that they are not the numbers that are drawn.
DERIVING = 0x5851F42D
# The precision of a float32.
FLOAT_BITS = 24
MOST_BELOW = 2**31


def draw_keys(rng: np.random.Generator, steps: int) -> NDArray[np.int64]:
    """Return a key for each step of a turn, from which the step draws on its device.

    A task's ``draw`` returns them by any name: ``{"key": draw_keys(rng, steps)}``.

    Args:
        rng: The generator of the turn.
        steps: How many steps.
    """
    return rng.integers(-(2**63), 2**63 - 1, steps, dtype=np.int64, endpoint=True)


def derive_key(key: torch.Tensor, number: int) -> torch.Tensor:
    """Return another key, for draws that must not be the same as those from the first.

    Args:
        key: A key.
        number: Any whole number of 32 bits; others lead to other keys.
    """
    _check_key(key)
    if type(number) is not int or not 0 <= number < 2**32:
        raise UsageError(
            f"keys must be derived by whole numbers from 0 to below 2**32, but got {number!r}"
        )
    low, high = hash_words(torch.full_like(key, number), key, DERIVING)
    # High as a number with a sign, so that it can be the upper half of one.
    derived: torch.Tensor = low + (high - (high >> (WORD_BITS - 1) << WORD_BITS)) * 2**WORD_BITS
    return derived


def draw_uniform(key: torch.Tensor, shape: Sequence[int]) -> torch.Tensor:
    """Return float32 numbers from 0 to just below 1, each as likely as any other.

    >>> import ramet.torch
    >>> key = torch.tensor(0)
    >>> ramet.torch.draw_uniform(key, (3,))
    tensor([0.9965, 0.2639, 0.4251])

    Args:
        key: A key; the same one leads to the same numbers.
        shape: The shape of the tensor.
    """
    words = _draw(key, shape) >> (WORD_BITS - FLOAT_BITS)
    return words.to(torch.float32) * 2.0**-FLOAT_BITS


def draw_normal(key: torch.Tensor, shape: Sequence[int]) -> torch.Tensor:
    """Return float32 numbers of mean 0 and variance 1, none beyond 5.8.

    Devices may round them differently.

    Args:
        key: A key; the same one leads to the same numbers.
        shape: The shape of the tensor.
    """
    _check_shape(shape)
    radius, angle = draw_uniform(key, (2, *shape))
    # 1 - u is never 0.
    return torch.sqrt(-2 * torch.log(1 - radius)) * torch.cos(2 * math.pi * angle)


def draw_integers(key: torch.Tensor, below: int, shape: Sequence[int]) -> torch.Tensor:
    """Return whole numbers from 0 to just below a number, as int64, to index with.

    Each is as likely as any other, up to ``below`` / 2**32 of its probability.

    Args:
        key: A key; the same one leads to the same numbers.
        below: What all numbers are below, at most 2**31.
        shape: The shape of the tensor.
    """
    if type(below) is not int or not 1 <= below <= MOST_BELOW:
        raise UsageError(
            f"whole numbers must be drawn from 0 to below a whole number of at most 2**31, but got "
            f"below={below!r}"
        )
    return _draw(key, shape) * below >> WORD_BITS


def _draw(key: torch.Tensor, shape: Sequence[int]) -> torch.Tensor:
    """Return random words."""
    _check_key(key)
    _check_shape(shape)
    count = math.prod(shape)
    places = torch.arange((count + 1) // 2, device=key.device)
    return torch.cat(hash_words(places, key, 0))[:count].reshape(tuple(shape))


def hash_words(
    place: torch.Tensor, key: torch.Tensor, purpose: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return two words for each place: Philox of a half of the key, the place, and the other half.

    The place is second, because it is multiplied only once numbers that no compiler knows are in
    it: torch.compile multiplies places that it knows in 32 bits, which gives other words.
    """
    word = (key & WORD_MASK) ^ purpose
    left, right = (key >> WORD_BITS) & WORD_MASK, place
    for nth in range(ROUNDS):
        product = left * FACTOR
        left, right = (
            ((product >> WORD_BITS) + left) ^ right ^ ((word + nth * STEP) & WORD_MASK),
            product & WORD_MASK,
        )
    return left, right


def _check_shape(shape: Any) -> None:
    if not isinstance(shape, tuple | list) or not all(
        isinstance(size, int) and size >= 0 for size in shape
    ):
        raise UsageError(
            f"a shape must be a tuple of whole numbers from 0 on, such as (32,), but got {shape!r}"
        )


def _check_key(key: Any) -> None:
    is_tensor = isinstance(key, torch.Tensor)
    if is_tensor and key.dtype == torch.int64 and not key.ndim:
        return
    said = f"a {key.dtype} tensor of shape {tuple(key.shape)}" if is_tensor else repr(key)
    raise UsageError(
        f"a key must be a tensor of one whole number of 64 bits, but got {said}; return "
        f"{{'key': ramet.torch.draw_keys(rng, steps)}} in draw, and take drawn['key'] in step"
    )
