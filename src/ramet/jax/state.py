"""The state of a member in JAX: a pytree."""

import contextlib
import sys
from collections.abc import Iterator, Mapping
from typing import Any, Never

import jax
import numpy as np
from jax import numpy as jnp

from ramet.averaging import Average, check_average, is_shown, no_average, not_shown
from ramet.domains import Value
from ramet.errors import StateError, UnknownHyperparameter
from ramet.jax.averages import Means
from ramet.jax.trees import SAVED, Pytree, check_held, put_back, to_tree
from ramet.state.tree import Tree

# The parts of a checkpoint with an average.
VALUE, AVERAGE = "value", "average"
MAKE = "ramet.jax.State((params, opt_state)"


class State:
    """A pytree of parameters, optimizer state and all else that follows a member.

    A loop assigns the newest pytree to ``value``. Modules of flax.nnx are changed and restored in
    place instead. A hyperparameter with the name of an entry in ``optax.inject_hyperparams`` is
    set there.

    Args:
        value: The pytree. One without arrays, such as None, is refused.
        others: Refused, with a message that says how several pytrees become one.
        bind: The entry of ``optax.inject_hyperparams`` for each hyperparameter that has another
            name than its entry. An empty dict sets none.
        average: A running average of the weights to keep, such as
            ``ramet.PolynomialAverage(of="0")`` for the first pytree of a tuple. The loop calls
            ``update_average()`` after each step, and reports scores within
            ``with state.averaged()``.
        misnamed: Refused like others.

    >>> state = State({"w": jnp.zeros(2)})
    >>> state.value = {"w": jnp.ones(2)}
    >>> state.capture()
    {'w': array([1., 1.], dtype=float32)}
    """

    def __init__(
        self,
        value: Pytree = None,
        *others: Never,
        bind: Mapping[str, str] | None = None,
        average: Average | None = None,
        **misnamed: Never,
    ) -> None:
        _check_value(value, others, misnamed)
        self.value = value
        self._names = dict(bind or {})
        self._by_name = bind is None or len(bind) > 0
        # The entry in which each hyperparameter is set.
        self._applied: dict[str, str] = {}
        self._values: dict[str, Value] = {}
        _check_modules(value)
        if _nnx_of(value) is None:
            check_held(value)
        entries = {entry for node in self._find_injected() for entry in node.hyperparams}
        if missing := sorted(set(self._names.values()) - entries):
            raise StateError(
                f"a hyperparameter must be bound to an entry of optax.inject_hyperparams, of which "
                f"the state has {sorted(entries)}, but {missing} are bound to"
            )
        self._average = average
        if average is not None:
            check_average(average)
            self._means = Means(average, self._arrays())
        # Whether the value is the average now.
        self._is_shown = False
        # Of the average's updates, those before the turn; None outside of turns.
        self._updates_before: int | None = None
        self._was_shown = False

    def capture(self) -> Tree:
        if self._average is None:
            return to_tree(self._arrays())
        self._check_average_of_turn(self._average)
        return {VALUE: to_tree(self._arrays()), AVERAGE: self._means.capture()}

    def restore(self, tree: Tree) -> None:
        if self._average is None:
            self._put(put_back(self._arrays(), tree))
            return
        self._refuse_shown("a state must be restored")
        whole = tree if isinstance(tree, dict) and tree.keys() == {VALUE, AVERAGE} else {}
        self._means.check(whole.get(AVERAGE))
        self._put(put_back(self._arrays(), whole[VALUE]))
        self._means.restore(whole[AVERAGE])

    @contextlib.contextmanager
    def averaged(self) -> Iterator[None]:
        """Put the averaged weights into ``value`` for a ``with`` block, then its own again.

        >>> from ramet import PolynomialAverage
        >>> state = State({"w": jnp.zeros(1)}, average=PolynomialAverage(power=0))
        >>> for number in (1.0, 2.0):
        ...     state.value = {"w": jnp.full(1, number)}
        ...     state.update_average()
        >>> with state.averaged():
        ...     print(state.value)
        {'w': Array([1.5], dtype=float32)}
        """
        if self._average is None:
            raise no_average(MAKE)
        self._was_shown = True
        if self._is_shown:
            yield
            return
        value = self.value
        # The modules of flax.nnx are changed in place.
        arrays = jax.tree.map(lambda leaf: leaf, self._arrays())
        self._is_shown = True
        try:
            self._put(self._means.show(arrays))
            shown = self.value
            yield
            if self.value is not shown:
                raise is_shown("a value must be assigned")
        finally:
            self.value = value
            if _nnx_of(value) is not None:
                self._put(arrays)
            self._is_shown = False

    def update_average(self) -> None:
        """Update the average with the present value. Call this after each step."""
        if self._average is None:
            raise no_average(MAKE)
        self._refuse_shown("weights must be trained")
        self._means.update(self._arrays())

    def apply(self, hparams: Mapping[str, Value]) -> None:
        if self._average is not None:
            self._refuse_shown("a turn must begin")
            self._updates_before, self._was_shown = self._means.updates, False
        if unknown := [name for name in self._names if name not in hparams]:
            raise UnknownHyperparameter(
                f"only hyperparameters of the space can be bound, but {unknown} are bound; the "
                f"space has {list(hparams)}"
            )
        names = hparams if self._by_name else ()
        entries = {self._names.get(name, name): name for name in names}
        self._applied = {}
        for node in self._find_injected():
            for entry in node.hyperparams.keys() & entries.keys():
                self._applied[entries[entry]] = entry
        values = {entry: hparams[name] for name, entry in self._applied.items()}
        self._values = values
        if _nnx_of(self.value) is None:
            self.value = jax.tree.map(
                lambda node: _inject(node, values), self.value, is_leaf=_is_injected
            )
        else:
            for node in self._find_injected():
                for entry in node.hyperparams.keys() & values.keys():
                    node.hyperparams[entry][...] = _as(node.hyperparams[entry][...], values[entry])

    def sets(self, name: str) -> bool:
        """Say whether the state sets a hyperparameter whenever its condition holds.

        Args:
            name: The hyperparameter.
        """
        entry = self._names.get(name, name if self._by_name else None)
        return any(entry in node.hyperparams for node in self._find_injected())

    def read_back(self) -> Mapping[str, Value]:
        """Return the values that are set now; of several places, the first one that differs."""
        return {name: self._find(entry) for name, entry in self._applied.items()}

    def explain(self, name: str) -> str | None:
        """Explain that an injected schedule sets a hyperparameter; None if there is none.

        Args:
            name: The hyperparameter.
        """
        entry = self._applied[name]
        if not any(entry in _schedules_of(node) for node in self._find_injected()):
            return None
        return (
            f"optax.inject_hyperparams has a schedule for {entry!r}, which sets it at every step; "
            f"pass a number, {entry}=0.1, and scale the updates by the schedule after it, as in "
            f"optax.chain(..., optax.scale_by_schedule(schedule)), or take {name!r} out of the "
            f"space"
        )

    def _arrays(self) -> Pytree:
        """Return the value as a pytree of arrays."""
        nnx = _nnx_of(self.value)
        return self.value if nnx is None else nnx.state(self.value)

    def _put(self, arrays: Pytree) -> None:
        """Set the value to a pytree of arrays."""
        nnx = _nnx_of(self.value)
        if nnx is None:
            self.value = arrays
        else:
            nnx.update(self.value, arrays)

    def _check_average_of_turn(self, average: Average) -> None:
        """Refuse a turn in which the average was forgotten."""
        self._refuse_shown("a turn must end")
        before, self._updates_before = self._updates_before, None
        if before is None:
            return
        if before == self._means.updates:
            raise StateError(
                f"an average must be updated after each step, because the state was made with "
                f"average={average}, but it was not updated in a turn; call "
                f"state.update_average() after state.value = ..."
            )
        if average.scored and not self._was_shown:
            raise not_shown(average)

    def _refuse_shown(self, law: str) -> None:
        if self._is_shown:
            raise is_shown(law)

    def _find(self, entry: str) -> Value:
        """Return the value that was set, or a value that differs from it as an array."""
        wanted = self._values[entry]
        for node in self._find_injected():
            value = node.hyperparams.get(entry)
            if value is not None and np.asarray(value) != np.asarray(_as(value, wanted)):
                return float(np.asarray(value))
        return wanted

    def _find_injected(self) -> Iterator[Any]:
        """Yield the states that optax.inject_hyperparams made."""
        nodes = jax.tree.leaves(self.value, is_leaf=_is_injected)
        return (node for node in nodes if _is_injected(node))


def _is_injected(node: object) -> bool:
    return isinstance(node, tuple) and isinstance(getattr(node, "hyperparams", None), dict)


def _schedules_of(node: Any) -> Mapping[str, Any]:
    """Return the schedules that set hyperparameters of a node at every step."""
    return getattr(node, "hyperparams_states", {})


def _inject(node: Any, values: Mapping[str, Value]) -> Any:
    """Return a state of optax.inject_hyperparams with new values; anything else unchanged."""
    if not _is_injected(node):
        return node
    known = {
        entry: _as(node.hyperparams[entry], value)
        for entry, value in values.items()
        if entry in node.hyperparams
    }
    return node._replace(hyperparams={**node.hyperparams, **known})


def _as(present: Any, value: Value) -> jax.Array:
    """Return a value as an array like the current one, so that nothing is compiled again."""
    return jnp.asarray(value, dtype=jnp.asarray(present).dtype)


def _nnx_of(value: Pytree) -> Any:
    """Return flax.nnx if a state has modules of it. It need not be installed."""
    nnx = sys.modules.get("flax.nnx")
    if nnx is None:
        return None
    leaves = jax.tree.leaves(value, is_leaf=lambda node: isinstance(node, nnx.Module))
    return nnx if any(isinstance(leaf, nnx.Module | nnx.Optimizer) for leaf in leaves) else None


def _check_value(value: Pytree, others: tuple[object, ...], misnamed: Mapping[str, object]) -> None:
    """Refuse several pytrees, and one without any array, such as a model's definition."""
    if misnamed:
        raise StateError(
            f"the keywords of a state must be value, bind or average, but got {[*misnamed]}; put "
            f"all pytrees into one, ramet.jax.State((params, opt_state)), and name entries of "
            f"optax.inject_hyperparams as bind={{'lr': 'learning_rate'}}"
        )
    if others:
        raise StateError(
            f"a state must be one pytree, but got {1 + len(others)}; put them together, as in "
            f"ramet.jax.State((params, opt_state))"
        )
    if not any(isinstance(leaf, SAVED) for leaf in jax.tree.leaves(value)):
        raise StateError(
            f"a state must be a pytree with arrays in it, but this {type(value).__name__} has "
            f"none; pass what an init function returned, params = model.init(key, x) or "
            f"opt_state = optimizer.init(params), and not what has the function"
        )


def _check_modules(value: Pytree) -> None:
    """Refuse values beside nnx modules that cannot be restored in place as they are."""
    nnx = _nnx_of(value)
    if nnx is None:
        return
    kinds = nnx.Pytree, nnx.Variable
    leaves = jax.tree.leaves(value, is_leaf=lambda node: isinstance(node, kinds))
    if strays := [type(leaf).__name__ for leaf in leaves if not isinstance(leaf, kinds)]:
        raise StateError(
            f"beside modules of flax.nnx a state must hold what can be restored in place like "
            f"them, but got {strays}; make it an attribute of a module, as in "
            f"self.steps = nnx.Variable(jnp.zeros(()))"
        )
