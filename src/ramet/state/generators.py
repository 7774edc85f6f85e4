"""NumPy's random generators as parts of a state tree.

A tree holds the generator itself; the bytes of a checkpoint hold a dict of its state.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.random.bit_generator import ISeedSequence

from ramet.errors import StateError
from ramet.state.bit_generators import check_state

# The keys of a dict that stands for a generator: its state, and what its children are spawned from.
GENERATOR, SEEDS = "ramet.generator", "ramet.seeds"
# The only classes that a checkpoint can name.
KINDS = {
    kind.__name__: kind
    for kind in (
        np.random.PCG64,
        np.random.PCG64DXSM,
        np.random.MT19937,
        np.random.Philox,
        np.random.SFC64,
    )
}
LARGEST_POOL = 1024
# Before NumPy 2, a generator that is there cannot be given the seeds of another.
RESTORES_SEEDS = int(np.__version__.partition(".")[0]) >= 2  # noqa: PLR2004 - said above


class Seedless(ISeedSequence):
    """Replaces the seeds that older checkpoints lack; generators cannot spawn from it."""

    def generate_state(self, n_words: int, dtype: Any = np.uint32) -> Any:
        """Return zeros, which the saved state replaces."""
        return np.zeros(n_words, dtype)


def save(rng: np.random.Generator) -> dict[str, Any]:
    """Return a generator's state as a dict, which names how many children it has spawned.

    >>> save(np.random.default_rng(0))["ramet.generator"]["bit_generator"]
    'PCG64'
    """
    if (kind := kind_of(rng)) not in KINDS:
        raise StateError(
            f"a state's generator must be one of NumPy's own, {list(KINDS)}, but got {kind}; "
            f"keep its state as numbers and arrays, or leave it out"
        )
    state = {GENERATOR: dict(rng.bit_generator.state)}
    seeds = rng.bit_generator.seed_seq
    return state if type(seeds) is not np.random.SeedSequence else {**state, SEEDS: seeds.state}


def is_saved(tree: object) -> bool:
    """Say whether a part of a tree is the dict of a generator's state."""
    return isinstance(tree, dict) and GENERATOR in tree


def revive(tree: Mapping[str, Any]) -> np.random.Generator:
    """Return a new generator with a saved state."""
    try:
        return make(tree)
    except (LookupError, TypeError, ValueError, OverflowError) as error:
        raise _not_whole(error) from error


def make(tree: Mapping[Any, Any]) -> np.random.Generator:
    """Return a new generator with a saved state; a bad one raises errors of Python and NumPy."""
    name = _kind_in(tree)
    # NumPy's stubs know fewer seeds than NumPy takes.
    kind: Any = KINDS.get(name)
    if kind is None:
        raise StateError(
            f"a saved generator must be one of NumPy's own, {list(KINDS)}, but this is of {name!r}"
        )
    bits = kind(_seeds(tree[SEEDS]) if SEEDS in tree else Seedless())
    bits.state = check_state(tree[GENERATOR])
    return np.random.Generator(bits)


def restore(rng: np.random.Generator, source: np.random.Generator) -> np.random.Generator:
    """Give a generator the state of another one of the same kind, which stays as it is."""
    bits, copied = rng.bit_generator, copy(source).bit_generator
    if RESTORES_SEEDS:
        bits.__setstate__((copied.state, copied.seed_seq))  # type: ignore[attr-defined]  # the stubs lack it
    else:
        bits.state = copied.state
    return rng


def copy(rng: np.random.Generator) -> np.random.Generator:
    """Return another generator that draws and spawns the same."""
    return revive(save(rng))


def kind_of(rng: np.random.Generator) -> str:
    """Return the name of a generator's kind."""
    return type(rng.bit_generator).__name__


def _seeds(state: Mapping[str, Any]) -> np.random.SeedSequence:
    if not 0 < state["pool_size"] <= LARGEST_POOL:
        raise ValueError(f"its pool of seeds must be at most {LARGEST_POOL} numbers")
    return np.random.SeedSequence(**state)


def _kind_in(tree: Mapping[Any, Any]) -> str:
    state = tree[GENERATOR]
    return str(state.get("bit_generator")) if isinstance(state, dict) else ""


def _not_whole(error: Exception) -> StateError:
    return StateError(f"a saved generator must have a whole state, but {error}")
