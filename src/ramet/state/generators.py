"""NumPy's generators of random numbers, as parts of a state tree."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from ramet.errors import StateError

# The only key of a dict that stands for a generator: its value is the state.
GENERATOR = "ramet.generator"
# Looked up by name when a checkpoint is read, and nothing else is.
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


def saved(rng: np.random.Generator) -> dict[str, Any]:
    """Return a generator's state as a tree; what it has spawned is not counted.

    >>> saved(np.random.default_rng(0))["ramet.generator"]["bit_generator"]
    'PCG64'
    """
    if (kind := type(rng.bit_generator).__name__) not in KINDS:
        raise StateError(
            f"a state's generator must be one of NumPy's own, {list(KINDS)}, but got a {kind}; "
            f"keep its state as numbers and arrays, or leave it out"
        )
    return {GENERATOR: dict(rng.bit_generator.state)}


def is_saved(tree: object) -> bool:
    """Say whether a part of a tree is a generator's state."""
    return isinstance(tree, dict) and GENERATOR in tree


def revived(tree: Mapping[str, Any]) -> np.random.Generator:
    """Return a new generator with a saved state."""
    kind = KINDS.get(kind_of(tree))
    if kind is None:
        raise StateError(
            f"a saved generator must be one of NumPy's own, {list(KINDS)}, but this is of "
            f"{kind_of(tree)!r}"
        )
    return restore(np.random.Generator(kind()), tree)


def restore(rng: np.random.Generator, tree: Mapping[str, Any]) -> np.random.Generator:
    """Give a generator of the same kind a saved state."""
    try:
        rng.bit_generator.state = tree[GENERATOR]
    except (KeyError, TypeError, ValueError) as error:
        raise StateError(f"a saved generator must have a whole state, but {error!r}") from error
    return rng


def kind_of(tree: Mapping[str, Any]) -> str:
    """Return the name of a saved generator's kind."""
    state = tree[GENERATOR]
    return str(state.get("bit_generator")) if isinstance(state, dict) else ""
