"""Pytrees as trees that a checkpoint can hold, and back into the existing structure."""

from collections.abc import Mapping
from typing import Any, TypeAlias

import jax
import numpy as np
from jax import numpy as jnp

from ramet.errors import StateError
from ramet.state import generators
from ramet.state.tree import INSTEAD, Tree
from ramet.warned import warn_once

# Any pytree. Its structure is made by code, so only its leaves are saved.
Pytree: TypeAlias = Any

NUMBERS = (jax.Array, np.ndarray, np.generic, bool, int, float, complex)
TEXT = (str, bytes)
SAVED = (*NUMBERS, *TEXT, np.random.Generator)


class Kept:
    """A pytree as a state that sets no hyperparameters."""

    def __init__(self, value: Pytree) -> None:
        self.value = value

    def capture(self) -> Tree:
        return to_tree(self.value)

    def restore(self, tree: Tree) -> None:
        self.value = put_back(self.value, tree)


def to_tree(pytree: Pytree) -> dict[str, Any]:
    """Return the leaves of a pytree by their paths, without code, such as functions.

    >>> to_tree({"w": jnp.zeros(2), "act": jax.nn.relu, "phase": "warm-up"})
    {'phase': 'warm-up', 'w': array([0., 0.], dtype=float32)}
    """
    leaves = name_leaves(pytree)
    _check_leaves(leaves)
    named = {name: leaf for name, leaf in leaves.items() if isinstance(leaf, SAVED)}
    numbers = {name: _plain(leaf) for name, leaf in named.items() if isinstance(leaf, NUMBERS)}
    # All at once, because each transfer waits for the device.
    arrays = jax.device_get(numbers)
    return {
        name: np.asarray(arrays[name]) if name in arrays else _copy(leaf)
        for name, leaf in named.items()
    }


def check_held(pytree: Pytree) -> None:
    """Refuse leaves that a checkpoint cannot hold, and warn of those that it leaves out."""
    _check_leaves(name_leaves(pytree))


def _check_leaves(leaves: Mapping[str, Any]) -> None:
    left = {name: leaf for name, leaf in leaves.items() if _may_be_state(leaf)}
    for name, leaf in left.items():
        if (kind := type(leaf).__name__) in INSTEAD:
            raise StateError(
                f"a state must be a pytree of numbers, strings, bytes and generators of NumPy, "
                f"beside functions and settings, but {name!r} is of type {kind}; {INSTEAD[kind]}"
            )
    if left:
        kinds = {name: type(leaf).__name__ for name, leaf in left.items()}
        warn_once(
            f"these parts of a state are in no checkpoint, so they do not follow a member: "
            f"{kinds}; keep their numbers as arrays in the state, or leave out what never changes"
        )


def _may_be_state(leaf: object) -> bool:
    """Say whether a leaf that is not saved could change, unlike code and immutable values."""
    if isinstance(leaf, (*SAVED, frozenset)) or callable(leaf):
        return False
    return type(leaf).__name__ in INSTEAD or type(leaf).__hash__ in {None, object.__hash__}


def put_back(pytree: Pytree, tree: Tree) -> Pytree:
    """Return the pytree with the saved leaves in place of the current ones."""
    check_same(pytree, tree)
    return fill(pytree, tree)


def fill(pytree: Pytree, numbers: Mapping[str, Any]) -> Pytree:
    """Return the pytree with these numbers, of any shape, as leaves of the current kinds."""
    leaves = [
        like(leaf, numbers[name]) if isinstance(leaf, SAVED) and name in numbers else leaf
        for name, leaf in name_leaves(pytree).items()
    ]
    return jax.tree.unflatten(jax.tree.structure(pytree), leaves)


def differing(pytree: Pytree, other: Pytree) -> str | None:
    """Say how another pytree differs in names, shapes or dtypes; None if it does not.

    >>> differing({"w": jnp.zeros(2)}, {"w": jnp.zeros(3)})
    "'w' was float32(2,) and became float32(3,)"
    """
    before, after = name_leaves(pytree), name_leaves(other)
    if before.keys() != after.keys():
        lost, new = sorted(before.keys() - after.keys()), sorted(after.keys() - before.keys())
        return f"{lost} were lost and {new} are new"
    for name, leaf in before.items():
        was, became = (f"{leaf.dtype}{np.shape(leaf)}" for leaf in (leaf, after[name]))
        if was != became:
            return f"{name!r} was {was} and became {became}"
    return None


def check_same(pytree: Pytree, tree: Tree) -> None:
    """Refuse a saved tree of another structure, before anything is restored."""
    live = {name: leaf for name, leaf in name_leaves(pytree).items() if isinstance(leaf, SAVED)}
    names = set(tree) if isinstance(tree, dict) else set()
    # Older checkpoints have no text in them.
    live = {n: leaf for n, leaf in live.items() if n in names or not isinstance(leaf, TEXT)}
    if not isinstance(tree, dict) or names != set(live):
        raise StateError(
            f"a checkpoint must be of the same pytree as the state, but only the checkpoint has "
            f"{sorted(names - set(live))} and only the state has {sorted(set(live) - names)}; "
            f"build the model as it was built, or give the new run another name"
        )
    for name, leaf in live.items():
        if not isinstance(leaf, NUMBERS):
            _check_kind(name, leaf, tree[name])
            continue
        shape, before = np.shape(_plain(leaf)), np.shape(tree[name])
        if shape != before:
            raise StateError(
                f"a checkpoint's arrays must have the state's shapes, but {name!r} was saved as "
                f"{before} and is {shape} now; build the model as it was built, or give the new "
                f"run another name"
            )
        kind, saved_kind = np.asarray(_plain(leaf)).dtype, np.asarray(tree[name]).dtype
        if not np.can_cast(saved_kind, kind, "same_kind"):
            raise StateError(
                f"a checkpoint's numbers must be of the state's kind, but {name!r} was saved as "
                f"{saved_kind} and is {kind} now; build the model as it was built, or give the new "
                f"run another name"
            )


def _check_kind(name: str, leaf: Any, saved: Any) -> None:
    """Refuse text or a generator where another kind was saved."""
    was, here = (_kind(part) for part in (saved, leaf))
    if was != here:
        raise StateError(
            f"a checkpoint's parts must be of the state's kinds, but {name!r} was saved as a {was} "
            f"and is a {here} now; build the model as it was built, or give the new run another "
            f"name"
        )


def _kind(part: object) -> str:
    if isinstance(part, np.random.Generator):
        return generators.kind_of(part)
    return type(part).__name__


def _copy(leaf: Any) -> Any:
    return generators.copy(leaf) if isinstance(leaf, np.random.Generator) else leaf


def name_leaves(pytree: Pytree) -> dict[str, Any]:
    """Return all leaves by their paths, in the order of the pytree."""
    paths, _ = jax.tree_util.tree_flatten_with_path(pytree)
    named: dict[str, Any] = {}
    for path, leaf in paths:
        name = jax.tree_util.keystr(path, simple=True, separator=".") or "value"
        # Keys with dots can make two paths equal.
        named[name if name not in named else jax.tree_util.keystr(path)] = leaf
    return named


def is_key(leaf: object) -> bool:
    """Say whether a leaf is a random key of JAX, for which NumPy has no dtype."""
    return isinstance(leaf, jax.Array | jax.ShapeDtypeStruct) and jnp.issubdtype(
        leaf.dtype, jax.dtypes.prng_key
    )


def _plain(leaf: Any) -> Any:
    return jax.random.key_data(leaf) if is_key(leaf) else leaf


def like(leaf: Any, value: Any) -> Any:
    """Return a saved value as a leaf like the current one."""
    if isinstance(leaf, np.random.Generator):
        return generators.restore(leaf, value)
    if is_key(leaf):
        return jax.random.wrap_key_data(jnp.asarray(value), impl=jax.random.key_impl(leaf))
    if isinstance(leaf, jax.Array):
        return jax.device_put(np.asarray(value).astype(leaf.dtype), leaf.sharding)
    if isinstance(leaf, np.ndarray | np.generic):
        return np.array(value, dtype=leaf.dtype)[()]
    return type(leaf)(value)
