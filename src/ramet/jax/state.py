"""What a JAX loop trains, as a state that follows a member from turn to turn."""

import sys
from collections.abc import Iterator, Mapping
from typing import Any

import jax
import numpy as np
from jax import numpy as jnp

from ramet.domains import Value
from ramet.errors import StateError, UnknownHyperparameter
from ramet.jax.trees import Pytree, put_back, saved
from ramet.state.tree import Tree


class State:
    """A pytree of parameters, optimiser state and whatever else should follow a member.

    Loops that pass states along keep the newest in ``value``. Modules of flax.nnx, which are
    changed in place, are restored in place. Hyperparameters that ``optax.inject_hyperparams`` holds
    are set there, by their name, or by the name that ``bind`` says.

    >>> state = State({"w": jnp.zeros(2)})
    >>> state.value = {"w": jnp.ones(2)}
    >>> state.capture()
    {'w': array([1., 1.], dtype=float32)}
    """

    def __init__(self, value: Pytree, *, bind: Mapping[str, str] | None = None) -> None:
        self.value = value
        self._names = dict(bind or {})
        # The entry that each hyperparameter was applied to.
        self._applied: dict[str, str] = {}
        self._told: dict[str, Value] = {}
        entries = {entry for node in self._injected() for entry in node.hyperparams}
        if missing := sorted(set(self._names.values()) - entries):
            raise StateError(
                f"a hyperparameter must be bound to an entry of optax.inject_hyperparams, of which "
                f"the state has {sorted(entries)}, but {missing} are bound to"
            )

    def capture(self) -> Tree:
        nnx = _nnx_of(self.value)
        return saved(self.value if nnx is None else nnx.state(self.value))

    def restore(self, tree: Tree) -> None:
        nnx = _nnx_of(self.value)
        if nnx is None:
            self.value = put_back(self.value, tree)
        else:
            nnx.update(self.value, put_back(nnx.state(self.value), tree))

    def apply(self, hparams: Mapping[str, Value]) -> None:
        if unknown := [name for name in self._names if name not in hparams]:
            raise UnknownHyperparameter(
                f"what is bound must be a hyperparameter of the space, which has {list(hparams)}, "
                f"but {unknown} are bound"
            )
        entries = {self._names.get(name, name): name for name in hparams}
        self._applied = {}
        for node in self._injected():
            for entry in node.hyperparams.keys() & entries.keys():
                self._applied[entries[entry]] = entry
        values = {entry: hparams[name] for name, entry in self._applied.items()}
        self._told = values
        if _nnx_of(self.value) is None:
            self.value = jax.tree.map(
                lambda node: _injected(node, values), self.value, is_leaf=_is_injected
            )
        else:
            for node in self._injected():
                for entry in node.hyperparams.keys() & values.keys():
                    node.hyperparams[entry][...] = _as(node.hyperparams[entry][...], values[entry])

    def applied(self) -> Mapping[str, Value]:
        found = {
            entry: value for node in self._injected() for entry, value in node.hyperparams.items()
        }
        return {name: self._found(entry, found[entry]) for name, entry in self._applied.items()}

    def _found(self, entry: str, value: Any) -> Value:
        """Return a value as it was told, if it is what its array makes of that."""
        told = self._told[entry]
        is_there = np.asarray(value) == np.asarray(_as(value, told))
        return told if is_there else float(np.asarray(value))

    def _injected(self) -> Iterator[Any]:
        """Yield the states that optax.inject_hyperparams made."""
        nodes = jax.tree.leaves(self.value, is_leaf=_is_injected)
        return (node for node in nodes if _is_injected(node))


def _is_injected(node: object) -> bool:
    return isinstance(node, tuple) and isinstance(getattr(node, "hyperparams", None), dict)


def _injected(node: Any, values: Mapping[str, Value]) -> Any:
    """Return a state of optax.inject_hyperparams with other values; anything else as it is."""
    if not _is_injected(node):
        return node
    known = {
        entry: _as(node.hyperparams[entry], value)
        for entry, value in values.items()
        if entry in node.hyperparams
    }
    return node._replace(hyperparams={**node.hyperparams, **known})


def _as(present: Any, value: Value) -> jax.Array:
    """Return a value as an array like the present one, so that nothing is compiled anew."""
    return jnp.asarray(value, dtype=jnp.asarray(present).dtype)


def _nnx_of(value: Pytree) -> Any:
    """Return flax.nnx if there are modules of it in a state; it need not be installed."""
    nnx = sys.modules.get("flax.nnx")
    if nnx is None:
        return None
    leaves = jax.tree.leaves(value, is_leaf=lambda node: isinstance(node, nnx.Module))
    return nnx if any(isinstance(leaf, nnx.Module | nnx.Optimizer) for leaf in leaves) else None
