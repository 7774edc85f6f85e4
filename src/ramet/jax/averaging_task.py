"""The functions of a task, with a running average of the weights beside its state."""

from typing import Any

import jax
from jax import lax
from jax import numpy as jnp

from ramet.averaging import Average
from ramet.errors import UsageError
from ramet.jax.averages import choose, move, widen
from ramet.jax.compiled import fix_types
from ramet.jax.functions import Functions, check_step
from ramet.jax.trees import Pytree, name_leaves

TRAINED, AVERAGE, UPDATES = "trained", "average", "updates"


class AveragingFunctions:
    """Functions that train like those of a task, one step at a time, and average after each.

    Args:
        functions: The functions of the task.
        average: The kind of average.
    """

    def __init__(self, functions: Functions, average: Average) -> None:
        self.functions, self.average = functions, average
        # A name in all checkpoints, so that a run goes on with the average that it began with.
        self._kind = repr(average)

    def init(self, key: jax.Array) -> Pytree:
        trained = self.functions.init(key)
        leaves = name_leaves(trained)
        means = {name: widen(leaves[name]) for name in choose(self.average, trained)}
        return {
            TRAINED: trained,
            AVERAGE: {self._kind: means},
            UPDATES: jnp.zeros((), jnp.int32),
        }

    def step(self, state: Pytree, hparams: Any, steps: int, key: jax.Array) -> Pytree:
        def one(nth: Any, before: Pytree) -> Pytree:
            key_of_step = jax.random.fold_in(key, nth)
            trained = self.functions.step(before[TRAINED], hparams, 1, key_of_step)
            if trained is None:
                raise UsageError("a task's step must return the state, but it returned None")
            trained = fix_types(trained)
            check_step(before[TRAINED], trained)
            updates = before[UPDATES] + 1
            leaves, share = name_leaves(trained), self.average.share(updates, jnp.expm1)
            means = {
                name: move(mean, leaves[name], share)
                for name, mean in before[AVERAGE][self._kind].items()
            }
            return {TRAINED: trained, AVERAGE: {self._kind: means}, UPDATES: updates}

        return lax.fori_loop(0, steps, one, fix_types(state))

    def evaluate(self, state: Pytree) -> Any:
        return self.functions.evaluate(self.unwrap(state, averaged=self.average.scored))

    def unwrap(self, state: Pytree, *, averaged: bool) -> Pytree:
        """Return the state of the task's own functions, with averaged weights if asked."""
        trained, means = state[TRAINED], state[AVERAGE][self._kind]
        if not averaged:
            return trained
        leaves = [
            means[name].astype(leaf.dtype) if name in means else leaf
            for name, leaf in name_leaves(trained).items()
        ]
        return jax.tree.unflatten(jax.tree.structure(trained), leaves)
