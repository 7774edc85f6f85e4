"""The running average of the weights in a pytree."""

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from jax import numpy as jnp

from ramet.averaging import Average, choose_weights
from ramet.errors import StateError
from ramet.jax.trees import SAVED, Pytree, is_key, like, name_leaves
from ramet.state.tree import Tree

UPDATES, WEIGHTS, KIND = "updates", "weights", "kind"


class Means:
    """An average of the weights in a pytree that is replaced at every step.

    Args:
        average: The kind of average.
        pytree: What it is first of.
    """

    def __init__(self, average: Average, pytree: Pytree) -> None:
        self.updates = 0
        self._average = average
        self._names = choose(average, pytree)
        self._structure: Any = jax.tree.structure(pytree)
        self._places = _places(self._names, pytree)
        self._means: list[jax.Array] = []
        self._means = [widen(leaf) for leaf in self._find(pytree)]

    def update(self, pytree: Pytree) -> None:
        """Update the average with the present weights."""
        live = self._find(pytree)
        self.updates += 1
        self._means = _move(self._means, live, np.float32(self._average.share(self.updates)))

    def show(self, pytree: Pytree) -> Pytree:
        """Return the pytree with the average in place of its weights."""
        if self.updates == 0:
            return pytree
        self._find(pytree)
        leaves = jax.tree.leaves(pytree)
        for place, mean in zip(self._places, self._means, strict=True):
            leaf = leaves[place]
            # A copy, because what evaluates may consume it.
            leaves[place] = (
                jnp.array(mean, dtype=leaf.dtype, copy=True)
                if isinstance(leaf, jax.Array)
                else like(leaf, mean)
            )
        return jax.tree.unflatten(self._structure, leaves)

    def capture(self) -> Tree:
        means = jax.device_get(dict(zip(self._names, self._means, strict=True)))
        return {UPDATES: self.updates, KIND: repr(self._average), WEIGHTS: means}

    def check(self, saved: Tree) -> None:
        """Refuse a saved average that is not like this one."""
        here = {name: mean.shape for name, mean in zip(self._names, self._means, strict=True)}
        if not isinstance(saved, dict) or not _is_saved(saved):
            raise StateError(
                "a checkpoint must have the average that the state has, but it has none that was "
                "saved by ramet; make the state as it was made, or give the new run another name"
            )
        was = {name: np.shape(mean) for name, mean in saved[WEIGHTS].items()}
        if saved[KIND] != repr(self._average) or was != here:
            raise StateError(
                f"a checkpoint must have the average that the state has, but it has a "
                f"{saved[KIND]} of {sorted(was)}, and the state a {self._average} of "
                f"{sorted(here)}; make the state as it was made, or give the new run another name"
            )

    def restore(self, saved: Tree) -> None:
        """Restore an average that was checked."""
        self.updates = saved[UPDATES]
        self._means = [
            like(mean, saved[WEIGHTS][name])
            for name, mean in zip(self._names, self._means, strict=True)
        ]

    def _find(self, pytree: Pytree) -> list[Any]:
        """Return the leaves to average."""
        structure: Any = jax.tree.structure(pytree)
        if structure != self._structure:
            if missing := [name for name in self._names if name not in name_leaves(pytree)]:
                raise StateError(
                    f"a state must keep the weights that are averaged, but {missing} are no longer "
                    f"in it; assign a value of the same structure, or make another state"
                )
            self._structure, self._places = structure, _places(self._names, pytree)
        leaves = jax.tree.leaves(pytree)
        found = [leaves[place] for place in self._places]
        for name, mean, leaf in zip(self._names, self._means, found, strict=False):
            if mean.shape != np.shape(leaf):
                raise StateError(
                    f"a state must keep the shapes of the weights that are averaged, but {name!r} "
                    f"had {mean.shape} and now has {np.shape(leaf)}; make another state"
                )
        return found


def choose(average: Average, pytree: Pytree) -> list[str]:
    """Return the names of the leaves to average."""
    leaves = name_leaves(pytree)
    saved = {name: leaf for name, leaf in leaves.items() if isinstance(leaf, SAVED)}
    return choose_weights(average, {name: is_weight(leaf) for name, leaf in saved.items()})


def is_weight(leaf: Any) -> bool:
    """Say whether a leaf is an array that can be averaged."""
    is_array = isinstance(leaf, jax.Array | np.ndarray) and not is_key(leaf)
    return is_array and bool(jnp.issubdtype(leaf.dtype, jnp.inexact))


def widen(leaf: Any) -> jax.Array:
    """Return a copy for an average: late updates are too small for narrow numbers."""
    is_narrow = leaf.dtype.itemsize < np.dtype(np.float32).itemsize
    return jnp.array(leaf, dtype=jnp.float32 if is_narrow else leaf.dtype, copy=True)


def move(mean: Any, live: Any, share: Any) -> jax.Array:
    """Return an average that is moved towards the present weights by a share of the way."""
    share, live = jnp.asarray(share), live.astype(mean.dtype)
    part = share.astype(mean.dtype)
    # Where both are infinite, as in masks, a sum would be no number.
    moved = jnp.where(live == mean, mean, (1 - part) * mean + part * live)
    return jnp.where(share >= 1, live, moved)


@jax.jit
def _move(means: list[Any], live: list[Any], share: Any) -> list[jax.Array]:
    return [move(mean, leaf, share) for mean, leaf in zip(means, live, strict=True)]


def _places(names: list[str], pytree: Pytree) -> list[int]:
    """Return which of all leaves have these names."""
    places: Mapping[str, int] = {name: nth for nth, name in enumerate(name_leaves(pytree))}
    return [places[name] for name in names]


def _is_saved(saved: dict[Any, Any]) -> bool:
    updates = saved.get(UPDATES)
    return (
        isinstance(updates, int)
        and updates >= 0
        and isinstance(saved.get(KIND), str)
        and isinstance(saved.get(WEIGHTS), dict)
    )
